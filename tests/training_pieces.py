"""Small trainings in plain PyTorch: random records, and a trainer of the debug preset's size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from peace.config import load_config
from peace.data.shards import Records
from peace.descriptors import load_descriptors
from peace.objectives.gate import make_gate
from peace.training.batches import BesideUnlabelled, MemorySource, Source
from peace.training.distributed import DistributedContext
from peace.training.tasks import make_task
from peace.training.trainer import Trainer

LABELS = ("NORM", "LVH", "RVH", "STTC", "TAB_")
ALIGNING = ("dann", "mmd")


def random_records(count: int, length: int = 200) -> Records:
    rng = np.random.default_rng(0)
    target = (rng.random((count, len(LABELS))) < 0.4).astype(np.uint8)
    target[target.sum(axis=1) == 0, 0] = 1
    return Records(
        record_id=np.array([f"r{number:03d}" for number in range(count)]),
        patient_id=np.array([f"p{number:03d}" for number in range(count)]),
        signal=rng.normal(0, 500, (count, 12, length)).astype(np.int16),
        lead_mask=np.ones((count, 12), np.uint8),
        target=target,
        age_days=np.full(count, np.nan),
    )


def make_trainer(
    overrides: Sequence[str] = (), ranks: DistributedContext | None = None, count: int = 22, wise_ft_alpha: float = 0.0
) -> Trainer:
    """A trainer whose weights follow from the configuration alone."""
    ranks = ranks or DistributedContext()
    config = load_config("debug", None, ["pretrain.batch_size=8", *overrides])
    torch.manual_seed(0)
    method = config.objective.method
    task = make_task(config, LABELS, load_descriptors("curated", LABELS), unlabelled=method in ALIGNING)
    source: Source = MemorySource(random_records(count), config.pretrain.batch_size, 1, ranks.rank, ranks.world)
    if method in ALIGNING:
        source = BesideUnlabelled(source, random_records(9), 1, ranks.rank)
    gate = make_gate(config.objective)
    return Trainer(task, gate, config.pretrain, source, ranks, torch.device("cpu"), 1, wise_ft_alpha)
