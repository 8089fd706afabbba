"""Several answers for one label: how far they agree, and the one in their middle."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from peace.descriptors.cache import Kept
from peace.descriptors.clauses import leads_in, statements
from peace.descriptors.embedding import Embed
from peace.descriptors.numbers import quantities
from peace.descriptors.texts import AXES


@dataclass(frozen=True)
class Choice:
    """The medoid among samples, and their agreement: mean cosine of each axis, overlap of criteria (Jaccard)."""

    kept: Kept
    similarity: dict[str, float]
    criteria_overlap: float

    def as_provenance(self, samples: Sequence[Kept]) -> dict[str, Any]:
        """What a descriptors file says of the samples."""
        return {
            "count": len(samples),
            "chosen": self.kept.question.sample,
            "similarity": {axis: round(value, 3) for axis, value in self.similarity.items()},
            "criteria_overlap": round(self.criteria_overlap, 3),
            "others": [
                {axis: getattr(sample.answer, axis) for axis in AXES} for sample in samples if sample is not self.kept
            ],
        }


def choose(samples: Sequence[Kept], embed: Embed) -> Choice:
    """The sample whose texts and criteria are nearest to those of the others; of two, the first."""
    axes = {axis: [getattr(sample.answer, axis) for sample in samples] for axis in AXES}
    cosines = {axis: (vectors := embed(texts)) @ vectors.T for axis, texts in axes.items()}
    sets = [_criteria(sample) for sample in samples]
    overlap = np.array([[_jaccard(one, other) for other in sets] for one in sets])
    closeness = (sum(cosines.values()) / len(AXES) + overlap).sum(axis=1)
    pairs = list(combinations(range(len(samples)), 2))

    def mean(matrix: Any) -> float:
        return float(np.mean([matrix[pair] for pair in pairs])) if pairs else 1.0

    similarity = {axis: mean(matrix) for axis, matrix in cosines.items()}
    return Choice(samples[int(np.argmax(np.round(closeness, 9)))], similarity, mean(overlap))


def _criteria(sample: Kept) -> frozenset[str]:
    """What a sample claims: findings, leads, and numbers with their quantity."""
    found: set[str] = set()
    for text in (*(getattr(sample.answer, axis) for axis in AXES), *sample.answer.criteria):
        found |= {one.concept for one in statements(text) if not one.denied}
        found |= leads_in(text)
        found |= {f"{one.name} {one.low:g} {one.high:g}" for one in quantities(text)}
    return frozenset(found | {lead for lead in sample.answer.leads if re.fullmatch(r"I{1,3}|aV[RLF]|V[1-6]", lead)})


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0
