"""An epoch streamed from shards by Ray Train, and by the same loop without Ray: the part of benchmarks/training.py
that needs the whole project.

Each side runs in a process of its own, in turns. The loop counts from its call to its last checkpoint; Ray Train from
its call, on a cluster that is up, to its end: starting workers, reading, validation and checkpoints are in both.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

OPTIONS = ("pretrain.epochs=1", "ray.in_memory_mb=0", "tracking.enabled=false")
PART = 2048
VALIDATION = 256


def write_shards(place: Path, count: int, *overrides: str, recordings: np.ndarray | None = None) -> Path:
    """Shards of the demo's shape: `count` records to train on, and a few to validate and test.

    The signals are random, or `recordings` (N, 12, T) in int16 microvolts over and over.
    """
    from peace.config import load_config
    from peace.core.files import write_json
    from peace.data.labels import load_label_set
    from peace.data.shards import FORMAT, SPLITS
    from peace.data.shards.writer import ShardWriter
    from peace.data.signal import LEADS, QUALITY, Conditioned

    config, labels = load_config("demo", None, list(overrides)), load_label_set("peace12")
    values, rng = config.model_dump(mode="json"), np.random.default_rng(0)
    length = round(config.signal.rate * config.signal.seconds)
    splits = dict(zip(SPLITS, (count, VALIDATION, VALIDATION), strict=True))
    entries = []
    for split, rows in splits.items():
        (place / split).mkdir(parents=True)
        for start in range(0, rows, PART):
            name = f"{split}/part-{start:06d}.parquet"
            found = range(start, min(start + PART, rows))
            with ShardWriter(place / name) as writer:
                for number in found:
                    if recordings is None:
                        signal = np.cumsum(rng.integers(-40, 41, (len(LEADS), length)), axis=1).astype(np.int16)
                    else:
                        signal = recordings[number % len(recordings)]
                    quality = dict.fromkeys(QUALITY, 0.0)
                    record = Conditioned(signal, np.ones(len(LEADS), np.uint8), length, quality)
                    own = rng.choice(labels.labels, rng.integers(1, 3), replace=False).tolist()
                    who = {"record_id": f"{split}-{number}", "patient_id": f"{split}-{number}", "cohort": "mimic"}
                    writer.add({**who, "split": split, "age_days": 9000, "sex": "F", "labels": own}, record)
            entries.append({"path": name, "rows": len(found), "sha256": name})
    per_lead = dict.fromkeys(("mean_mv", "std_mv", "peak_to_peak_mv"), [1.0] * len(LEADS))
    manifest = {
        "format": FORMAT, "labels": list(labels.labels), "label_set": labels.name,
        "label_set_digest": labels.digest, "splits": splits, "shards": entries,
        "recipe": {name: values[name] for name in ("signal", "leads", "quality")},
        "statistics": {"mimic": {**per_lead, "records": count}}, "patients_checked": True,
    }  # fmt: skip
    write_json(place / "_manifest.json", manifest)
    return place


def by_loop(shards: Path, out: Path) -> dict[str, float]:
    """The loop without Ray, in this process."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    started = time.perf_counter()
    from peace.config import load_config
    from peace.training.checkpoint_manager import CheckpointManager
    from peace.training.plan import build_plan
    from peace.training.run import Hooks
    from peace.training.train import train

    config = load_config("demo", None, list(OPTIONS))
    epochs: list[dict[str, Any]] = []
    train(build_plan(config, "pretrain", shards), Hooks(on_epoch=epochs.append), CheckpointManager(out))
    return _measured(time.perf_counter() - started, epochs[-1])


def by_ray(shards: Path, out: Path) -> dict[str, float]:
    """`peace pretrain`, in this process."""
    import jobs.training.launcher
    from jobs.pretrain import VERB
    from jobs.runtime.harness import main

    inner, seconds = jobs.training.launcher.train_on_ray, [0.0]

    def timed(*args: Any, **options: Any) -> Path:
        started = time.perf_counter()
        found = inner(*args, **options)
        seconds[0] = time.perf_counter() - started
        return found

    jobs.training.launcher.train_on_ray = timed
    words = ["--shards", str(shards), "--out", str(out), "--preset", "demo", *OPTIONS]
    if main(VERB, words) != 0:
        raise SystemExit("peace pretrain failed")
    history = (out / "history.jsonl").read_text(encoding="utf-8").splitlines()
    return _measured(seconds[0], json.loads(history[-1]))


def _measured(seconds: float, epoch: dict[str, Any]) -> dict[str, float]:
    return {"seconds": seconds, "inner_sps": epoch["samples_per_second"], "data_wait": epoch["data_wait_share"]}


def read_rate(shards: Path) -> float:
    """Records a second that the training's source gives when nobody trains."""
    from peace.data.shards import ShardSet
    from peace.training.streaming import StreamSource

    source = StreamSource(ShardSet.open(shards), 64, 0)
    started = time.perf_counter()
    count = sum(len(batch.target) for batch in source.epoch(0))
    return count / (time.perf_counter() - started)


def epochs_of_both(folder: Path, count: int, turns: int) -> dict[str, Any]:
    """loop_sps, ray_sps, data_wait and read_sps of an epoch of `count` records."""
    print(f"writing shards of {count} records", flush=True)
    shards = write_shards(folder / "shards", count)
    sides: dict[str, list[dict[str, float]]] = {"loop": [], "ray": []}
    for turn in range(turns):
        for side, found in sides.items():
            command = [sys.executable, __file__, side, str(shards), str(folder / f"{side}-{turn}")]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
            if done.returncode != 0:
                raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
            found.append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{side}: {count / found[-1]['seconds']:.0f} samples/s", flush=True)

    def median(side: str, name: str) -> float:
        return statistics.median(found[name] for found in sides[side])

    return {
        "epoch_records": count,
        "loop_sps": count / median("loop", "seconds"),
        "ray_sps": count / median("ray", "seconds"),
        "loop_inner_sps": median("loop", "inner_sps"),
        "ray_inner_sps": median("ray", "inner_sps"),
        "data_wait": max(found["data_wait"] for side in sides.values() for found in side),
        "read_sps": read_rate(shards),
    }


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    way, at, to = sys.argv[1:]
    print(json.dumps({"loop": by_loop, "ray": by_ray}[way](Path(at), Path(to))))
