"""Two machines: a job submitted from a third, over the network and with a token, loses one of them and gets another."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from cohort_manifests import write_cohort, write_manifest
from preprocess_runs import SETTINGS, SHARD_MAKERS, SMALL, content, start
from two_nodes import Nodes, nodes

from peace.data.shards import ShardSet

RECORDS = 1000


def makes_shards(machine: Nodes, name: str) -> bool:
    """Whether a worker on this node is at a shard."""
    for pid in machine.pids(name):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue
        if command.startswith(SHARD_MAKERS[0]):
            return True
    return False


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_a_node_is_killed_and_replaced(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "manifest.parquet", write_cohort(tmp_path / "raw", RECORDS, seconds=20))
    alone, both = tmp_path / "alone", tmp_path / "both"
    token = secrets.token_hex(32)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # where nodes find `python`, as in the image
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "PATH": path}
    with nodes(environment=environment) as machine:
        machine.start("head", 1, "--dashboard-host=0.0.0.0")
        machine.start("second", 1)
        address = f"http://{machine.ip('head')}:8265"
        for given, code in ((None, 401), ("0" * 64, 403)):
            headers = {"Authorization": f"Bearer {given}"} if given else {}
            request = urllib.request.Request(f"{address}/api/jobs/", headers=headers)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=60)
            assert refused.value.code == code

        words = ["preprocess", "--manifest", str(manifest), "--out", str(both), "--address", address]
        words += ["--shared", str(tmp_path)]  # the nodes share this machine's disk, but have addresses of their own
        job = subprocess.Popen(
            [sys.executable, "-m", "jobs.cli", "submit", *words, *SETTINGS, SMALL],
            env={**os.environ, "RAY_AUTH_TOKEN": token, "PEACE_CLUSTER_DIR": str(tmp_path / "none")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        deadline = time.monotonic() + 240
        while not (makes_shards(machine, "second") and list(both.glob("parts/*.json"))):
            assert job.poll() is None, job.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        machine.kill("second")
        finished = len(list(both.glob("parts/*.json")))
        machine.start("third", 1)
        said, _ = job.communicate(timeout=400)
        assert job.returncode == 0, said
        assert finished < len(list(both.glob("parts/*.json")))
    assert start(manifest, alone, SMALL).wait(200) == 0
    assert content(both) == content(alone)
    assert ShardSet.open(both).digest == ShardSet.open(alone).digest
    assert not list(both.rglob("*.tmp"))
