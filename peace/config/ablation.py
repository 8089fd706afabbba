"""What `peace ablate` compares: methods and ablations, protocols, seeds, and the few-shot curve."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from peace.config.base import Section
from peace.config.training import Protocol

VariantName = Literal[
    "peace",
    "ecg_only",
    "early_fusion",
    "late_fusion",
    "dann",
    "mmd",
    "merl",
    "ked",
    "no_lsbc",
    "no_caf",
    "single_text",
    "permuted",
    "age_bands",
    "label_specific",
    "jaccard",
]


class CurveConfig(Section):
    """The few-shot curve (paper, first version: N up to 100; the grid of N is ours)."""

    methods: tuple[VariantName, ...] = ("peace", "ecg_only", "dann")
    shots: tuple[int, ...] = (1, 5, 10, 20, 30, 50, 70, 100)
    draws: int = Field(5, gt=0, description="draws of the shots; each starts from the pretraining of one of the seeds")


class AblateConfig(Section):
    """The grid: each method is pretrained once a seed, and adapted by each protocol."""

    methods: tuple[VariantName, ...] = (
        *("peace", "ecg_only", "early_fusion", "late_fusion", "dann", "mmd", "merl", "ked"),
        *("no_lsbc", "no_caf", "single_text", "permuted"),
    )
    protocols: tuple[Protocol, ...] = ("zero-shot", "few-shot", "full")
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    curve: CurveConfig = CurveConfig()

    @model_validator(mode="after")
    def _complete(self) -> AblateConfig:
        if not (self.methods and self.protocols and self.seeds):
            raise ValueError("methods, protocols and seeds need at least one entry each")
        if min(self.curve.shots, default=0) < 1:
            raise ValueError("curve.shots must be 1 or more")
        return self
