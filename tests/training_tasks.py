"""Small training tasks of every configuration, a batch to learn by heart, and how they learn it."""

from __future__ import annotations

from typing import Any

import torch
from training_pieces import ALIGNING

from peace.config import Config, load_config
from peace.descriptors import Descriptors
from peace.training.tasks import StepLosses, Task, make_task

LABELS = ("NORM", "LAFB", "IRBBB", "CRBBB", "LVOLT", "LAE", "RAE", "LVH", "RVH", "STTC", "TAB_", "LQTS")

NO_TEXT = ("objective.method=ecg_only",)
METHODS = ("early_fusion", "late_fusion", *ALIGNING, "merl", "ked")
CONFIGURATIONS: dict[str, tuple[str, ...]] = {
    "full": (),
    "no text": NO_TEXT,
    "no LSBC": ("objective.contrastive_weight=0",),
    "no knowledge pass": ("objective.knowledge_weight=0",),
    "label specific": ("objective.reading=label_specific",),
    "jaccard": ("objective.reading=jaccard",),
    "no CAF": ("objective.gate.form=fixed",),
    "single text": ("objective.text_variant=single",),
    "permuted text": ("objective.text_variant=permuted",),
    "sum": ("objective.axis_composition=sum", "objective.fusion=mean"),
    "attention": ("objective.axis_composition=attention",),
    "frozen text": ("model.text.frozen_layers=2",),
    "pooler": ("model.text.pooling=pooler", "model.text.frozen_layers=0"),
    "group norm": ("model.encoder.norm=group",),
    "random queries": ("objective.name_queries=false",),
    "linear probe": (*NO_TEXT, "model.readout=linear"),
    **{name: (f"objective.method={name}",) for name in METHODS},
}


def configure(*overrides: str) -> Config:
    # wider than the preset: it learns by heart in fewer steps
    wide = ["model.encoder.stem=[16]", "model.encoder.widths=[16,32]"]
    return load_config("debug", None, ["model.query.dropout=0", *wide, *overrides])


def build(descriptors: Descriptors | None, *overrides: str, seed: int = 0) -> Task:
    torch.manual_seed(seed)
    return make_task(configure(*overrides), LABELS, descriptors, unlabelled=True)


def batch(size: int = 32, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise that repeats like a beat, with labels at random: whatever is learned of it is learned by heart."""
    generator = torch.Generator().manual_seed(seed)
    ecg = torch.randn(size, 12, 25, generator=generator).repeat(1, 1, 8)
    target = (torch.rand(size, 12, generator=generator) < 0.15).float()
    target[target.sum(dim=1) == 0, 0] = 1
    return ecg, torch.ones(size, 12), target


def beside(name: str, data: tuple[torch.Tensor, torch.Tensor, torch.Tensor], seed: int = 3) -> tuple[Any, ...]:
    """The batch with as many unlabelled records of a louder cohort behind it, for the methods that align cohorts."""
    if name not in ALIGNING:
        return data
    other = 3 * batch(len(data[0]), seed)[0]
    return torch.cat([data[0], other]), torch.ones(2 * len(other), 12), data[2]


def fit(task: Task, steps: int, **inputs: Any) -> StepLosses:
    """Some steps on one batch; the rate rises, then falls, so that running statistics catch up with the weights.

    One thread: the sums of several are rounded otherwise, and tensors as small as these are slower with them.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _fit(task, steps, **inputs)
    finally:
        torch.set_num_threads(threads)


def _fit(task: Task, steps: int, **inputs: Any) -> StepLosses:
    ecg, mask, target = inputs.get("data") or batch()
    optimiser = torch.optim.AdamW(task.parameter_groups(1e-2, 1e-3, 0.0))
    peaks = [group["lr"] for group in optimiser.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, peaks, total_steps=steps)
    task.train()
    for _ in range(steps):
        losses = task(ecg, mask, target, 0.5)
        optimiser.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(task.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return losses


def assert_learned(task: Task, data: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    """The labels of the records are right, by the ECG alone and in evaluation mode.

    One in a hundred may be wrong: the statistics of batch norm lag behind the weights, by how much depends on threads.
    """
    task.eval()
    right = (task.classifier(data[0], data[1]) > 0) == (data[2] > 0.5)
    assert right.float().mean() > 0.99
