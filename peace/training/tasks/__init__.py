"""The methods, each a task of the same loop: what is trained is `objective.method`, and the loop never asks.

ecg_only is `Task` itself. Every task exports the same ECG-only classifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peace.training.tasks.base import StepLosses, Task
from peace.training.tasks.domain import DannTask, MmdTask
from peace.training.tasks.fusion import EarlyFusion, LateFusion
from peace.training.tasks.merl import MerlTask
from peace.training.tasks.peace import PeaceTask, as_ked

if TYPE_CHECKING:
    from peace.config import Config
    from peace.descriptors import Descriptors

DOMAIN_METHODS = {"dann": DannTask, "mmd": MmdTask}
TEXT_METHODS = {"peace": PeaceTask, "early_fusion": EarlyFusion, "late_fusion": LateFusion, "merl": MerlTask}


def make_task(
    config: Config, labels: Sequence[str], descriptors: Descriptors | None = None, unlabelled: bool = False
) -> Task:
    """The task of `objective.method`. `unlabelled`: batches hold unlabelled records of another cohort too.

    Without those, a method that aligns domains has nothing to align and trains as ecg_only.
    """
    method = config.objective.method
    if method == "ked":
        return PeaceTask(as_ked(config), labels, descriptors)
    if method in TEXT_METHODS:
        return TEXT_METHODS[method](config, labels, descriptors)
    if unlabelled and method in DOMAIN_METHODS:
        return DOMAIN_METHODS[method](config, labels)
    return Task(config, labels)


__all__ = ["DOMAIN_METHODS", "TEXT_METHODS", "StepLosses", "Task", "make_task"]
