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

from peace.signal.vectors import N_LEADS, sweep

Samples = npt.NDArray[np.float64]


def compiled(function: Callable[..., Any]) -> Any:
    """Compile at the first call and keep the result on disk, where some folder can be written."""
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:  # no folder for the cache
        return numba.njit(function)


@compiled
def _both_ways(samples: Any, sections: Any, start: Any, reflection: int) -> Any:
    n_samples, n_leads = samples.shape
    extended = np.empty((n_samples + 2 * reflection, n_leads))
    for time in range(reflection):
        for lead in range(n_leads):
            extended[time, lead] = 2 * samples[0, lead] - samples[reflection - time, lead]
            mirrored = samples[n_samples - 2 - time, lead]
            extended[reflection + n_samples + time, lead] = 2 * samples[n_samples - 1, lead] - mirrored
    extended[reflection : reflection + n_samples] = samples
    sweep(extended, sections, start, 0, 1)
    sweep(extended, sections, start, len(extended) - 1, -1)
    return extended[reflection : reflection + n_samples]


def filter_both_ways(
    samples: Samples, sections: tuple[float, ...], start: tuple[float, ...], reflection: int
) -> Samples:
    """Zero-phase cascade over (samples, 12).

    `sections` and `start` as peace.signal.vectors.sweep takes them; the ends are continued by `reflection` samples of
    odd reflection, less than there are samples.
    """
    if samples.ndim != 2 or samples.shape[1] != N_LEADS or not reflection < len(samples):
        raise ValueError(f"cannot filter {samples.shape} with {reflection} samples of reflection")
    filtered: Samples = _both_ways(np.ascontiguousarray(samples), sections, start, reflection)
    return filtered


@compiled
def to_millivolts(digital: Any, missing: int, baseline: Any, gain: Any, scale: Any) -> Any:
    """(samples, leads) integers as mV: (value - baseline) / gain * scale of each lead, NaN for the `missing` value.

    Gives the millivolts and the sum of the integers of each lead.
    """
    n_samples, n_leads = digital.shape
    samples, sums = np.empty((n_samples, n_leads)), np.zeros(n_leads, np.int64)
    for time in range(n_samples):
        for lead in range(n_leads):
            value = digital[time, lead]
            known = (value - baseline[lead]) / gain[lead] * scale[lead]
            samples[time, lead] = np.nan if value == missing else known
            sums[lead] += value
    return samples, sums


@compiled
def survey(samples: Any, rail: float, block: int, probe: Any) -> Any:
    """One look at (samples, leads) in mV, missing values (NaN) counting as 0 in sums.

    Gives, by lead: missing samples, lowest, highest, samples at or beyond the rail, largest change from one sample to
    the next; the sums of each whole `block` of samples (blocks, leads); and the sums (3, leads) of the samples weighted
    by each row of `probe` (3, samples).
    """
    n_samples, n_leads = samples.shape
    missing, railed, jumps = np.zeros(n_leads), np.zeros(n_leads), np.zeros(n_leads)
    lowest, highest = np.full(n_leads, np.inf), np.full(n_leads, -np.inf)
    n_blocks = n_samples // block
    sums, weighted = np.zeros((n_blocks + 1, n_leads)), np.zeros((3, n_leads))
    for current in range(n_blocks + 1):
        start, end = current * block, min((current + 1) * block, n_samples)
        for time in range(start, end):  # without branches: selections run over several leads at once
            for lead in range(n_leads):
                value = samples[time, lead]
                lowest[lead] = value if value < lowest[lead] else lowest[lead]
                highest[lead] = value if value > highest[lead] else highest[lead]
                missing[lead] += 1.0 if value != value else 0.0
                railed[lead] += 1.0 if abs(value) >= rail else 0.0
                jump = abs(value - samples[max(time - 1, 0), lead])
                jumps[lead] = jump if jump > jumps[lead] else jumps[lead]
        for time in range(start, end):
            first, second, third = probe[0, time], probe[1, time], probe[2, time]
            for lead in range(n_leads):
                value = samples[time, lead]
                known = 0.0 if value != value else value
                sums[current, lead] += known
                weighted[0, lead] += first * known
                weighted[1, lead] += second * known
                weighted[2, lead] += third * known
    return missing, lowest, highest, railed, jumps, sums[:n_blocks], weighted


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
def to_microvolts(samples: Any, n_samples: int, length: int, largest: int) -> Any:
    """The first `n_samples` of (samples, leads) mV as (leads, length) int16 microvolts, and how many were clipped."""
    n_leads = samples.shape[1]
    stored = np.zeros((n_leads, length), np.int16)
    clipped = 0
    for time in range(n_samples):
        for lead in range(n_leads):
            value = np.rint(samples[time, lead] * 1000.0)
            if value > largest:
                value = largest
                clipped += 1
            elif value < -largest:
                value = -largest
                clipped += 1
            stored[lead, time] = np.int16(value)
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
