"""Elastic training on two machines that share no disk: one is lost, and comes back. All files lie in a store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from s3_server import s3_server, upload
from two_nodes import Nodes, nodes

from peace.config import load_config
from peace.core.storage import to_path
from peace.training.checkpoint_manager import CheckpointManager
from peace.training.plan import build_plan
from peace.training.run import Hooks
from peace.training.train import train

# The same mathematics on one worker and on two: no batch statistics, and no random numbers that each draws for itself.
SAME = ["model.encoder.norm=group", "model.query.dropout=0", "objective.axis_dropout=0"]
# A lower learning rate: at the preset's, sums in another order have grown to 1 % within 40 epochs, and more may go by.
LONG = [*SAME, "pretrain.epochs=1000", "pretrain.learning_rate=3e-4"]
TOLERANCE = 1e-2  # of the mean loss of an epoch, relative: gradients are summed in another order, and that grows


def loss_by_epoch(out: Any) -> dict[int, float]:
    try:
        lines = out.fs.cat_file(f"{out.path}/history.jsonl").decode().splitlines()
    except FileNotFoundError:
        return {}
    return {epoch["epoch"]: epoch["loss"] for epoch in map(json.loads, lines)}


def until(job: subprocess.Popen[str], log: Path, true: Callable[[], bool], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert job.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.2)


def one_worker(cohorts: Path, folder: Path, epochs: int) -> list[float]:
    """The first epochs' losses of the same training in this process."""
    config = load_config("debug", overrides=LONG)
    plan = build_plan(config, "pretrain", cohorts / "shards-mimic")
    seen: list[float] = []
    hooks = Hooks(on_epoch=lambda metrics: seen.append(metrics["loss"]), should_stop=lambda: int(len(seen) == epochs))
    train(plan, hooks, CheckpointManager(folder))
    return seen


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_a_lost_machine_and_its_return(small_cohorts: Path, tmp_path: Path) -> None:
    with nodes(hidden=[small_cohorts, tmp_path]) as made, s3_server(made.gateway):
        made.environment.update({name: value for name, value in os.environ.items() if name.startswith("AWS_")})
        upload(small_cohorts / "shards-mimic" / "shards", "s3://bucket/shards")
        out = to_path("s3://bucket/run")
        made.start("head")
        made.start("far")
        log = tmp_path / "said.txt"
        job = started(made, log)
        until(job, log, lambda: len(loss_by_epoch(out)) >= 2)
        assert restarts(log) == []
        made.kill("far")
        before = max(loss_by_epoch(out))
        until(job, log, lambda: max(loss_by_epoch(out)) > before + 1)
        assert restarts(log)[-1] == 1
        made.start("far")
        until(job, log, lambda: restarts(log)[-1] == 2)
        grown = max(loss_by_epoch(out))
        until(job, log, lambda: max(loss_by_epoch(out)) > grown + 1)
        job.send_signal(signal.SIGTERM)
        assert job.wait(200) == 143, log.read_text()
        losses = loss_by_epoch(out)
        newest = CheckpointManager(out / "checkpoints").newest()
        assert newest is not None
        assert sorted(losses) == list(range(1, max(losses) + 1))
    expected = one_worker(small_cohorts, tmp_path / "alone", max(losses))
    np.testing.assert_allclose([losses[epoch] for epoch in sorted(losses)], expected, rtol=TOLERANCE)


def started(made: Nodes, log: Path) -> subprocess.Popen[str]:
    words = ["pretrain", "--shards", "s3://bucket/shards", "--out", "s3://bucket/run", "--preset", "debug", *LONG]
    words += ["tracking.enabled=false", f"ray.address={made.address}", "ray.workers=2", "ray.min_workers=1"]
    words += ["ray.cpus_per_worker=1", "ray.resize_seconds=3"]
    with log.open("w") as stream:
        command = [sys.executable, "-m", "jobs.cli", *words]
        return made.popen("head", command, cwd=log.parent, stdout=stream, stderr=subprocess.STDOUT)


def restarts(log: Path) -> list[int]:
    """How many workers there were, each time that they started again, by what the driver said."""
    said = [line.partition("resumes with ")[2] for line in log.read_text().splitlines() if "resumes with" in line]
    return [int(words.split()[0]) for words in said]
