"""Learning rate over the steps: linear warm-up, then cosine to a floor (KED's schedule)."""

from __future__ import annotations

import math


def learning_rate_factor(step: int, total: int, warmup: int, floor: float) -> float:
    """Factor on the peak rate at `step` of `total`; `floor` is the lowest rate as a share of the peak."""
    warmup = min(warmup, max(total // 5, 1))
    if step < warmup:
        return max((step + 1) / warmup, floor)
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
