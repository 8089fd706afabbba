"""What benchmarks/training.py trains: shapes as plain values, to run where torch, transformers and numpy are all.

The values are those of the presets, which a test compares (tests/code/test_benchmarks.py). Weights, signals and labels
are random: timing needs no others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from peace.objectives.gate import make_gate
from peace.training.batches import MemorySource
from peace.training.distributed import DistributedContext
from peace.training.tasks import Task, make_task
from peace.training.trainer import Trainer

CURATED = Path(__file__).parents[1] / "peace" / "descriptors" / "curated.json"
PAPER = {
    "model": {
        "width": 768,
        "encoder": {
            "blocks": (3, 4, 23, 3), "widths": (64, 128, 128, 192), "expansion": 4, "stem": (32, 32, 64), "kernel": 5,
            "norm": "batch",
        },
        "text": {"frozen_layers": 10, "max_tokens": 64, "pooling": "pooler"},
        "query": {"depth": 7, "heads": 4, "feedforward": 1024, "dropout": 0.1, "head": 2048},
        "readout": "query",
    },
    "objective": {
        "method": "peace", "knowledge_weight": 0.5, "axis_dropout": 0.2, "contrastive_weight": 1.0,
        "reading": "label_set", "temperature": 0.1, "axis_composition": "mean", "fusion": "mlp",
        "text_variant": "three_axes", "name_queries": True,
        "gate": {
            "form": "power", "gamma": 1.0, "beta": 1.0, "slope": 10.0, "midpoint": 0.3, "floor": 0.5, "value": 1.0,
            "decay": 0.99, "warmup": 0.05,
        },
    },
    "pretrain": {
        "learning_rate": 5e-5, "text_learning_rate": 5e-5, "min_learning_rate": 1e-6, "warmup_steps": 500,
        "weight_decay": 0.02, "gradient_clip": 1.0, "tf32": False, "micro_batch_size": 0, "compile_encoder": False,
        "activation_checkpointing": False, "ema_decay": 0.0,
        "augment": {"lead_dropout": 0.0, "gain": 0.0, "noise_mv": 0.0, "shift": 0.0},
    },
}  # fmt: skip
DEMO = {
    **PAPER,
    "model": {
        "width": 128,
        "encoder": {
            "blocks": (2, 2, 2, 2), "widths": (32, 48, 64, 128), "expansion": 1, "stem": (16, 16, 32), "kernel": 5,
            "norm": "batch",
        },
        "text": {"frozen_layers": 6, "max_tokens": 48, "pooling": "mean"},
        "query": {"depth": 2, "heads": 4, "feedforward": 256, "dropout": 0.1, "head": 128},
        "readout": "query",
    },
    "pretrain": {
        **PAPER["pretrain"], "learning_rate": 1e-3, "warmup_steps": 50,
        "augment": {"lead_dropout": 0.05, "gain": 0.1, "noise_mv": 0.02, "shift": 0.3},
    },
}  # fmt: skip
BERT = {"paper": {"vocab_size": 28996}, "demo": {"vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6,
        "num_attention_heads": 12, "intermediate_size": 1536}}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """A network, and the samples a lead of its recordings."""

    name: str
    preset: str
    samples: int

    @property
    def values(self) -> dict[str, Any]:
        """The configuration, as plain values."""
        return PAPER if self.preset == "paper" else DEMO


SHAPES = {
    shape.name: shape
    for shape in (Shape("demo", "demo", 1000), Shape("paper-2500", "paper", 2500), Shape("paper", "paper", 5000))
}


def namespace(values: Any) -> Any:
    """Nested mappings as objects, which the training reads like its configuration."""
    if not isinstance(values, dict):
        return values
    return SimpleNamespace(**{name: namespace(value) for name, value in values.items()})


class Texts(SimpleNamespace):
    """The curated descriptors: labels, names and the texts of each axis."""

    def variant(self, name: str) -> Texts:
        """There is one here."""
        return self


def curated() -> Texts:
    """The descriptors, read without what checks them."""
    held = json.loads(CURATED.read_text(encoding="utf-8"))["labels"]
    texts = tuple(tuple(entry["axes"][axis] for axis in ("rhythm", "morphology", "st_t")) for entry in held.values())
    return Texts(labels=tuple(held), names=tuple(e["name"] for e in held.values()), texts=texts, by_age=())


def text_model(preset: str, folder: Path) -> str:
    """A BERT of the preset's shape with random weights, and a tokenizer of the descriptors' words, in a folder."""
    from transformers import BertConfig, BertModel
    from transformers.utils import logging

    from peace.models.text_loading import tiny_text_model

    place = folder / f"bert-{preset}"
    if not place.exists():
        logging.disable_progress_bar()
        texts = curated()
        _, tokenizer = tiny_text_model([*(text for axes in texts.texts for text in axes), *texts.names])
        BertModel(BertConfig(**BERT[preset])).save_pretrained(place)
        tokenizer.save_pretrained(place)
    return str(place)


def records(count: int, samples: int, labels: int, seed: int = 0) -> Any:
    """Random records as a training holds them, each with about one and a half labels."""
    rng = np.random.default_rng(seed)
    target = (rng.random((count, labels)) < 0.06).astype(np.uint8)
    target[np.arange(count), rng.integers(labels, size=count)] = 1
    return SimpleNamespace(
        record_id=np.array([f"r{number}" for number in range(count)]),
        signal=np.cumsum(rng.integers(-40, 41, (count, 12, samples), np.int16), axis=2, dtype=np.int16),
        lead_mask=np.ones((count, 12), np.uint8),
        target=target,
        age_days=np.full(count, np.nan, np.float32),
    )


def make_trainer(
    shape: Shape, batch: int, precision: str, steps: int, folder: Path, device: torch.device
) -> tuple[Trainer, Task]:
    """The trainer of a shape with `steps` batches in memory, and its task."""
    values = shape.values
    model = {**values["model"], "text": {**values["model"]["text"], "name": text_model(shape.preset, folder)}}
    config = namespace({**values, "model": model})
    config.pretrain.precision, config.pretrain.batch_size, config.pretrain.epochs = precision, batch, 100
    torch.manual_seed(0)
    texts = curated()
    task = make_task(config, texts.labels, texts)  # type: ignore[arg-type]
    source = MemorySource(records(batch * steps, shape.samples, len(texts.labels)), batch, 0)
    return Trainer(task, make_gate(config.objective), config.pretrain, source, DistributedContext(), device, 0), task
