"""Kill `peace preprocess` at random moments, and compare what it leaves with an uninterrupted run.

    python benchmarks/kills.py --kills 20 --seed 1 --json kills.json

In turn: all worker processes; the driver with its own cluster; the driver of a cluster that lives on; a node of two. A
job that survives its kill must end well; one that does not is started again by the same command. In the end the rows of
all shards, sorted, must have the digest of the uninterrupted run's. Exit code 1 where one differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))

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
)

PATIENCE = 300.0
Job = subprocess.Popen[bytes]


def kill_workers(job: Job, raylet: int) -> None:
    kill(*processes_below(job.pid, SHARD_MAKERS))


def kill_everything(job: Job, raylet: int) -> None:
    try:
        os.killpg(job.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def kill_driver(job: Job, raylet: int) -> None:
    kill(job.pid)


def kill_node(job: Job, raylet: int) -> None:
    kill(raylet, *processes_below(raylet))


# name: (what is killed, whether it runs on a cluster of two nodes that lives on)
TARGETS: dict[str, tuple[Callable[[Job, int], None], bool]] = {
    "workers": (kill_workers, False),
    "driver and its cluster": (kill_everything, False),
    "driver alone": (kill_driver, True),
    "node": (kill_node, True),
}


def rows_digest(out: Path) -> tuple[str, int]:
    """Digest of the sorted rows, and their number."""
    rows = content(out)
    seen = hashlib.sha256()
    for name, plain, signals in rows:
        seen.update(name.encode() + plain.encode() + signals)
    return seen.hexdigest(), len(rows)


def one_kill(name: str, manifest: Path, out: Path, shards: int, seconds: float) -> dict[str, Any]:
    """A run that is killed `seconds` after so many shards are finished, and run again until it is finished."""
    strike, on_nodes = TARGETS[name]
    with cluster() if on_nodes else nullcontext() as nodes:
        raylet = add_node(nodes) if nodes is not None else 0
        address = [f"ray.address={nodes.address}"] if nodes is not None else []
        job = start(manifest, out, SMALL, *address)
        while job.poll() is None and len(list(out.glob("parts/*.json"))) < shards:
            time.sleep(0.005)
        time.sleep(seconds)
        before = len(list(out.glob("parts/*.json")))
        in_time = not (out / "result.json").exists()
        strike(job, raylet)
        survived = job.wait(PATIENCE) == 0
        reruns = 0
        while not survived and reruns < 3:
            reruns += 1
            survived = start(manifest, out, SMALL, *address).wait(PATIENCE) == 0
        result = json.loads((out / "result.json").read_text()) if survived else {}
    return {"target": name, "shards_before": before, "in_time": in_time, "ended": survived,
            "reruns": reruns, "reused": result.get("reused"), "left_over": len(list(out.rglob("*.tmp")))}  # fmt: skip


def show(done: list[dict[str, Any]]) -> None:
    """The tally by what was killed."""
    print(f"\n{'killed':<24} {'n':>4} {'in the middle':>14} {'run again':>10} {'equal':>6} {'not':>4}")
    for name in [*TARGETS, "all"]:
        mine = [item for item in done if name in (item["target"], "all")]
        middle, again = (sum(bool(item[key]) for item in mine) for key in ("in_time", "reruns"))
        equal = sum(item["equal"] for item in mine)
        print(f"{name:<24} {len(mine):>4} {middle:>14} {again:>10} {equal:>6} {len(mine) - equal:>4}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill peace preprocess at random moments")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--records", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    place = Path(tempfile.mkdtemp(prefix="peace-kills-"))
    done: list[dict[str, Any]] = []
    try:
        rows = write_cohort(place / "raw", args.records, seconds=20)
        manifest = write_manifest(place / "manifest.parquet", rows)
        if start(manifest, place / "whole", SMALL).wait(PATIENCE):
            raise SystemExit("the uninterrupted run fails")
        expected = rows_digest(place / "whole")
        shards = len(list((place / "whole" / "parts").glob("*.json")))
        for number in range(args.kills):
            name = list(TARGETS)[number % len(TARGETS)]
            out = place / f"out{number}"
            item = one_kill(name, manifest, out, chance.randrange(shards), chance.uniform(0, 0.2))
            item["equal"] = item["ended"] and rows_digest(out) == expected
            print(json.dumps(item), flush=True)
            done.append(item)
            shutil.rmtree(out, ignore_errors=True)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    show(done)
    if args.json:
        report = {
            "kills": len(done),
            "seed": args.seed,
            "records": args.records,
            "all_equal": all(i["equal"] for i in done),
            "done": done,
        }
        args.json.write_text(json.dumps(report, indent=2))
    return 0 if all(item["equal"] for item in done) else 1


if __name__ == "__main__":
    sys.exit(main())
