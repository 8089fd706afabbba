"""The steps in which samples were stored, and the values at which a converter or a storage format ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from peace.data.signal.header import SignalLine

USUAL_BITS = (10, 11, 12, 14, 16)
"""Of the converters in electrocardiographs."""
PLATEAU = 3
"""A wave that was cut off rests on the rail for so many samples in turn; a peak that ends there by chance does not."""


Rails = tuple[frozenset[float], frozenset[float]]
"""Lowest and highest values in mV, to NEAREST decimals."""
NEAREST = 9


@dataclass(frozen=True)
class Converter:
    """How the leads of a recording became numbers, in the order of its columns."""

    rails: tuple[Rails, ...]
    """Of each lead, the lowest and the highest values in mV at which its converter or its format may end."""
    uncalibrated: int
    """Leads whose header gives no gain, or 0: read as 200 steps a millivolt."""


def converter_of(signals: Sequence[SignalLine]) -> Converter:
    """What the header says of the converter."""
    return Converter(
        tuple(_rails(item.baseline, item.unit_mv / item.gain, item.zero, item.bits) for item in signals),
        sum(not item.calibrated for item in signals),
    )


@lru_cache(maxsize=256)
def _rails(baseline: int, step_mv: float, zero: int, bits: int) -> Rails:
    """Of a converter of the usual widths or of `bits`, around 0, around its own zero, or without sign."""
    halves = [2 ** (width - 1) for width in {*USUAL_BITS, *([bits] if 8 <= bits <= 32 else [])}]
    lowest, highest = set(), set()
    for half in halves:
        centers = {0, zero} | ({half} if baseline == half else set())
        lowest |= {center - half + shift for center in centers for shift in (0, 1)}
        highest |= {center + half - shift for center in centers for shift in (0, 1)}
    low, high = (
        frozenset(round((value - baseline) * step_mv, NEAREST) for value in side) for side in (lowest, highest)
    )
    return (low, high) if step_mv > 0 else (high, low)


def samples_at_rails(
    window: npt.NDArray[np.float64], lowest: Sequence[float], highest: Sequence[float], rails: Sequence[Rails | None]
) -> int:
    """Samples of (samples, leads) mV that rest on their lead's lowest or highest value where that is one of its rails.

    The largest number of any lead. Only plateaus count: see PLATEAU.
    """
    most = 0
    for lead, ends in enumerate(rails):
        if ends is None or lowest[lead] == highest[lead]:
            continue
        found = 0
        for extreme, side in zip((lowest[lead], highest[lead]), ends, strict=True):
            if round(extreme, NEAREST) in side:
                found += _on_plateaus(window[:, lead] == extreme)
        most = max(most, found)
    return most


def _on_plateaus(there: npt.NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]])))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= PLATEAU].sum())
