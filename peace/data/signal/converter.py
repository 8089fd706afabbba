"""The steps in which samples were stored, and the values at which a converter or a storage format ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from peace.data.signal.header import SignalLine

USUAL_BITS = (10, 11, 12, 14, 16)
"""Of the converters in electrocardiographs."""
PLATEAU = 3
"""A wave that was cut off rests on the rail for so many samples in turn; a peak that ends there by chance does not."""


Rails = tuple[frozenset[float], frozenset[float]]
"""The lowest and the highest values in mV at which a lead's converter or its format may end."""
NO_RAILS: Rails = (frozenset(), frozenset())


@dataclass(frozen=True)
class Converter:
    """How the leads of a recording became numbers, in the order of its columns."""

    scales: npt.NDArray[np.float64] = field(compare=False)
    """Rows (2, leads) of baseline and millivolts in a step. Read-only."""
    rails: tuple[Rails, ...]
    guessed: tuple[bool, ...]
    """Which leads have no gain in the header, or 0: read as 200 steps a unit."""

    def of(self, columns: Sequence[int], signs: Sequence[int], n_leads: int) -> Converter:
        """That of these columns, turned where the sign is -1; `n_leads` less these are computed and have no rails."""
        kept = [self.rails[column] for column in columns]
        turned = [
            ends if sign > 0 else (frozenset(-mv for mv in ends[1]), frozenset(-mv for mv in ends[0]))
            for ends, sign in zip(kept, signs, strict=True)
        ]
        rails = (*turned, *[NO_RAILS] * (n_leads - len(turned)))
        guessed = tuple(self.guessed[column] for column in columns)
        return replace(self, scales=self.scales[:, list(columns)], rails=rails, guessed=guessed)


def converter_of(signals: Sequence[SignalLine]) -> Converter:
    """What the header says of the converter. Raises RecordRejected for units that are no voltage."""
    return _converter(tuple(signal[SCALING] for signal in signals))


SCALING = slice(SignalLine._fields.index("gain"), None)
"""What of a line does not vary from record to record."""


@lru_cache(maxsize=256)
def _converter(leads: tuple[Any, ...]) -> Converter:
    signals = [SignalLine("", None, 0, 1, 0, 0, *lead) for lead in leads]
    scales = np.array([(item.baseline, item.unit_mv / item.gain) for item in signals], np.float64).T.copy()
    scales.setflags(write=False)
    return Converter(scales, tuple(map(_rails, signals)), tuple(not item.calibrated for item in signals))


def _rails(item: SignalLine) -> Rails:
    """Of a converter of the usual widths or of the announced one: around 0, around its own zero, or without sign."""
    lowest, highest = set(), set()
    for half in (2 ** (width - 1) for width in {*USUAL_BITS, *([item.bits] if 8 <= item.bits <= 32 else [])}):
        for center in {0, item.zero} | ({half} if item.baseline == half else set()):
            lowest |= {center - half, center - half + 1}
            highest |= {center + half - 1, center + half}
    low, high = (
        # as our reader and as wfdb compute it: the last bit may differ
        frozenset(
            mv
            for value in side
            for mv in (
                (value - item.baseline) * (item.unit_mv / item.gain),
                (value - item.baseline) / item.gain * item.unit_mv,
            )
        )
        for side in (lowest, highest)
    )
    return (low, high) if item.gain > 0 else (high, low)


def samples_at_rails(
    window: npt.NDArray[np.float64], lowest: Sequence[float], highest: Sequence[float], rails: Sequence[Rails]
) -> int:
    """Samples of (samples, leads) mV that rest on their lead's lowest or highest value where that is one of its rails.

    The largest number of any lead. Only plateaus count: see PLATEAU.
    """
    most = 0
    for lead, (low, high, (low_rails, high_rails)) in enumerate(zip(lowest, highest, rails, strict=True)):
        if (low in low_rails or high in high_rails) and low < high:
            ends = [(low, low_rails), (high, high_rails)]
            found = sum(_on_plateaus(window[:, lead] == extreme) for extreme, side in ends if extreme in side)
            most = max(most, found)
    return most


def _on_plateaus(there: npt.NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]])))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= PLATEAU].sum())
