"""A training in this process, stopped anywhere and its checkpoints damaged: it ends where it would have ended."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from peace.checkpoint import check_checkpoint, load_classifier, read_meta
from peace.config import load_config
from peace.core.errors import DataError
from peace.data.shards import ShardSet
from peace.training.batches import MemorySource
from peace.training.checkpoint_manager import CheckpointManager, RetentionPolicy
from peace.training.plan import build_plan
from peace.training.run import Hooks
from peace.training.train import train

TIMES = ("samples_per_second", "data_wait_share", "memory_mb")
EPOCHS = 3


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclasses.dataclass
class Run:
    """A training: what it gave back, its checkpoints, the figures of its epochs, its warnings, its steps."""

    code: int
    store: CheckpointManager
    epochs: list[dict[str, Any]]
    warnings: list[str]
    steps: int

    @property
    def weights(self) -> bytes:
        """Of the last epoch, byte by byte."""
        newest = self.store.newest()
        assert newest is not None
        return (newest / "model.safetensors").read_bytes()

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.store.path.glob("epoch-*"))


def run(cohorts: Path, place: Path, *overrides: str, leave_at: int = 0, source: Any = None, **keeping: Any) -> Run:
    config = load_config("debug", overrides=[f"pretrain.epochs={EPOCHS}", *overrides])
    plan = build_plan(config, "pretrain", cohorts / "shards-mimic")
    found = Run(0, CheckpointManager(place, RetentionPolicy(**keeping)), [], [], 0)
    found.store.warn = found.warnings.append

    def step(done: int, total: int) -> None:
        found.steps = done

    hooks = Hooks(step, on_kept=found.epochs.append, should_stop=lambda: 2 if found.steps == leave_at else 0)
    found.code = train(plan, hooks, found.store, source)
    for epoch in found.epochs:
        for name in TIMES:
            epoch.pop(name)
    return found


@pytest.fixture(scope="module")
def whole(small_cohorts: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The training that nothing disturbs."""
    torch.set_num_threads(1)
    return run(small_cohorts, tmp_path_factory.mktemp("whole") / "checkpoints")


def test_left_at_a_step_it_goes_on_from_that_step(small_cohorts: Path, whole: Run, tmp_path: Path) -> None:
    """In the middle of an epoch, behind its last step, and with little kept; the last run finds all done."""
    steps = whole.steps // EPOCHS
    assert steps > 2
    for leave_at, name in ((steps + 2, "epoch-0001-step-000002"), (2 * steps, f"epoch-0001-step-{steps:06d}")):
        left = run(small_cohorts, tmp_path, leave_at=leave_at)
        assert left.code == 2
        assert left.names[-1] == name
    assert read_meta(left.store.path / name)[1].val_auc is None
    again = run(small_cohorts, tmp_path)
    assert again.code == 0
    assert again.weights == whole.weights
    assert again.epochs == whole.epochs  # those before it was stopped are told again
    assert again.store.best().name == whole.store.best().name
    scores = [epoch["val_auc"] for epoch in whole.epochs]
    assert read_meta(again.store.best())[1].val_auc == max(scores)
    assert again.names == sorted({*whole.names[-2:], whole.store.best().name})
    done = run(small_cohorts, tmp_path)
    assert (done.steps, done.weights) == (0, whole.weights)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "removed", "emptied description"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    small_cohorts: Path, whole: Run, tmp_path: Path, damage: str
) -> None:
    place = tmp_path / "checkpoints"
    shutil.copytree(whole.store.path, place)
    newest = place / whole.names[-1]
    file = newest / ("checkpoint.json" if damage.startswith("emptied") else "training/progress.pt")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "removed":
        file.unlink()
    else:
        file.write_bytes({"truncated": content[:-1], "flipped": content}.get(damage, b""))
    again = run(small_cohorts, place)
    assert again.weights == whole.weights
    assert again.steps == whole.steps
    assert len(again.warnings) == 1
    assert str(file) in again.warnings[0]
    assert f"resumes from {whole.names[-2]}" in again.warnings[0]
    assert (place / f"damaged-{whole.names[-1]}").is_dir()


def test_where_no_checkpoint_is_whole_it_says_so(small_cohorts: Path, whole: Run, tmp_path: Path) -> None:
    place = tmp_path / "checkpoints"
    shutil.copytree(whole.store.path, place)
    for file in place.glob("*/model.safetensors"):
        file.write_bytes(file.read_bytes()[:1000])
    for _ in range(2):  # nothing was moved: it says so again
        with pytest.raises(DataError, match=r"no checkpoint in .* is valid .*model\.safetensors.*--fresh"):
            run(small_cohorts, place)
    with pytest.raises(DataError, match="no valid checkpoint of an epoch"):
        CheckpointManager(place, warn=lambda text: None).best()


def test_another_label_set_or_another_network_is_told_in_one_line(
    small_cohorts: Path, whole: Run, tmp_path: Path
) -> None:
    place = tmp_path / "checkpoints"
    shutil.copytree(whole.store.path, place)
    with pytest.raises(DataError, match="does not fit this training: size mismatch") as error:
        run(small_cohorts, place, "model.encoder.widths=[8,8]", "model.encoder.blocks=[1,1]")
    assert "\n" not in str(error.value)
    others = tmp_path / "cohorts" / "shards-mimic"
    shutil.copytree(small_cohorts / "shards-mimic", others)
    manifest = others / "shards" / "_manifest.json"
    labels = json.loads(manifest.read_text())["labels"]
    swapped = {labels[0]: labels[1], labels[1]: labels[0]}
    values = json.loads(manifest.read_text())
    values["labels"] = [swapped.get(name, name) for name in labels]
    manifest.write_text(json.dumps(values))
    with pytest.raises(DataError, match=f"has the labels {labels[0]}, {labels[1]}"):
        run(tmp_path / "cohorts", place)


def test_a_loss_that_is_not_finite_names_records_and_the_last_good_checkpoint(
    small_cohorts: Path, tmp_path: Path
) -> None:
    records = ShardSet.open(small_cohorts / "shards-mimic").load("train")
    settings = load_config("debug").pretrain
    run(small_cohorts, tmp_path, leave_at=len(MemorySource(records, settings.batch_size, 42).sizes) + 1)
    newest = CheckpointManager(tmp_path).newest()
    with pytest.raises(DataError) as error:
        run(small_cohorts, tmp_path, source=Poisoned(MemorySource(records, settings.batch_size, 42)))
    said = str(error.value)
    assert f"the last good checkpoint is {newest}" in said
    assert sum(str(name) in said for name in records.record_id) >= settings.batch_size // 2
    assert "\n" not in said
    assert "step 8" in said


class Poisoned:
    """A source that gives, from the second step that it is asked for, what no shard can hold."""

    def __init__(self, source: MemorySource) -> None:
        self.source, self.sizes, self.steps = source, source.sizes, source.steps

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Any]:
        for batch in self.source.epoch(number, first_step):
            yield dataclasses.replace(batch, target=np.full(batch.target.shape, np.inf, np.float32))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own with room for a checkpoint and a half."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(place)], capture_output=True
    )
    if not mounted or mounted.returncode != 0:
        pytest.skip("no disk can be mounted here: that needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_leaves_the_earlier_checkpoints_whole(small_cohorts: Path, whole: Run, small_disk: Path) -> None:
    size = sum(file.stat().st_size for file in (whole.store.path / whole.names[-1]).rglob("*") if file.is_file())
    filler = small_disk / "filler"
    filler.write_bytes(bytes(8 * 2**20 - int(2.5 * size)))
    place = small_disk / "checkpoints"
    with pytest.raises(DataError, match=r"no space left for checkpoint .*epoch-000[23].*: free some and run the same"):
        run(small_cohorts, place)
    found = CheckpointManager(place).newest()
    assert found is not None
    check_checkpoint(found)
    filler.unlink()
    again = run(small_cohorts, place)
    assert again.weights == whole.weights
    assert not again.warnings
    assert not list(place.glob(".*"))


def test_what_is_kept(small_cohorts: Path, tmp_path: Path) -> None:
    """The last ones and the best, and none of those that killed writers left unfinished."""
    (tmp_path / ".epoch-0009-step-000000.writing").mkdir()
    found = run(small_cohorts, tmp_path, "pretrain.epochs=5", last=2, best=2)
    scores = {f"epoch-{epoch['epoch']:04d}-step-000000": epoch["val_auc"] for epoch in found.epochs}
    best = sorted(scores, key=lambda name: (-scores[name], name))[:2]
    assert found.names == sorted({"epoch-0004-step-000000", "epoch-0005-step-000000", *best})
    assert found.store.best().name == best[0]
    assert not list(tmp_path.glob(".*"))
    load_classifier(found.store.best())


def test_within_an_epoch_by_the_clock(small_cohorts: Path, tmp_path: Path) -> None:
    found = run(small_cohorts, tmp_path, "pretrain.epochs=1", minutes=1e-9, last=100)
    assert "epoch-0000-step-000001" in found.names
    assert "epoch-0001-step-000000" in found.names
