"""`peace preprocess` in a process of its own, what its shards hold, and the processes that Ray has for it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

SETTINGS = ["--preset", "debug", "tracking.enabled=false"]
SMALL = "preprocess.shard_mb=0.1"  # four records a shard
SHARD_MAKERS = ("ray::MapBatches(make_shards)", "ray::IDLE")  # between two shards Ray calls a worker idle


def content(out: Path) -> list[tuple]:
    """Everything that the shards hold, sorted by record: equal for equal output, whatever the shard files."""
    rows = []
    for file in sorted((out / "shards").glob("*/*.parquet")):
        table = pq.read_table(file)
        signals = table["signal"].to_pylist()
        plain = table.drop_columns(["signal", "lead_mask", "peak_to_peak_mv"]).to_pylist()
        rows += [(row["record_id"], repr(row), signals[index]) for index, row in enumerate(plain)]
    return sorted(rows)


def start(manifest: Path, out: Path, *settings: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start the job as the first process of a group."""
    command = [sys.executable, "-m", "jobs.preprocess", "--manifest", str(manifest), "--out", str(out)]
    options = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **options}
    return subprocess.Popen([*command, *SETTINGS, *settings], start_new_session=True, **options)


def wait_for_shards(job: subprocess.Popen[bytes], out: Path, number: int) -> None:
    """Until so many shards are finished; the job must still be at it."""
    deadline = time.time() + 120
    while len(list(out.glob("parts/*.json"))) < number:
        assert job.poll() is None
        assert time.time() < deadline
        time.sleep(0.02)


def processes_below(pid: int, names: tuple[str, ...] = ("",)) -> list[int]:
    """Processes below another whose command begins with one of the names."""
    parents: dict[int, int] = {}
    commands: dict[int, str] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            commands[int(place.name)] = (place / "cmdline").read_text()
            parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = []
    for process, command in commands.items():
        above = process
        while above in parents and above != pid:
            above = parents[above]
        if above == pid and process != pid and command.startswith(names):
            found.append(process)
    return found


def wait_for_makers(job: subprocess.Popen[bytes], below: int, names: tuple[str, ...] = SHARD_MAKERS) -> list[int]:
    """At least one process that makes shards, below a driver or a raylet."""
    deadline = time.time() + 60
    while not (found := processes_below(below, names)):
        assert job.poll() is None
        assert time.time() < deadline
        time.sleep(0.005)
    return found


def kill(*pids: int) -> None:
    """SIGKILL, also to what has just ended by itself."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


@contextmanager
def cluster() -> Iterator[Any]:
    """A Ray cluster of this machine's own with a head that has one CPU: ray.cluster_utils.Cluster."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    Path("/tmp/ray").mkdir(exist_ok=True)  # where Ray notes the newest cluster's address
    place = Path(tempfile.mkdtemp(prefix="peace-nodes-"))
    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 2**27, "temp_dir": str(place)}
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield made
    finally:
        made.shutdown()
        shutil.rmtree(place, ignore_errors=True)


def add_node(made: Any) -> int:
    """Add a node of one CPU; returns the process id of its raylet, under which its workers are."""
    node = made.add_node(num_cpus=1, object_store_memory=2**27)
    return int(node.all_processes["raylet"][0].process.pid)
