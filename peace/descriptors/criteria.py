"""The table that texts are checked against: criteria.yaml, typed."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from peace.descriptors.wording import load_wording

Range = tuple[float, float]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NumberRule(_Strict):
    """Where a threshold of a quantity may lie, and on which side of it the label is."""

    adult: Range
    child: Range
    side: Literal["above", "below"] | None = None


class LabelRules(_Strict):
    """What one label's texts are held to; the keys are explained in criteria.yaml."""

    contradicts: tuple[str, ...] = ()
    asserts_not: tuple[str, ...] = ()
    needs: dict[Literal["rhythm", "morphology", "st_t"], tuple[str, ...]] = {}
    leads: dict[str, tuple[str, ...]] = {}
    numbers: dict[str, NumberRule] = {}


class Criteria(_Strict):
    """The whole table."""

    sources: dict[str, str]
    plausible: dict[str, Range]
    labels: dict[str, LabelRules]


@functools.cache
def load_criteria() -> Criteria:
    """The embedded table. Raises ValueError where it names a finding that no text is searched for."""
    text = Path(__file__).with_name("criteria.yaml").read_text(encoding="utf-8")
    table = Criteria.model_validate(yaml.safe_load(text))
    for label, rules in table.labels.items():
        needed = [name for names in rules.needs.values() for name in names]
        for name in (*rules.contradicts, *rules.asserts_not, *rules.leads, *needed):
            if name not in load_wording().findings:
                raise ValueError(f"criteria.yaml: {label} names the unknown finding '{name}'")
    return table
