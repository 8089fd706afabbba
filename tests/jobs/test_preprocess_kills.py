"""`peace preprocess` killed in each of its parts: what is finished stays, nothing is doubled, nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cohort_manifests import write_cohort, write_manifest
from preprocess_runs import (
    SHARD_MAKERS,
    SMALL,
    add_node,
    cluster,
    content,
    kill,
    processes_below,
    start,
    wait_for_makers,
    wait_for_shards,
)

from peace.data.shards import ShardSet

RECORDS = 400


def finished(job: subprocess.Popen[bytes], out: Path) -> dict[str, Any]:
    assert job.wait(150) == 0
    return dict(json.loads((out / "result.json").read_text()))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    return write_manifest(folder / "manifest.parquet", write_cohort(folder / "raw", RECORDS, seconds=20))


@pytest.fixture(scope="module")
def whole(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run that nothing interrupts."""
    out = tmp_path_factory.mktemp("whole") / "out"
    finished(start(manifest, out, SMALL), out)
    return out


def assert_equal(out: Path, whole: Path) -> None:
    assert content(out) == content(whole)
    assert ShardSet.open(out).digest == ShardSet.open(whole).digest
    assert not list(out.rglob("*.tmp"))


@pytest.mark.heavy
@pytest.mark.timeout(240)
def test_everything_killed(manifest: Path, whole: Path, tmp_path: Path) -> None:
    job = start(manifest, tmp_path / "out", SMALL)
    wait_for_shards(job, tmp_path / "out", 5)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    assert not (tmp_path / "out" / "result.json").exists()
    result = finished(start(manifest, tmp_path / "out", SMALL), tmp_path / "out")
    assert 0 < result["reused"] < RECORDS
    assert_equal(tmp_path / "out", whole)


@pytest.mark.heavy
@pytest.mark.timeout(240)
def test_killed_workers_are_replaced(manifest: Path, whole: Path, tmp_path: Path) -> None:
    job = start(manifest, tmp_path / "out", SMALL)
    for number in (3, 8, 13):
        wait_for_shards(job, tmp_path / "out", number)
        kill(*wait_for_makers(job, job.pid))
    assert finished(job, tmp_path / "out")["kept"] == RECORDS
    assert_equal(tmp_path / "out", whole)


@pytest.mark.heavy
@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_ends_in_order_and_goes_on(
    manifest: Path, whole: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Ray puts in signal handlers of its own, under which a SIGTERM ended in an abort and left files behind."""
    job = start(manifest, tmp_path / "out", SMALL)
    wait_for_shards(job, tmp_path / "out", 3)
    job.send_signal(number)
    assert job.wait(60) == 128 + number
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert 0 < finished(start(manifest, tmp_path / "out", SMALL), tmp_path / "out")["reused"] < RECORDS
    assert_equal(tmp_path / "out", whole)


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_killed_node(manifest: Path, whole: Path, tmp_path: Path) -> None:
    """A second node dies with all that runs on it: the job ends well on the first."""
    out = tmp_path / "out"
    with cluster() as nodes:
        raylet = add_node(nodes)
        job = start(manifest, out, SMALL, f"ray.address={nodes.address}")
        wait_for_shards(job, out, 3)
        makers = wait_for_makers(job, raylet, SHARD_MAKERS[:1])  # at work, not idle
        kill(raylet, *processes_below(raylet), *makers)
        assert len(list(out.glob("parts/*.json"))) < RECORDS // 4
        assert finished(job, out)["kept"] == RECORDS
    assert_equal(out, whole)


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_killed_driver_on_a_cluster_that_lives_on(manifest: Path, whole: Path, tmp_path: Path) -> None:
    """Tasks without a driver may still be at work when the same command comes again: they must do no harm."""
    out = tmp_path / "out"
    with cluster() as nodes:
        for number in (3, 20):
            job = start(manifest, out, SMALL, f"ray.address={nodes.address}")
            wait_for_shards(job, out, number)
            kill(job.pid)
            job.wait()
        result = finished(start(manifest, out, SMALL, f"ray.address={nodes.address}"), out)
        assert 0 < result["reused"] < RECORDS
    assert_equal(out, whole)


@pytest.mark.heavy
@pytest.mark.timeout(240)
def test_of_two_jobs_on_one_output_one_says_so(manifest: Path, whole: Path, tmp_path: Path) -> None:
    first = start(manifest, tmp_path / "out", SMALL)
    second = None
    try:
        wait_for_shards(first, tmp_path / "out", 1)
        second = start(manifest, tmp_path / "out", SMALL, stderr=subprocess.PIPE)
        said = second.communicate(timeout=60)[1].decode()
        assert second.returncode == 2
        assert said.count("\n") == 1
        assert f"another job is writing to {tmp_path / 'out'}" in said
        finished(first, tmp_path / "out")
    finally:
        kill(first.pid, *([second.pid] if second else []))
    assert_equal(tmp_path / "out", whole)
