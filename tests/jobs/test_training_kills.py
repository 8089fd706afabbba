"""Pretraining on Ray, killed in each of its parts: it ends where it would have ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import peace
from preprocess_runs import kill, processes_below

EPOCHS = 30
LONG = ["pretrain", "--shards", "shards-mimic", "--preset", "debug", "tracking.enabled=false"]
# as many as come in an epoch: whatever is killed is killed in the middle of one
LONG += [f"pretrain.epochs={EPOCHS}", "ray.checkpoint_minutes=0.00001", "ray.keep_last=3"]


class Started:
    """The command in a process of its own, first of its session, and what it says."""

    def __init__(self, out: Path, cwd: Path) -> None:
        self.out = out
        self._said = out.with_suffix(".txt")
        command = [sys.executable, "-m", "jobs.cli", *LONG, "--out", str(out)]
        with self._said.open("w") as stream:
            self.process = subprocess.Popen(
                command, cwd=cwd, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def said(self) -> str:
        return self._said.read_text()

    def wait_for_epoch(self, number: int, seconds: float = 400) -> None:
        """Until an epoch is told of, by number."""
        end = time.monotonic() + seconds
        while len(epochs_of(self.out)) < number:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.05)

    def ends_with(self, code: int, seconds: float = 800) -> None:
        assert self.process.wait(timeout=seconds) == code, self.said


def epochs_of(out: Path) -> list[str]:
    """The epochs that the history tells of."""
    history = out / "history.jsonl"
    return history.read_text().splitlines() if history.exists() else []


def training_worker(driver: int) -> int:
    """The process of the training worker that descends from `driver`."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True)
    rows = [line.split(maxsplit=2) for line in listed.stdout.splitlines()[1:]]
    parent = {int(pid): int(ppid) for pid, ppid, *_ in rows}
    for pid, _, *words in rows:
        ancestor = int(pid)
        while ancestor in parent and ancestor != driver:
            ancestor = parent[ancestor]
        if ancestor == driver and "RayTrainWorker" in words[0]:
            return int(pid)
    raise AssertionError("no training worker is running")


@pytest.fixture(scope="module")
def uninterrupted(small_cohorts: Path) -> pd.DataFrame:
    """Predictions of the training that nothing disturbed."""
    again(small_cohorts, small_cohorts / "whole")
    return pd.read_parquet(small_cohorts / "whole" / "predictions.parquet")


def again(place: Path, out: Path) -> str:
    """Run the command to its end; returns what it said."""
    done = peace(*LONG, "--out", out, cwd=place, timeout=800)
    assert done.returncode == 0, done.stderr
    return done.stderr


def assert_equal(out: Path, uninterrupted: pd.DataFrame) -> None:
    """To the last bit; and each epoch is told once."""
    pd.testing.assert_frame_equal(pd.read_parquet(out / "predictions.parquet"), uninterrupted, check_exact=True)
    epochs = [json.loads(line)["epoch"] for line in epochs_of(out)]
    assert epochs == list(range(1, EPOCHS + 1))


def damage_newest(out: Path) -> str:
    """Cut the newest checkpoint short; returns its name."""
    newest = sorted(out.glob("checkpoints/epoch-*"))[-1]
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    return newest.name


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_the_driver_is_ended_and_killed(small_cohorts: Path, uninterrupted: pd.DataFrame) -> None:
    """In order first, then with all of Ray, as a lost machine would, and the newest checkpoint is damaged too."""
    out = small_cohorts / "killed-driver"
    job = Started(out, small_cohorts)
    job.wait_for_epoch(2)
    job.process.send_signal(signal.SIGTERM)
    job.ends_with(143, 120)
    assert "the same command resumes" in job.said
    done = len(epochs_of(out))
    assert done < EPOCHS - 5
    job = Started(out, small_cohorts)
    job.wait_for_epoch(done + 2)
    kill(*processes_below(job.process.pid), job.process.pid)  # a worker that outlived the driver would go on writing
    job.process.wait(timeout=60)
    name = damage_newest(out)
    said = again(small_cohorts, out)
    assert f"warning: {out}/checkpoints/{name}/model.safetensors is damaged" in said
    assert f"set aside as damaged-{name}" in (out / "log.txt").read_text()
    assert_equal(out, uninterrupted)


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_the_worker_is_killed_and_ended(small_cohorts: Path, uninterrupted: pd.DataFrame) -> None:
    """Ray starts it again, and it resumes within the one command."""
    out = small_cohorts / "killed-worker"
    job = Started(out, small_cohorts)
    for epoch, number in ((2, signal.SIGKILL), (5, signal.SIGTERM)):
        job.wait_for_epoch(epoch)
        os.kill(training_worker(job.process.pid), number)
    job.ends_with(0)
    assert job.said.count("training resumes with 1 worker") == 2
    assert_equal(out, uninterrupted)
