"""Methods and ablations by the names that people use, as configuration, beside what the paper found for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from peace.config import Config, build_config, merge

PAPER = "arXiv 2605.00647v2 (7 June 2026)"  # whose numbers stand beside ours


@dataclass(frozen=True)
class Variant:
    """What changes in `objective`, and the macro AUC in per cent on ZZU-pECG by protocol that the paper states."""

    title: str
    objective: Mapping[str, Any]
    paper: Mapping[str, float] = field(default_factory=dict)


def _paper(zero_shot: float, few_shot: float, full: float | None = None) -> dict[str, float]:
    values = {"zero-shot": zero_shot, "few-shot": few_shot}
    return values if full is None else {**values, "full": full}


VARIANTS: dict[str, Variant] = {
    "peace": Variant("PEACE", {}, _paper(59.39, 81.74, 91.56)),
    "ecg_only": Variant("ECG only (no text)", {"method": "ecg_only"}, _paper(46.01, 66.37, 66.86)),
    "early_fusion": Variant("early fusion", {"method": "early_fusion"}),
    "late_fusion": Variant("late fusion", {"method": "late_fusion"}),
    "dann": Variant("DANN", {"method": "dann"}, _paper(49.33, 81.70, 89.67)),
    "mmd": Variant("MMD", {"method": "mmd"}),
    "merl": Variant("MERL-style", {"method": "merl"}, _paper(58.58, 70.65, 80.97)),
    "ked": Variant("KED-style", {"method": "ked"}, _paper(57.77, 50.66)),
    "no_lsbc": Variant("PEACE without LSBC", {"contrastive_weight": 0.0}, _paper(56.23, 77.74, 89.63)),
    "no_caf": Variant("PEACE without CAF", {"gate": {"form": "fixed", "value": 1.0}}, _paper(47.10, 77.69, 90.45)),
    "single_text": Variant("PEACE, single text", {"text_variant": "single"}, _paper(49.20, 74.30, 88.70)),
    "permuted": Variant("PEACE, texts permuted", {"text_variant": "permuted"}),
    "label_specific": Variant("PEACE, LSBC by label", {"reading": "label_specific"}),
    "jaccard": Variant("PEACE, LSBC by overlap", {"reading": "jaccard"}),
    "age_bands": Variant("PEACE, texts by age", {"descriptors": "curated_by_age"}),
}
REFERENCE = "peace"
ALIGNING = ("dann", "mmd")  # see the target's training records, without labels, in pretraining


def variant_config(config: Config, name: str, seed: int) -> Config:
    """The configuration of a variant: `config` with its objective changed and its seed set."""
    changes = {"seed": seed, "objective": dict(VARIANTS[name].objective)}
    return build_config(merge(config.model_dump(), changes))
