"""Few labels of real recordings: what pretraining on synthetic adults is worth, and what the texts are.

    python benchmarks/real_low_resource.py --shards DIR --adults DIR --out DIR [--seeds 1,2,3] [--sizes 20,50,100,311]

`--shards`: PTB-XL with its own folds (`peace index --cohort ptbxl ... split.official_folds=true`, `peace preprocess`):
trained on folds 1-8 or a few records of them, epoch chosen on 9, tested on 10. `--rotate` turns the folds: each of the
ten is the test fold once, the one before it selects, and the predictions of all ten are judged together. `--adults`:
shards of synthetic adults.

  supervised       the encoder with a linear layer on the mean token, from random weights: a plain 1-D ResNet
  ecg_only, peace  the same encoder with the label query network, without and with texts, from random weights
  synthetic        PEACE pretrained on the synthetic adults, as it is (no real record)
  ecg_only+, peace+   pretrained on the synthetic adults, then fine-tuned

Every training on real records takes at least --steps steps, judged about every tenth. Finished trainings are kept in
--out, so a second call continues. The synthetic adults' amplitudes were derived from PTB-XL records
(docs/synthetic.md).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from peace.checkpoint import copy_checkpoint, load_classifier
from peace.config import Config, load_config, override_config
from peace.core.errors import PeaceError
from peace.core.progress import progress
from peace.data.shards import Records, ShardSet
from peace.evaluation.intervals import mean_paired_difference, percentiles, resampled_auc
from peace.evaluation.predictions import Predictions
from peace.training.batches import MemorySource
from peace.training.checkpoint_manager import CheckpointManager
from peace.training.plan import TrainingPlan, build_plan
from peace.training.predict import score
from peace.training.train import start_classifier, train

MODELS = ("supervised", "ecg_only", "peace", "synthetic", "ecg_only+", "peace+")
REFERENCE = "supervised"
LEAST = 3  # positives that a label needs among the test records to be scored
BATCH = 32


@dataclass(frozen=True)
class Training:
    """One model at a seed on so many records, with one fold for the test."""

    model: str
    seed: int
    size: int
    fold: int

    @property
    def name(self) -> str:
        return f"{self.model}-seed-{self.seed}-{self.size}-fold-{self.fold}"


def folds_of(shards: ShardSet, tree: Path) -> tuple[Records, np.ndarray]:
    """All records of the shards, and the fold of each from ptbxl_database.csv."""
    import pandas as pd

    parts = [shards.load(split) for split in ("train", "val", "test")]
    names = Records.__dataclass_fields__
    records = Records(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
    table = pd.read_csv(tree / "ptbxl_database.csv").set_index("ecg_id")["strat_fold"]
    return records, table.loc[records.record_id.astype(int)].to_numpy()


def settings_of(training: Training, config: Config) -> Config:
    """The configuration of a model: method, readout, seed."""
    method = {"supervised": "ecg_only", "synthetic": "peace"}.get(training.model, training.model.rstrip("+"))
    readout = "linear" if training.model == "supervised" else "query"
    changes = {"seed": training.seed, "objective": {"method": method}, "model": {"readout": readout}}
    return override_config(config, changes)


def pretrain(method: str, seed: int, config: Config, adults: str, out: Path) -> Path:
    """Pretrain a method on the adults unless that is done; returns the checkpoint of its best epoch."""
    place = out / f"pretrain-{method}-seed-{seed}"
    if (place / "done").exists():
        return place
    torch.set_num_threads(1)
    config = settings_of(Training(method, seed, 0, 0), config)
    _fit(build_plan(config, "pretrain", adults), place)
    (place / "done").touch()
    return place


def run(training: Training, config: Config, args: argparse.Namespace) -> None:
    """Train, and write the test fold's probabilities to OUT/<name>.npz."""
    file = args.out / f"{training.name}.npz"
    if file.exists():
        return
    torch.set_num_threads(1)
    shards = ShardSet.open(args.shards)
    records, fold = folds_of(shards, args.real)
    config = settings_of(training, config)
    test = records.select(fold == training.fold)
    start = args.out / f"pretrain-{config.objective.method}-seed-{training.seed}"
    if training.model == "synthetic":
        classifier, _ = start_classifier(start, shards, config.adapt.calibrate_amplitude)
    else:
        classifier = _tune(training, config, shards, records, fold, start, file.with_suffix(""))
    probability = score(classifier.eval(), test, torch.device("cpu")).probability
    with open(file, "wb") as handle:
        np.savez(
            handle, record_id=test.record_id, patient_id=test.patient_id, probability=probability, target=test.target
        )


def _tune(
    training: Training, config: Config, shards: ShardSet, records: Records, fold: np.ndarray, start: Path, place: Path
) -> Any:
    choosing = training.fold - 1 or 10  # 9 beside the official test fold 10
    pool = np.flatnonzero((fold != training.fold) & (fold != choosing))
    rows = np.random.default_rng(training.seed).permutation(pool)[: training.size]
    if training.model.endswith("+"):
        plan = build_plan(config, "adapt", shards.path, start)
    else:
        plan = build_plan(config, "pretrain", shards.path)
    source = MemorySource(records.select(np.sort(rows)), plan.settings.batch_size, training.seed)
    _fit(plan, place, source, records.select(fold == choosing))
    return load_classifier(place)[0]


def _fit(plan: TrainingPlan, place: Path, source: Any = None, validation: Records | None = None) -> None:
    """Train and keep the checkpoint of the epoch with the best validation AUC."""
    store = CheckpointManager(place / "checkpoints")
    train(plan, store=store, source=source, validation=validation)
    copy_checkpoint(store.best(), place / "checkpoint")


def gather(out: Path, model: str, seed: int, size: int, folds: Sequence[int], labels: Sequence[str]) -> Predictions:
    """The test predictions of a model at a seed, of all its folds together."""
    parts = [np.load(out / f"{Training(model, seed, size, fold).name}.npz") for fold in folds]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0].files}
    scored = [k for k in range(len(labels)) if LEAST <= joined["target"][:, k].sum() <= len(joined["target"]) - LEAST]
    count = len(joined["record_id"])
    return Predictions(
        joined["record_id"].astype(object),
        np.full(count, "test", dtype=object),
        np.unique(joined["patient_id"], return_inverse=True)[1],
        np.full(count, np.nan),
        joined["probability"][:, scored].astype(float),
        joined["target"][:, scored].astype(int),
        tuple(labels[k] for k in scored),
        True,
    )


def conclude(args: argparse.Namespace, folds: Sequence[int], labels: Sequence[str]) -> dict[str, Any]:
    """For each size and model: mean macro AUC over seeds with its interval, and the difference to the plain network."""
    table = []
    for size in args.sizes:
        held = {}
        for model in args.models:
            held[model] = [gather(args.out, model, seed, size, folds, labels) for seed in args.seeds]
        for model, runs in held.items():
            columns = list(range(len(runs[0].labels)))
            drawn = np.mean([np.nanmean(resampled_auc(one, columns, 1000, 42), axis=1) for one in runs], axis=0)
            points = [_macro(one) for one in runs]
            row = {"size": size, "model": model, "macro_auc": float(np.mean(points)), "by_seed": points}
            row |= dict(zip(("low", "high"), percentiles(drawn, 0.95), strict=True))
            row["sd"] = float(np.std(points, ddof=1)) if len(points) > 1 else None
            if model != REFERENCE and REFERENCE in held:
                found = mean_paired_difference(list(zip(held[REFERENCE], runs, strict=True)), 1000, 0.95, 42)
                row |= {"difference": found.difference, "difference_low": found.low, "difference_high": found.high}
            table.append(row)
    first = gather(args.out, args.models[0], args.seeds[0], args.sizes[0], folds, labels)
    positives = dict(zip(first.labels, first.target_nk.sum(axis=0).tolist(), strict=True))
    return {"test_records": len(first), "patients": first.patients, "positives": positives, "rows": table}


def _macro(held: Predictions) -> float:
    from peace.evaluation.metrics import macro_auc

    return macro_auc(held)


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    print(f"{result['test_records']} test records, {result['patients']} patients; positives: {result['positives']}")
    for row in result["rows"]:
        line = f"{row['size']:>5} {row['model']:<11} {row['macro_auc']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
        line += f"  sd {row['sd']:.3f}" if row["sd"] is not None else ""
        if "difference" in row:
            line += f"  {row['difference']:+.3f} ({row['difference_low']:+.3f} to {row['difference_high']:+.3f})"
        print(line)


def _steps_of(steps: int) -> list[str]:
    """Settings by which small sets have so many steps, from random weights as from pretrained ones."""
    settings = {"batch_size": BATCH, "epochs": max(1, steps // 10), "min_steps": steps}
    both = [f"{stage}.{key}={value}" for stage in ("pretrain", "adapt") for key, value in settings.items()]
    return [*both, "adapt.protocol=few-shot"]


def main() -> int:
    """Run from the command line."""
    numbers = lambda text: [int(word) for word in text.split(",")]  # noqa: E731
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--adults", type=Path, required=True)
    parser.add_argument("--real", type=Path, default=Path("../shared/data/ptbxl"), help="folder of the PTB-XL tree")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=numbers, default=[1, 2, 3, 4, 5])
    parser.add_argument("--sizes", type=numbers, default=[20, 50, 100, 311], help="more than there are: all there are")
    parser.add_argument("--models", type=lambda text: text.split(","), default=list(MODELS))
    parser.add_argument("--rotate", action="store_true", help="each fold is the test fold once")
    parser.add_argument("--epochs", type=int, default=2, help="of the pretraining on the adults")
    parser.add_argument("--steps", type=int, default=200, help=f"of {BATCH} records, on the real ones")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("overrides", nargs="*", help="key=value of the configuration")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.out, args.shards, args.adults = (path.absolute() for path in (args.out, args.shards, args.adults))
    try:
        adults = load_config("demo", None, [f"pretrain.epochs={args.epochs}", *args.overrides])
        real = load_config("demo", None, [*_steps_of(args.steps), *args.overrides])
        shards = ShardSet.open(args.shards)
        folds = range(1, 11) if args.rotate else [10]
        wanted = {model.rstrip("+") for model in args.models if model.endswith("+")}
        wanted |= {"peace"} & {"peace" for model in args.models if model == "synthetic"}
        with ProcessPoolExecutor(args.processes) as pool:
            starts = [(method, seed) for seed in args.seeds for method in sorted(wanted)]
            waiting = [pool.submit(pretrain, *start, adults, str(args.adults), args.out) for start in starts]
            for one in progress(waiting, "pretraining", unit="training"):
                one.result()
            trainings = [
                Training(model, seed, size, fold)
                for fold in folds
                for seed in args.seeds
                for size in args.sizes
                for model in args.models
            ]
            waiting_real = [pool.submit(run, training, real, args) for training in trainings]
            for done in progress(waiting_real, "real records", unit="training"):
                done.result()
        result = conclude(args, folds, shards.labels)
    except PeaceError as error:
        print(f"real_low_resource: {error}", file=sys.stderr)
        return 2
    show(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
