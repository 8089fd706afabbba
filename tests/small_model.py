"""A tiny random model in a run directory, and WFDB records to show it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from peace.checkpoint import CheckpointMeta, save_checkpoint
from peace.config import load_config
from peace.data.labels import load_label_set
from peace.data.signal import LEADS
from peace.models import EcgClassifier


def write_run(run: Path, require: int = 12, thresholds: bool = True, overrides: Sequence[str] = ()) -> Path:
    """A run directory with the checkpoint of a random model; its text side is a file that must not be needed."""
    config = load_config("debug", overrides=[f"leads.require={require}", *overrides])
    labels = load_label_set("peace12")
    torch.manual_seed(0)
    classifier = EcgClassifier(config.model, labels.labels)
    values = config.model_dump(mode="json")
    meta = CheckpointMeta(
        labels=list(labels.labels),
        label_set=labels.name,
        label_set_digest=labels.digest,
        recipe={name: values[name] for name in ("signal", "leads", "quality")},
        statistics={},
        cohort="zzu",
        protocol="full",
        thresholds=dict.fromkeys(labels.labels, 0.48) if thresholds else None,
    )
    save_checkpoint(run / "checkpoint", classifier, config, meta, training={"text.weight": torch.ones(3)})
    return run


def write_record(
    place: Path, leads: Sequence[str] = LEADS, seconds: float = 12.0, rate: int = 500, seed: int = 0
) -> Path:
    """A WFDB record of beats and noise, format 16, limb leads first; returns the path of its .hea."""
    generator = np.random.default_rng(seed)
    at = np.arange(round(seconds * rate)) / rate
    beat = np.exp(-(((at % 0.7) - 0.3) ** 2) / 0.0003)
    size_mv = generator.uniform(-1, 1.5, len(leads))
    samples_mv = beat[:, None] * size_mv + generator.normal(0, 0.02, (len(at), len(leads)))
    if len(leads) >= 6:
        one, two = samples_mv[:, 0], samples_mv[:, 1]
        samples_mv[:, 2:6] = np.stack([two - one, -(one + two) / 2, one - two / 2, two - one / 2], axis=1)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.with_suffix(".dat").write_bytes(np.rint(samples_mv * 1000).astype("<i2").tobytes())
    lines = [f"{place.name} {len(leads)} {rate} {len(at)}"]
    lines += [f"{place.name}.dat 16 1000(0)/mV 16 0 0 0 0 {lead}" for lead in leads]
    place.with_suffix(".hea").write_text("\n".join(lines) + "\n")
    return place.with_suffix(".hea")
