"""The inner loops, compiled: each makes one pass over all leads of the samples as they are stored.

The filter takes the same steps in the same order as `scipy.signal.sosfiltfilt` (odd extension, steady-state start
values, forwards and backwards), to 1e-9 mV, at several times its speed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from peace.data.signal.vectors import N_LEADS, sweep

Samples = npt.NDArray[np.float64]


def compiled(function: Callable[..., Any]) -> Any:
    """Compile at the first call and keep the result on disk, where some folder can be written."""
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:  # no folder for the cache
        return numba.njit(function)


@compiled
def _both_ways(room: Any, sections: Any, start: Any, gain: float, reach: int) -> None:
    first, last = reach, len(room) - reach - 1
    for time in range(1, reach + 1):
        for lead in range(N_LEADS):
            room[first - time, lead] = 2 * room[first, lead] - room[first + time, lead]
            room[last + time, lead] = 2 * room[last, lead] - room[last - time, lead]
    sweep(room, sections, start, gain, 0, 1)
    sweep(room, sections, start, gain, len(room) - 1, -1)


def filter_both_ways(
    room: Samples, sections: tuple[float, ...], start: tuple[float, ...], gain: float, reach: int
) -> Samples:
    """Zero-phase cascade in place over C-ordered (reach + samples + reach, 12); returns the samples.

    `sections`, `start` and `gain` as peace.data.signal.vectors.sweep takes them. The first and the last `reach` rows
    are room for the odd reflection that continues the ends.
    """
    if room.ndim != 2 or room.shape[1] != N_LEADS or not 3 * reach < len(room) or not room.flags.c_contiguous:
        raise ValueError(f"cannot filter {room.shape} with {reach} samples of reflection")
    _both_ways(room, sections, start, gain, reach)
    return room[reach : len(room) - reach]


@compiled
def to_millivolts(digital: Any, missing: int, baseline: Any, factor: Any) -> Any:
    """(samples, leads) integers as mV: (value - baseline) * factor of each lead, NaN for the `missing` value.

    Returns the millivolts and the sum of the integers of each lead.
    """
    n_samples, n_leads = digital.shape
    samples, sums = np.empty((n_samples, n_leads)), np.zeros(n_leads, np.int64)
    for time in range(n_samples):
        for lead in range(n_leads):
            value = digital[time, lead]
            known = (value - baseline[lead]) * factor[lead]
            samples[time, lead] = np.nan if value == missing else known
            sums[lead] += value
    return samples, sums


@compiled
def polyphase(samples: Any, taps: Any, up: int, down: int, n_out: int) -> Any:
    """The first `n_out` samples of (samples, leads) at up / down times the rate, through an odd number of FIR taps.

    As scipy.signal.resample_poly(..., padtype="line"): the line from the first to the last sample is continued.
    """
    n_samples, n_leads = samples.shape
    half = len(taps) // 2
    reach = half // up + 1
    slope = (samples[n_samples - 1] - samples[0]) / max(n_samples - 1, 1)
    extended = np.empty((n_samples + 2 * reach, n_leads))
    extended[reach : reach + n_samples] = samples
    for time in range(reach):
        extended[time] = samples[0] - slope * (reach - time)
        extended[reach + n_samples + time] = samples[n_samples - 1] + slope * (time + 1)
    out = np.zeros((n_out, n_leads))
    for time in range(n_out):
        center = time * down
        source, last = -((half - center) // up), (center + half) // up
        while source + 3 <= last:  # four taps a turn: the sum is loaded and stored a quarter as often
            place, row = center + half - source * up, reach + source
            one, two, three, four = taps[place], taps[place - up], taps[place - 2 * up], taps[place - 3 * up]
            for lead in range(n_leads):
                near = one * extended[row, lead] + two * extended[row + 1, lead]
                out[time, lead] += near + three * extended[row + 2, lead] + four * extended[row + 3, lead]
            source += 4
        while source <= last:
            tap = taps[center + half - source * up]
            for lead in range(n_leads):
                out[time, lead] += tap * extended[reach + source, lead]
            source += 1
    return out


@compiled
def to_microvolts(samples: Any, n_samples: int, length: int, largest: float) -> Any:
    """The first `n_samples` of C-ordered (samples, leads) mV as (leads, length) int16 microvolts, and how many were
    clipped. Block by block: rounded as the samples lie, then put lead by lead."""
    n_leads = samples.shape[1]
    stored = np.zeros((n_leads, length), np.int16)
    block = np.empty((64, n_leads), np.int32)
    clipped = 0
    for start in range(0, n_samples, 64):
        count = min(64, n_samples - start)
        values, whole = samples[start : start + count].reshape(-1), block.reshape(-1)
        for index in range(count * n_leads):
            value = np.rint(values[index] * 1000.0)
            clipped += abs(value) > largest
            whole[index] = np.int32(min(max(value, -largest), largest))
        for lead in range(n_leads):
            row = stored[lead, start : start + count]
            for time in range(count):
                row[time] = block[time, lead]
    return stored, clipped


@compiled
def totals(signal: Any, n_samples: int) -> Any:
    """By lead, over the first `n_samples` of (leads, length) int16: sum, sum of squares, lowest, highest (int64)."""
    n_leads = signal.shape[0]
    sums, squares = np.zeros(n_leads, np.int64), np.zeros(n_leads, np.int64)
    lowest, highest = np.zeros(n_leads, np.int64), np.zeros(n_leads, np.int64)
    for lead in range(n_leads):
        total, square = np.int64(0), np.int64(0)
        low = high = np.int64(signal[lead, 0])
        for time in range(n_samples):
            value = np.int64(signal[lead, time])
            total += value
            square += value * value
            low, high = min(low, value), max(high, value)
        sums[lead], squares[lead], lowest[lead], highest[lead] = total, square, low, high
    return sums, squares, lowest, highest
