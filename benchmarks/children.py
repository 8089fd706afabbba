"""The models that real_low_resource.py pretrained on synthetic adults, on synthetic children: what the texts are worth.

    python benchmarks/children.py --pretrained DIR --children DIR [--seeds 1,2,3,4,5] [--methods peace,ecg_only]

`--pretrained`: the --out of real_low_resource.py. `--children`: shards of synthetic children (`peace index --cohort
zzu`, `peace preprocess`). Zero-shot on the test split, then after up to --shots records a label, drawn by the seed,
with the epoch chosen on the validation split; macro AUC, and the paired difference to PEACE by patient over all seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from peace.checkpoint import load_classifier
from peace.config import load_config, override_config
from peace.core.errors import PeaceError
from peace.data.shards import Records, ShardSet
from peace.evaluation.intervals import mean_paired_difference
from peace.evaluation.metrics import macro_auc
from peace.evaluation.predictions import Predictions
from peace.models import EcgClassifier
from peace.training.checkpoint_manager import CheckpointManager
from peace.training.plan import build_plan
from peace.training.predict import score
from peace.training.train import start_classifier, train

REFERENCE = "peace"
PROTOCOLS = ("zero-shot", "few-shot")


def predictions(classifier: EcgClassifier, records: Records, labels: tuple[str, ...]) -> Predictions:
    """What a classifier says of the test records."""
    found = score(classifier.eval(), records, torch.device("cpu"))
    count = len(records)
    return Predictions(
        records.record_id.astype(object),
        np.full(count, "test", dtype=object),
        np.unique(records.patient_id, return_inverse=True)[1],
        np.full(count, np.nan),
        found.probability.astype(float),
        records.target.astype(int),
        labels,
        True,
    )


def transfer(pretrained: Path, children: Path, method: str, seed: int, shots: int) -> dict[str, Predictions]:
    """Test predictions zero-shot and after the shots."""
    torch.set_num_threads(1)
    start = pretrained / f"pretrain-{method}-seed-{seed}" / "checkpoint"
    shards = ShardSet.open(children)
    test, labels = shards.load("test"), tuple(shards.labels)
    zero, _ = start_classifier(start, shards, calibrate_amplitude=True)
    changes = {"seed": seed, "objective.method": method, "adapt.protocol": "few-shot", "adapt.shots": shots}
    plan = build_plan(override_config(load_config("demo"), changes), "adapt", children, start)
    with TemporaryDirectory() as folder:
        store = CheckpointManager(Path(folder))
        train(plan, store=store, validation=shards.load("val"))
        adapted, _ = load_classifier(store.best())
    found = predictions(zero, test, labels), predictions(adapted, test, labels)
    return dict(zip(PROTOCOLS, found, strict=True))


def conclude(held: dict[tuple[str, int], dict[str, Predictions]], methods: list[str], seeds: list[int]) -> list[Any]:
    """For each protocol and method the mean macro AUC, its deviation over the seeds, and the difference to PEACE."""
    rows = []
    for protocol in PROTOCOLS:
        for method in methods:
            runs = [held[method, seed][protocol] for seed in seeds]
            points = [macro_auc(run) for run in runs]
            deviation = float(np.std(points, ddof=1)) if len(points) > 1 else None
            row: dict[str, Any] = {"protocol": protocol, "method": method, "by_seed": points}
            row |= {"macro_auc": float(np.mean(points)), "sd": deviation}
            if method != REFERENCE and REFERENCE in methods:
                pairs = [(held[REFERENCE, seed][protocol], run) for seed, run in zip(seeds, runs, strict=True)]
                found = mean_paired_difference(pairs, 1000, 0.95, 42)
                row |= {"difference": found.difference, "low": found.low, "high": found.high}
            rows.append(row)
    return rows


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretrained", type=Path, required=True)
    parser.add_argument("--children", type=Path, required=True)
    parser.add_argument("--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[1, 2, 3, 4, 5])
    parser.add_argument("--methods", type=lambda text: text.split(","), default=["peace", "ecg_only"])
    parser.add_argument("--shots", type=int, default=50)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    try:
        with ProcessPoolExecutor(args.processes) as pool:
            waiting = {
                (method, seed): pool.submit(transfer, args.pretrained, args.children, method, seed, args.shots)
                for seed in args.seeds
                for method in args.methods
            }
            held = {key: one.result() for key, one in waiting.items()}
    except PeaceError as error:
        print(f"children: {error}", file=sys.stderr)
        return 2
    rows = conclude(held, args.methods, args.seeds)
    for row in rows:
        line = f"{row['protocol']:<10} {row['method']:<10} {row['macro_auc']:.3f}"
        line += f"  sd {row['sd']:.3f}" if row["sd"] is not None else ""
        line += f"  {row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})" if "difference" in row else ""
        print(line)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
