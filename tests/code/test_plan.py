"""The cost model: what it says follows from its rates, and what does not fit is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from jobs.cli import main
from peace.config import load_config
from peace.core.errors import ConfigError, DataError
from peace.planning import Cluster, plan, rates, usual_network

PAPER = load_config("paper")
EIGHT = Cluster(8, "h100", 8, 64.0, 19.2, 1000.0, 25.0)
RECORDS = 483_051


def seconds(records: int, cluster: Cluster, stage: str) -> float:
    return next(found.seconds for found in plan(records, cluster, PAPER).stages if found.name.startswith(stage))


def test_times_follow_from_the_rates() -> None:
    made = plan(RECORDS, EIGHT, PAPER)
    assert made.shards == -(-RECORDS * 120_000 // 128_000_000)
    assert made.needs["shards"] == pytest.approx(RECORDS * 120_000 * 0.34 / 1e9)
    start = rates.PREPROCESS_START.value
    assert seconds(RECORDS, EIGHT, "preprocess") == pytest.approx(start + RECORDS / (rates.PREPROCESS.value * 64))
    assert made.model.gflop == pytest.approx(26.75, rel=0.01)  # torch's counter on real tensors
    assert made.seconds == pytest.approx(sum(stage.seconds for stage in made.stages))
    assert made.dollars == pytest.approx(made.seconds / 3600 * 8 * 4.0)
    assert replace(EIGHT, dollars_per_hour=1.0).price == 1.0


def test_more_machine_is_not_slower_until_the_exchange_of_gradients_binds() -> None:
    one, two = replace(EIGHT, workers=1, gpu="cpu"), replace(EIGHT, workers=2, gpu="cpu")
    assert seconds(RECORDS, two, "pretrain") < 0.7 * seconds(RECORDS, one, "pretrain")
    slow = plan(RECORDS, replace(EIGHT, network_gbit=1.0), PAPER)
    assert next(stage for stage in slow.stages if stage.name.startswith("pretrain")).limit == "exchange of gradients"
    assert any("network" in text for text in slow.warnings)
    assert seconds(RECORDS, replace(EIGHT, network_gbit=0.1), "preprocess") > seconds(RECORDS, EIGHT, "preprocess")
    assert usual_network("h100", 8) > usual_network("h100", 16) == usual_network("cpu", 2)
    many = plan(RECORDS, replace(EIGHT, workers=64), PAPER)
    assert any("pretrain.batch_size" in text for text in many.warnings)


def test_a_stage_is_measured_only_where_all_its_rates_are() -> None:
    bases = {stage.name.split(",")[0]: stage.basis for stage in plan(RECORDS, EIGHT, PAPER).stages}
    assert bases["preprocess"] == "measured"
    assert bases["pretrain"] == "assumed"
    assert all(rate.source and rate.value > 0 for rate in vars(rates).values() if isinstance(rate, rates.Rate))


@pytest.mark.parametrize(
    ("records", "change", "named"),
    [
        (RECORDS, {"disk_gb": 60.0}, "disk of 60 GB"),
        (RECORDS, {"object_store_gb": 0.01}, "object store"),
        (RECORDS, {"memory_gb_per_worker": 4.0}, "memory of a worker"),
        (100_000_000, {"disk_gb": 1e6}, "memory of driver"),
        (10_000_000, {}, "disk of 1,000 GB"),
    ],
)
def test_what_does_not_fit_is_refused(records: int, change: dict[str, float], named: str) -> None:
    with pytest.raises(DataError, match=named):
        plan(records, replace(EIGHT, **change), PAPER)


def test_a_smaller_model_costs_less() -> None:
    demo = plan(4000, replace(EIGHT, workers=1, gpu="cpu"), load_config("demo"))
    assert demo.model.gflop < 1
    assert demo.seconds < 300


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigError, match="h100"):
        plan(10, replace(EIGHT, gpu="h10"), PAPER)
    with pytest.raises(ConfigError):
        plan(0, EIGHT, PAPER)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--records", "483051", "--workers", "8", "--gpu", "h100", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["total_seconds"] == pytest.approx(sum(item["seconds"] for item in said["stages"]), abs=0.5)
    assert {rate["basis"] for rate in said["rates"]} == {"measured", "assumed"}
    assert main(["plan", "--records", "483051", "pretrain.epochs=20", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"][2]["stage"] == "pretrain, 20 epochs"
    assert main(["plan", "--records", "483051", "--gpu", "h100"]) == 0
    assert "assumed" in capsys.readouterr().out
    assert main(["plan", "--records", "483051", "--disk-gb", "10"]) == 2
    assert "does not fit" in capsys.readouterr().err
