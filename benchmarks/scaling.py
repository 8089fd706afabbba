"""The cost model of docs/scaling.md against trainings on one and two workers of this machine.

    python benchmarks/scaling.py [--json FILE] [--records 6000] [--batch 64] [key=value ...]

Three rates are measured by themselves: seconds of a record and of the rest of a step, by the loop without Ray on one
thread at two batch sizes, and bytes a second that two processes exchange. The model makes samples a second of them,
which `peace pretrain` then does on 1 worker of 1 core, 2 workers of 1 core and 1 worker of 2 cores, in turns. Two cores
and under five minutes; key=value are those of `peace pretrain`, for another network.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from training_jobs import write_shards

SETTINGS = ((1, 1), (2, 1), (1, 2))  # workers, cores of each
OPTIONS = ("pretrain.epochs=1", "tracking.enabled=false")
EXCHANGES = 20


def rates(shards: Path, batches: list[int], overrides: list[str]) -> dict[str, float]:
    """Median seconds of a step by the loop on one thread, for each batch size, and the bytes of the gradients."""
    import torch

    from peace.config import load_config
    from peace.data.shards import ShardSet
    from peace.training.plan import build_plan
    from peace.training.run import Hooks
    from peace.training.train import build_task, train

    torch.set_num_threads(1)
    found = {}
    for batch in batches:
        config = load_config("demo", None, [*OPTIONS, *overrides, f"pretrain.batch_size={batch}"])
        plan = build_plan(config, "pretrain", shards)
        ends: list[float] = []
        train(plan, Hooks(on_step=lambda done, total, ends=ends: ends.append(time.perf_counter())))
        found[str(batch)] = statistics.median(after - before for before, after in pairwise(ends))
    task, _ = build_task(plan, ShardSet.open(shards))
    return found | {"gradient_bytes": sum(4 * p.numel() for p in task.parameters() if p.requires_grad)}


def exchange(rank: int, size: int, meeting: str) -> dict[str, float]:
    """Bytes a second between two processes, by the gradients' way: all of them get the mean of both."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{meeting}", timedelta(seconds=60), rank=rank, world_size=2)
    held = torch.ones(size // 4)
    dist.all_reduce(held)
    started = time.perf_counter()
    for _ in range(EXCHANGES):
        dist.all_reduce(held)
    seconds = (time.perf_counter() - started) / EXCHANGES
    dist.destroy_process_group()
    return {"network": size / seconds}


def trained(shards: Path, out: Path, workers: int, cores: int, overrides: list[str]) -> float:
    """Samples a second of an epoch of `peace pretrain`."""
    words = ["--shards", str(shards), "--out", str(out), "--preset", "demo", *OPTIONS, *overrides]
    words += [f"ray.workers={workers}", f"ray.cpus_per_worker={cores}"]
    subprocess.run([sys.executable, "-m", "jobs.pretrain", *words], check=True, stdout=subprocess.DEVNULL)
    epoch = json.loads((out / "history.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    return float(epoch["samples_per_second"])


def predicted(found: dict[str, float], batch: int, workers: int, cores: int) -> float:
    """Samples a second by the model."""
    from peace.planning.cost import step_parts

    sample, fixed = found["sample"] / cores, found["fixed"] / cores
    return batch / sum(step_parts(batch, workers, sample, fixed, found["gradient_bytes"], found["network"]).values())


def measure(folder: Path, count: int, batch: int, overrides: list[str]) -> dict[str, Any]:
    """Rates, and each setting as predicted and as measured."""
    few, shards = write_shards(folder / "few", count // 4), write_shards(folder / "shards", count)
    small = batch // 4
    found = _child(["rates", str(few), f"{batch},{small}", *overrides])
    large_step, small_step = found.pop(str(batch)), found.pop(str(small))
    found["sample"] = (large_step - small_step) / (batch - small)
    found["fixed"] = large_step - batch * found["sample"]
    size, meeting = str(found["gradient_bytes"]), str(folder / "meeting")
    other = _start(["exchange", "1", size, meeting])
    found |= _child(["exchange", "0", size, meeting])
    other.communicate()
    rows = []
    for workers, cores in SETTINGS:
        overridden = [*overrides, f"pretrain.batch_size={batch}"]
        measured = trained(shards, folder / f"{workers}-{cores}", workers, cores, overridden)
        said = predicted(found, batch, workers, cores)
        rows.append({"workers": workers, "cores": cores, "predicted": said, "measured": measured})
        print(f"{workers} x {cores}: predicted {said:.0f} samples/s, measured {measured:.0f}", flush=True)
    return {"batch": batch, "records": count, "overrides": overrides, **found, "rows": rows}


def _start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, __file__, "--part", *words], stdout=subprocess.PIPE, text=True)


def _child(words: list[str]) -> dict[str, float]:
    """What a part of this file finds in a process of its own."""
    process = _start(words)
    said, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"{words} ended with {process.returncode}")
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def part(words: list[str]) -> dict[str, float]:
    """A part by its name."""
    name, first, second, *rest = words
    if name == "rates":
        return rates(Path(first), [int(size) for size in second.split(",")], rest)
    return exchange(int(first), int(second), rest[0])


def show(found: dict[str, Any]) -> None:
    """Rates, and ratios against one worker of one core."""
    print(
        f"a record {found['sample'] * 1e3:.2f} ms, the rest of a step {found['fixed'] * 1e3:.1f} ms of a core; "
        f"gradients {found['gradient_bytes'] / 1e6:.1f} MB, exchanged at {found['network'] / 1e6:.0f} MB/s"
    )
    one = found["rows"][0]
    print("workers x cores   predicted   measured   ratio predicted   measured")
    for row in found["rows"]:
        ratios = row["predicted"] / one["predicted"], row["measured"] / one["measured"]
        print(
            f"{row['workers']:7d} x {row['cores']:<5d} {row['predicted']:11.0f} {row['measured']:10.0f} "
            f"{ratios[0]:17.2f} {ratios[1]:10.2f}"
        )


def main() -> None:
    """Run from the command line."""
    if sys.argv[1:2] == ["--part"]:
        print(json.dumps(part(sys.argv[2:])))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--records", type=int, default=6000, help="of each epoch")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    args = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("two cores are needed")
    with tempfile.TemporaryDirectory(prefix="peace-scaling-") as folder:
        found = measure(Path(folder), args.records, args.batch, args.overrides)
    show(found)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
