"""The one path from a record to the array that models see. Shards, adaptation and inference call `condition_file`.

Steps, in this order: leads by name; the first `signal.seconds` and what of `signal.margin_seconds` follows;
length, quality and limits; bounded repair of missing samples; zero-phase filter at the recorded rate; polyphase
resampling; crop or zero-padding; whole microvolts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from peace.config import LeadsConfig, QualityConfig, SignalConfig
from peace.signal.filters import cascade, ratio, resample, zero_phase
from peace.signal.kernel import to_microvolts
from peace.signal.leads import LEADS, arrange
from peace.signal.quality import judge, measure
from peace.signal.reader import Recording, read_record
from peace.signal.unreadable import Unreadable

LARGEST = 32767


@dataclass(frozen=True)
class Conditioned:
    """A recording as models see it."""

    signal: npt.NDArray[np.int16]
    """(12, rate * seconds) in microvolts, leads in the order of LEADS, zero where a lead or the time is missing."""
    lead_mask: npt.NDArray[np.uint8]
    """(12,): 1 where the lead is there."""
    n_samples: int
    """Samples before the zero-padding."""
    quality: dict[str, float]
    """The columns of peace.signal.quality.QUALITY."""


def n_samples_of(signal: SignalConfig) -> int:
    """Length of every conditioned array."""
    return round(signal.rate * signal.seconds)


def condition_file(
    path: Path, cohort: str, signal: SignalConfig, leads: LeadsConfig, quality: QualityConfig
) -> Conditioned:
    """Read and condition a WFDB record (path without extension, or its .hea). Raises Unreadable with the reason."""
    return condition(read_record(path, signal.seconds + signal.margin_seconds), cohort, signal, leads, quality)


def condition(
    recording: Recording, cohort: str, signal: SignalConfig, leads: LeadsConfig, quality: QualityConfig
) -> Conditioned:
    """Condition a recording: see the module. Raises Unreadable with the reason."""
    positions, mask = arrange(recording.leads, leads)
    rate = recording.rate
    _refuse_short(recording, quality)
    n_window = min(len(recording.samples), max(1, round(signal.seconds * rate)))
    n_context = min(len(recording.samples), n_window + round(signal.margin_seconds * rate))
    ordered = _ordered(recording.samples[:n_context], positions)

    mains_hz = signal.notch_hz.get(cohort, 0.0)
    values, flat = measure(ordered[:n_window], mask, rate, mains_hz, quality)
    judge(values, quality)
    # a lead without signal that the limits let pass is absent, not zero volts
    mask = np.where(flat, 0, mask).astype(np.uint8)
    ordered[:, mask == 0] = 0.0
    ordered = _until_next_gap(ordered, n_window)
    errors = recording.checksum_errors
    values["checksum_errors"] = float("nan") if errors is None else float(errors)
    values["repaired_share"] = _fill_gaps(ordered) if np.isnan(ordered).any() else 0.0

    highest_hz = min(signal.lowpass_hz, 0.45 * signal.rate)
    filtered = zero_phase(ordered, cascade(rate, signal.highpass_hz, highest_hz, mains_hz), rate)
    stored, n_samples, clipped = _microvolts(
        resample(filtered, rate, signal.rate, n_samples_of(signal)), n_window, rate, signal
    )
    values["clipped_share"] = clipped
    return Conditioned(stored, mask, n_samples, values)


def _refuse_short(recording: Recording, quality: QualityConfig) -> None:
    if recording.rate < quality.min_rate:
        raise Unreadable("rate_too_low", f"{recording.rate:g} Hz")
    seconds = len(recording.samples) / recording.rate
    if seconds < quality.min_seconds or len(recording.samples) < 2:
        raise Unreadable("too_short", f"{seconds:g} s")


def _ordered(samples: npt.NDArray[np.float64], positions: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """A copy in the order of LEADS, zero where a lead is absent."""
    if len(positions) == len(LEADS):
        return np.take(samples, np.argsort(positions), axis=1)
    ordered = np.zeros((len(samples), len(LEADS)))
    ordered[:, positions] = samples
    return ordered


def _until_next_gap(ordered: npt.NDArray[np.float64], n_window: int) -> npt.NDArray[np.float64]:
    """Cut the context that follows the window at its first missing sample: the filter must see no gap."""
    gaps = np.flatnonzero(np.isnan(ordered[n_window:]).any(axis=1))
    return ordered[: n_window + gaps[0]] if gaps.size else ordered


def _fill_gaps(ordered: npt.NDArray[np.float64]) -> float:
    """Fill missing samples in place, linearly between neighbours; gives the largest share filled in any lead."""
    missing = np.isnan(ordered)
    times = np.arange(len(ordered))
    for lead in np.flatnonzero(missing.any(axis=0)):
        gap = missing[:, lead]
        ordered[gap, lead] = np.interp(times[gap], times[~gap], ordered[~gap, lead])
    return float(missing.mean(axis=0).max())


def _microvolts(
    filtered: npt.NDArray[np.float64], n_window: int, rate: float, signal: SignalConfig
) -> tuple[npt.NDArray[np.int16], int, float]:
    """(12, length) int16, samples before the padding, share of values beyond the range of int16."""
    length = n_samples_of(signal)
    n_samples = min(length, len(filtered), max(1, round(n_window * float(ratio(rate, signal.rate)))))
    stored, n_clipped = to_microvolts(filtered, n_samples, length, LARGEST)
    return stored, n_samples, n_clipped / (n_samples * len(LEADS))
