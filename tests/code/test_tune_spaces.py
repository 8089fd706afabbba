"""Search spaces: those we ship fit the configuration, mistakes are named, a grid draws again only where it must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.sweep import SPACES
from jobs.tuning.resources import DRIVER_CPUS, trial_resources
from jobs.tuning.search import BEST, StoredSearch, scheduler_of
from peace.config import RayConfig, load_config
from peace.core.errors import ConfigError
from peace.experiments.sweeps.repeats import next_point
from peace.experiments.sweeps.space import build_space, read_space, start_values, trial_config
from peace.experiments.sweeps.trial_store import TrialStore

SMALL: dict[str, Any] = {
    "summary": "a test",
    "stage": "pretrain",
    "search": "tpe",
    "scheduler": {"name": "asha", "grace": 1, "reduction": 2},
    "budget": {"trials": 6},
    "parameters": {
        "objective.gate.form": {"choice": ["power", "sigmoid"]},
        "objective.gate.slope": {"uniform": [4, 20], "when": {"objective.gate.form": ["sigmoid"]}},
        "pretrain.learning_rate": {"log_uniform": [1e-5, 1e-2]},
        "model.encoder.widths": {"choice": [[8, 16], [16, 16]]},
    },
}


@pytest.mark.parametrize("preset", ["debug", "demo", "paper"])
@pytest.mark.parametrize("file", sorted(SPACES.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_ends_of_each_space_are_configurations(file: Path, preset: str) -> None:
    """Each key is one that the stage reads; all lowest, all highest, and all first choices together are valid."""
    space = read_space(file, preset)
    base = trial_config(load_config(preset), space.fixed)
    for end in (0, -1):
        drawn = {key: (parameter.choice or parameter.ends)[end] for key, parameter in space.parameters.items()}
        typed = trial_config(base, space.active(drawn))
        assert typed != base
    layers = {"debug": 2, "demo": 6, "paper": 12}
    frozen = space.parameters.get("model.text.frozen_layers")
    assert frozen is None or frozen.ends[1] <= layers[preset]


def changed(**values: Any) -> dict[str, Any]:
    return {**SMALL, **values}


def parameters(**values: Any) -> dict[str, Any]:
    return changed(
        parameters={**SMALL["parameters"], **{key.replace("__", "."): value for key, value in values.items()}}
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (parameters(pretrain__learnin_rate={"uniform": [0, 1]}), "did you mean 'pretrain.learning_rate'"),
        (parameters(adapt__shots={"choice": [1]}), "is not read by `peace pretrain`"),
        (parameters(synthetic__noise={"choice": [1]}), "is not read by `peace pretrain`"),
        (parameters(objective__reading={"choice": ["label_sets"]}), "objective.reading"),
        (parameters(objective__temperature={"uniform": [-1, 1]}), "greater than 0"),
        (parameters(pretrain__epochs={"uniform": [1, 5]}), "pretrain.epochs"),
        (parameters(pretrain__learning_rate={"uniform": [float("nan"), 1]}), "finite"),
        (parameters(pretrain__learning_rate={"log_uniform": [0, 1]}), "above 0"),
        (parameters(pretrain__learning_rate={"uniform": [1, 2], "choice": [3]}), "exactly one"),
        (parameters(pretrain__learning_rate={"unifrom": [1, 2]}), "did you mean 'uniform'"),
        (
            parameters(pretrain__learning_rate={"uniform": [1, 2], "when": {"objective.gate.form": ["x"]}}),
            "never happens",
        ),
        (changed(sheduler={"name": "asha"}), "did you mean 'scheduler'"),
        (changed(scheduler={"nam": "asha"}), "did you mean 'name'"),
        (changed(search="grid"), "needs choice"),
        (changed(metric="val_acu"), "did you mean 'val_auc'"),
        (changed(mode="min"), "must be max"),
        (changed(fixed={"pretrain.epoch": 3}), "did you mean 'pretrain.epochs'"),
        (changed(budget={}), "budget.trials"),
        (changed(parameters={}), "parameters"),
    ],
)
def test_a_mistake_in_a_space_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        build_space(values, "mine.yaml")
    assert str(raised.value).startswith("mine.yaml: ")
    assert "\n" not in str(raised.value)


def test_a_preset_replaces_whole_parameters(tmp_path: Path) -> None:
    overlay = {"parameters": {"pretrain.learning_rate": {"uniform": [0.1, 0.2]}, "model.encoder.widths": None}}
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(changed(presets={"demo": overlay})))
    assert set(read_space(file, "paper").parameters) == set(SMALL["parameters"])
    space = read_space(file, "demo")
    assert space.parameters["pretrain.learning_rate"].ends == (0.1, 0.2)
    assert "model.encoder.widths" not in space.parameters
    file.write_text(yaml.safe_dump(changed(presets={"demo": {"parameters": {"model.wdth": {"choice": [8]}}}})))
    with pytest.raises(ConfigError, match=r"model\.width"):
        read_space(file, "paper")


def node(cpus: float, gpus: float = 0.0, gib: float = 64.0) -> dict[str, float]:
    return {"CPU": cpus, "GPU": gpus, "memory": gib * 2**30}


def drive(store: TrialStore, trials: int, closes: int) -> list[Any]:
    """Ask a fresh search for trials and close `closes` of them, as Tune would; returns what was handed out."""
    space = build_space(SMALL, "small")
    start = start_values(load_config("debug"), list(space.parameters))
    search = StoredSearch(space, store, trials, start, seed=1)
    handed = []
    for number in range(trials + 1):
        found = search.suggest(f"tune-{number}")
        if isinstance(found, str):
            break
        handed.append(found)
        if number < closes:
            value = 0.5 + 0.01 * found["trial"]
            search.on_trial_result(f"tune-{number}", {BEST: value, "training_iteration": 1})
            search.on_trial_complete(f"tune-{number}", {BEST: value})
            store.close(found["trial"], "finished", {1: value})
    return handed


def test_a_search_goes_on_from_its_ledger(tmp_path: Path) -> None:
    """However often it is cut short: the same trials, their parameters kept, and never more than asked for."""
    first = drive(TrialStore(tmp_path), 6, closes=2)
    assert [found["trial"] for found in first] == [1, 2, 3, 4, 5, 6]
    assert "objective.gate.slope" not in first[0], "the configuration's own gate is the power form"
    assert first[0]["model.encoder.widths"] == [8, 16]
    again = drive(TrialStore(tmp_path), 6, closes=3)
    assert again == first[2:]
    assert [found["trial"] for found in drive(TrialStore(tmp_path), 6, closes=1)] == [6]
    assert drive(TrialStore(tmp_path), 6, closes=0) == []
    assert [found["trial"] for found in drive(TrialStore(tmp_path), 8, closes=0)] == [7, 8]


def test_a_scheduler_knows_the_trials_of_earlier_calls(tmp_path: Path) -> None:
    """A newcomer that is worse than all before it at the first rung is stopped there, in a new process too."""
    space = build_space(SMALL, "small")
    store = TrialStore(tmp_path)
    for value in (0.8, 0.9):
        store.close(store.begin({}).number, "finished", {1: value, 2: value})
    from types import SimpleNamespace

    for told, decision in ((store, "STOP"), (TrialStore(tmp_path / "none"), "CONTINUE")):
        scheduler = scheduler_of(space, told, epochs=4)
        newcomer: Any = SimpleNamespace(trial_id="new")
        scheduler.on_trial_add(None, newcomer)  # type: ignore[arg-type]
        assert scheduler.on_trial_result(None, newcomer, {"epoch": 1, BEST: 0.6}) == decision  # type: ignore[arg-type]


def test_draws_stop_where_the_mean_is_known(tmp_path: Path) -> None:
    values = {
        **changed(stage="adapt", search="grid", scheduler={}, budget={}),
        "draws": {"at_least": 2, "at_most": 4, "tolerance": 0.05},
        "parameters": {"adapt.shots": {"choice": [1, 5]}},
    }
    space = build_space(values, "grid")
    store = TrialStore(tmp_path)
    aucs = {1: [0.5, 0.9, 0.6, 0.8], 5: [0.8, 0.801, 0.8, 0.8]}
    order = []
    while not isinstance(found := next_point(space, list(store.trials.values())), str):
        point, draw = found
        assert draw is not None
        order.append((point["adapt.shots"], draw))
        trial = store.begin(point, draw)
        store.close(trial.number, "finished", {1: 0.7}, test={"macro_auc": aucs[point["adapt.shots"]][draw - 1]})
    assert found == "end"
    assert order == [(1, 1), (5, 1), (1, 2), (5, 2), (1, 3), (1, 4)]
    waits = TrialStore(tmp_path / "waits")
    for draw in (1, 2):
        for shots in (1, 5):
            waits.begin({"adapt.shots": shots}, draw)
    assert next_point(space, list(waits.trials.values())) == "wait"


@pytest.mark.parametrize(
    ("nodes", "settings", "asked", "trials", "expected"),
    [
        ([node(2)], {}, None, 8, (2, 0.95, 1)),
        ([node(2)], {}, 1, 8, (1, 1.9, 2)),
        ([node(2)], {}, 4, 8, (4, 0.475, 1)),
        ([node(1)], {}, None, 8, (1, 0.95, 1)),
        ([node(2)], {"workers": 2}, None, 8, (1, 0.95, 1)),
        ([node(2)], {"workers": 4}, None, 8, (1, 0.475, 1)),
        ([node(64)], {}, None, 8, (8, 7.6, 8)),
        ([node(2), node(3)], {}, None, 9, (5, 0.95, 1)),
        ([node(16, 8)], {"gpu": True}, None, 32, (8, 1.9, 2)),
        ([node(16, 4), node(16)], {"gpu": True, "workers": 2}, None, 32, (2, 3.8, 4)),
        ([node(2)], {"cpus_per_worker": 1.0}, None, 8, (2, 0.95, 1)),
        ([node(8, gib=2)], {}, None, 8, (2, 3.8, 4)),
    ],
)
def test_the_cluster_is_shared_out(
    nodes: list[dict[str, float]],
    settings: dict[str, Any],
    asked: int | None,
    trials: int,
    expected: tuple[int, float, int],
) -> None:
    room = trial_resources(nodes, RayConfig(**settings), asked, trials)
    assert (room.at_once, room.share, room.threads) == expected
    reserved = room.at_once * (room.workers * room.share + DRIVER_CPUS)
    assert reserved <= sum(node["CPU"] for node in nodes), "drivers beside workers, or nothing ever starts"
    assert f"{room.at_once} trial" in str(room)


def test_too_little_of_a_cluster_is_said() -> None:
    with pytest.raises(ConfigError, match="a GPU and about"):
        trial_resources([node(8)], RayConfig(gpu=True), None, 4)
    with pytest.raises(ConfigError, match="4 trials at a time"):
        trial_resources([node(8, 2)], RayConfig(gpu=True), 4, 8)
