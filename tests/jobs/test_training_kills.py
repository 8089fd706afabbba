"""Pretraining on Ray, killed in each of its parts: it ends where it would have ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from conftest import peace

LONG = ["pretrain", "--shards", "shards-mimic", "--preset", "debug", "tracking.enabled=false", "pretrain.epochs=30"]
# as many as come in an epoch: whatever is killed is killed in the middle of one
LONG += ["ray.checkpoint_minutes=0.00001", "ray.keep_last=3"]


def start(words: Sequence[str | Path], cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "jobs.cli", *map(str, words)]
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def wait_for(job: subprocess.Popen[str], path: Path, lines: int, seconds: float = 200) -> None:
    end = time.monotonic() + seconds
    while not path.exists() or len(path.read_text().splitlines()) < lines:
        assert job.poll() is None, job.communicate()[0]
        assert time.monotonic() < end, f"{path} has fewer than {lines} lines after {seconds} s"
        time.sleep(0.05)


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
    done = peace(*LONG, "--out", small_cohorts / "whole", cwd=small_cohorts)
    assert done.returncode == 0, done.stderr
    return pd.read_parquet(small_cohorts / "whole" / "predictions.parquet")


def damage_newest(out: Path) -> str:
    """Cut the newest checkpoint short; gives its name."""
    newest = sorted(out.glob("checkpoints/epoch-*"))[-1]
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    return newest.name


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("victim", "number"),
    [
        ("driver", signal.SIGKILL),
        ("driver", signal.SIGTERM),
        ("driver", signal.SIGINT),
        ("worker", signal.SIGKILL),
        ("worker", signal.SIGTERM),
    ],
)
def test_a_killed_training_ends_where_it_would_have_ended(
    small_cohorts: Path, uninterrupted: pd.DataFrame, victim: str, number: signal.Signals
) -> None:
    """The driver with all of Ray, as a lost machine would; a worker, which Ray starts again, within one command."""
    out = small_cohorts / f"killed-{victim}-{number.name}"
    job = start([*LONG, "--out", out], small_cohorts)
    wait_for(job, out / "history.jsonl", 2)
    if victim == "worker":
        os.kill(training_worker(job.pid), number)
        said = job.communicate(timeout=300)[0]
        assert job.returncode == 0, said
    elif number == signal.SIGKILL:
        os.killpg(job.pid, number)
        job.communicate(timeout=60)
        name = damage_newest(out)
        again = peace(*LONG, "--out", out, cwd=small_cohorts)
        assert again.returncode == 0, again.stderr
        assert f"warning: {out}/checkpoints/{name}/model.safetensors is damaged" in again.stderr
        assert f"set aside as damaged-{name}" in (out / "log.txt").read_text()
    else:
        job.send_signal(number)
        said = job.communicate(timeout=60)[0]
        assert job.returncode == 128 + number, said
        assert "the same command goes on" in said
        again = peace(*LONG, "--out", out, cwd=small_cohorts)
        assert again.returncode == 0, again.stderr
    pd.testing.assert_frame_equal(pd.read_parquet(out / "predictions.parquet"), uninterrupted, check_exact=True)
    epochs = [line.split('"epoch": ')[1] for line in (out / "history.jsonl").read_text().splitlines()]
    assert len(epochs) == len(set(epochs)) == 30
