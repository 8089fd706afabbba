"""How real the synthetic adults are: train on them alone, score real PTB-XL records, label by label.

    python benchmarks/sim_to_real.py --real DIR_OF_PTBXL [--records N] [--epochs E] [--seeds 1,2,3] [--json FILE]
    python benchmarks/sim_to_real.py --transfer        (synthetic adults and children against each other)

The real records are read for scoring only. But the simulator's adult amplitudes and noise levels are population values
that were derived from these same recordings (docs/synthetic.md): the figure is a little flattered by that.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from peace.config import AugmentConfig, Config, SignalConfig, load_config
from peace.core.errors import DataError
from peace.core.progress import progress
from peace.data.labels import load_label_set
from peace.data.signal import LEADS, Recording, RecordRejected, condition_file
from peace.data.signal.condition import condition
from peace.models import EcgClassifier
from peace.synthetic import LABELS, Variety, generate
from peace.training.augment import augment

LEAST = 3  # positives and negatives that a label needs to be scored
Arrays = tuple[np.ndarray, np.ndarray]


def real_records(root: Path, config: Config) -> Arrays:
    """Labelled PTB-XL records: signals (n, 12, T) int16 in microvolts, labels (n, 12). Raises DataError without any."""
    import pandas as pd

    if not (root / "ptbxl_database.csv").exists():
        raise DataError(f"{root} holds no ptbxl_database.csv: name the folder of a PTB-XL tree with --real")
    label_set = load_label_set(config.labels.set)
    statements = pd.read_csv(root / "scp_statements.csv", index_col=0)
    subclass = statements[statements.diagnostic == 1].diagnostic_subclass.to_dict()
    signals, labels = [], []
    for row in pd.read_csv(root / "ptbxl_database.csv").itertuples():
        found = label_set.from_scp(ast.literal_eval(row.scp_codes), subclass)
        if not found:
            continue
        try:
            read = condition_file(root / row.filename_hr, "ptbxl", config.signal, config.leads, config.quality)
        except RecordRejected as error:
            print(f"{row.filename_hr}: left out, {error}", file=sys.stderr)
            continue
        signals.append(read.signal)
        labels.append([name in found for name in LABELS])
    return np.stack(signals), np.array(labels, np.uint8)


def synthetic_records(
    n: int, seed: int, population: str, variety: Variety, config: Config, unlabelled: bool = False
) -> Arrays:
    """Conditioned as real ones are; those that the quality limits reject, or that carry no label, are left out."""
    cohort = {"adult": "mimic", "child": "zzu"}.get(population, population)
    signals, labels = [], []
    for start in progress(range(0, n, 512), f"synthetic {population}", unit="batch"):
        count = min(512, n - start)
        raw, truth, _ = generate(count, seed * 1_000_003 + start, population, variety=variety)  # type: ignore[arg-type]
        for signal, label in zip(raw, truth, strict=True):
            if not label.any() and not unlabelled:
                continue
            record = Recording(LEADS, 500.0, signal.T.astype(np.float64), signal.shape[1])
            try:
                signals.append(condition(record, cohort, config.signal, config.leads, config.quality).signal)
            except RecordRejected:
                continue
            labels.append(label)
    return np.stack(signals), np.array(labels, np.uint8)


def train(
    data: Arrays, config: Config, seed: int, start: EcgClassifier | None = None, epochs: int = 0
) -> EcgClassifier:
    """Fit the classifier (ECG alone, binary cross-entropy), from `start` at a lower rate where there is one."""
    signals, labels = (torch.from_numpy(part) for part in data)
    torch.manual_seed(seed)
    model = EcgClassifier(config.model, LABELS)
    if start is None:
        model.set_scale([float(np.median(np.ptp(data[0][:2000, lead], axis=1))) / 1e4 for lead in range(12)])
    else:
        model.load_state_dict(start.state_dict())
    epochs = epochs or config.pretrain.epochs
    steps = epochs * (len(signals) // config.pretrain.batch_size)
    rate = config.pretrain.learning_rate * (0.5 if start else 1.0)
    optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps + 1)
    generator = torch.Generator().manual_seed(seed)
    loss = torch.nn.BCEWithLogitsLoss()
    model.train()
    size = config.pretrain.batch_size
    bar = progress(None, "train", total=steps, unit="step")
    for _ in range(epochs):
        order = torch.randperm(len(signals), generator=generator)
        for first in range(0, len(order) - size + 1, size):
            rows = order[first : first + size]
            ecg, mask = signals[rows].float() / 1000, torch.ones(size, 12)
            ecg, mask = augment(ecg, mask, config.pretrain.augment, generator)
            value = loss(model(ecg, mask), labels[rows].float())
            optimiser.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            bar.update()
    bar.close()
    return model.eval()


@torch.no_grad()
def predict(model: EcgClassifier, signals: np.ndarray) -> np.ndarray:
    """Probabilities (n, 12)."""
    parts = torch.from_numpy(signals).split(256)
    found = [torch.sigmoid(model(part.float() / 1000, torch.ones(len(part), 12))) for part in parts]
    return torch.cat(found).numpy()


def aucs(probability: np.ndarray, labels: np.ndarray, least: int = LEAST) -> dict[str, float]:
    """AUC of each label with at least so many positives and negatives."""
    counts = labels.sum(axis=0)
    return {
        name: float(roc_auc_score(labels[:, at], probability[:, at]))
        for at, name in enumerate(LABELS)
        if least <= counts[at] <= len(labels) - least
    }


def settings(epochs: int, overrides: Sequence[str]) -> Config:
    """The demo's network at 100 Hz, with stronger changes of the training batch."""
    config = load_config("demo", None, overrides)
    changes = AugmentConfig(lead_dropout=0.1, gain=0.2, noise_mv=0.03, shift=0.4)
    pretrain = config.pretrain.model_copy(update={"epochs": epochs, "augment": changes})
    return config.model_copy(update={"pretrain": pretrain, "signal": SignalConfig(rate=100)})


def variety_of(args: argparse.Namespace) -> Variety:
    """What the command line turns down."""
    return Variety(args.flat, args.leadfield, args.noise)


def sim_to_real(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Macro and per-label AUC on real records, the mean over seeds, and of their averaged probabilities."""
    real = real_records(args.real, config)
    runs, mean = [], np.zeros(real[1].shape)
    for seed in args.seeds:
        data = synthetic_records(args.records, seed, args.population, variety_of(args), config, args.unlabelled)
        probability = predict(train(data, config, seed), real[0])
        mean += probability / len(args.seeds)
        runs.append(aucs(probability, real[1]))
    labels = {name: float(np.mean([run[name] for run in runs])) for name in runs[0]}
    together = aucs(mean, real[1])
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(mean), len(mean)) for _ in range(1000)]
    again = [list(aucs(mean[rows], real[1][rows], least=1).values()) for rows in draws]
    low, high = np.percentile([np.mean(values) for values in again if len(values) == len(together)], [2.5, 97.5])
    return {
        "real_records": len(real[1]),
        "positives": {name: int(real[1][:, LABELS.index(name)].sum()) for name in labels},
        "macro_auc": float(np.mean(list(labels.values()))),
        "macro_auc_by_seed": [float(np.mean(list(run.values()))) for run in runs],
        "macro_auc_ensemble": float(np.mean(list(together.values()))),
        "macro_auc_ensemble_interval": [float(low), float(high)],
        "labels": labels,
    }


def transfer(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """AUC on synthetic children of a model of synthetic adults: as it is, after 50 shots a label, after full tuning."""
    seed = args.seeds[0]
    test = synthetic_records(2200, seed + 900, "child", Variety(), config)
    children = synthetic_records(2400, seed + 500, "child", Variety(), config)
    adults = synthetic_records(args.records, seed, "adult", variety_of(args), config)
    model = train(adults, config, seed)
    few = shots(children[1], 50, seed)
    tuned = {
        "zero-shot": model,
        "50-shot": train((children[0][few], children[1][few]), config, seed, model, 10),
        "full": train(children, config, seed, model, 10),
    }
    found = {name: aucs(predict(one, test[0]), test[1]) for name, one in tuned.items()}
    return {name: {"macro_auc": float(np.mean(list(one.values()))), "labels": one} for name, one in found.items()}


def shots(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows of up to `count` records of each label."""
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(labels[:, at]))[:count] for at in range(labels.shape[1])]
    return np.unique(np.concatenate(rows))


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, default=Path("../shared/data/ptbxl"), help="folder of a PTB-XL tree")
    parser.add_argument("--records", type=int, default=8000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[1])
    parser.add_argument("--population", choices=["adult", "ptbxl"], default="adult")
    parser.add_argument("--flat", action="store_true", help="every abnormal label as frequent as any other")
    parser.add_argument("--leadfield", type=float, default=1.0, help="spread of the lead field; 0: one fixed matrix")
    parser.add_argument("--noise", type=float, default=1.0, help="factor on the noise; 0: clean")
    parser.add_argument("--unlabelled", action="store_true", help="train on records without any label too")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--transfer", action="store_true", help="synthetic adults and children instead of real records")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("overrides", nargs="*", help="key=value of the configuration")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    started = time.perf_counter()
    try:
        config = settings(args.epochs, args.overrides)
        result = transfer(args, config) if args.transfer else sim_to_real(args, config)
    except DataError as error:
        print(f"sim_to_real: {error}", file=sys.stderr)
        return 2
    result["seconds"] = round(time.perf_counter() - started, 1)
    print(json.dumps(result, indent=2))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
