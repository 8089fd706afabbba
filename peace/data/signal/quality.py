"""How good a recording is, as named numbers, measured on the millivolts that are kept, before any filter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from peace.config import QualityConfig
from peace.data.signal.converter import Rails, samples_at_rails
from peace.data.signal.reversal import SUSPECT, arm_reversal
from peace.data.signal.survey import COSINE, HIGHEST, JUMP, LOWEST, MISSING, RAILED, SINE, survey

# Column of the shards -> meaning. The last six are not measured by `measure` on the window.
QUALITY: dict[str, str] = {
    "nan_share": "largest share of missing samples in any lead",
    "flat_leads": "number of recorded leads whose peak-to-peak stays under quality.flat.least_mv",
    "rail_share": "largest share of samples beyond quality.saturated.rail_mv in any lead",
    "spike_count": "largest number of samples in any lead that stand over quality.spikes.jump_mv off both neighbours",
    "cut_off_samples": "largest number of samples in any lead that rest on a rail of the converter; NaN where unknown",
    "peak_mv": "largest absolute value in mV",
    "amplitude_mv": "median over the leads of the peak to peak that a quarter of the half-seconds exceed, in mV",
    "einthoven_mv": "root mean square of I + III - II in mV: 0 for leads that agree, NaN where one is absent or flat",
    "goldberger_mv": "largest departure of aVR, aVL or aVF from what I and II make them, in mV; NaN as above",
    "arm_reversal": "how far lead I mirrors its neighbours in P, QRS and T, 0 to 1: high where the arms are exchanged",
    "copied_leads": "number of leads that hold the same samples as another",
    "wander_mv": "median over the leads of the standard deviation of half-second means, in mV",
    "mains_mv": "median over the leads of the amplitude at the mains frequency, in mV",
    "checksum_errors": "leads whose samples contradict the header's checksum; NaN where it has none or a part was read",
    "uncalibrated_leads": "leads whose header gives no gain, or 0; NaN where unknown",
    "zero_leads": "number of chest leads that are zero, or missing, throughout and were taken as absent",
    "padding_share": "share of what was read that is padding at the ends: constant in all leads",
    "repaired_share": "largest share of samples filled by interpolation in any lead",
    "clipped_share": "share of all values beyond +-32.767 mV after filtering, stored as that",
}


@dataclass(frozen=True)
class Findings:
    """What was found in the window of a recording."""

    values: dict[str, float]
    """The columns of QUALITY that the window gives."""
    flat: npt.NDArray[np.bool_]
    """(12,): recorded leads without signal."""
    saturated: npt.NDArray[np.bool_]
    """(12,): leads that touch the rail for longer than quality.saturated.limit."""
    spiky: npt.NDArray[np.bool_] | None
    """(samples, 12): where the spikes are; None where there is none."""


def measure(
    window: npt.NDArray[np.float64],
    mask: npt.NDArray[np.uint8],
    rate: float,
    mains_hz: float,
    config: QualityConfig,
    rails: Sequence[Rails] | None = None,
) -> Findings:
    """Quality of a (samples, 12) window in mV, of which `mask` (12,) names the leads that were recorded.

    `rails` are those of each lead's converter, where they are known.
    """
    present = mask.astype(bool)
    block, probe = max(1, round(rate / 2)), _mains_probe(len(window), rate, mains_hz)
    found, spread, height, against = survey(window, config.saturated.rail_mv, block, probe)
    contradiction, departure, lateral = against
    n_samples, spikes = len(window), config.spikes
    seen, drift = (found, spread) if present.all() else (found[:, present], spread[present])
    flat = present & ~(found[HIGHEST] - found[LOWEST] >= config.flat.least_mv)
    alive = present & ~flat
    spiky = _spikes(window, spikes.jump_mv) if found[JUMP].max() > spikes.jump_mv else None
    lowest, highest = found[LOWEST].tolist(), found[HIGHEST].tolist()
    there: list[bool] = alive.tolist()
    at_rails = math.nan if rails is None else samples_at_rails(window, lowest, highest, rails)
    values = {
        "nan_share": float(seen[MISSING].max() / n_samples),
        "flat_leads": float(flat.sum()),
        "rail_share": float(seen[RAILED].max() / n_samples),
        "spike_count": 0.0 if spiky is None else float(spiky.sum(axis=0).max()),
        "cut_off_samples": float(at_rails),
        "peak_mv": max(float(seen[HIGHEST].max()), -float(seen[LOWEST].min()), 0.0),
        "amplitude_mv": _median(height[alive]) if any(there) else math.nan,
        "einthoven_mv": math.sqrt(contradiction) if all(there[:3]) else math.nan,
        "goldberger_mv": departure if all(there[:6]) else math.nan,
        "arm_reversal": arm_reversal(window, rate) if lateral < SUSPECT and there[0] else 0.0,
        "copied_leads": float(_copies(window, list(zip(lowest, highest, strict=True)), alive)),
        "wander_mv": _median(drift),
        "mains_mv": _median(np.hypot(seen[COSINE], seen[SINE])) if 0 < mains_hz < rate / 2 else math.nan,
    }
    return Findings(values, flat, found[RAILED] > config.saturated.limit * n_samples, spiky)


def _copies(window: npt.NDArray[np.float64], extremes: list[tuple[float, float]], alive: npt.NDArray[np.bool_]) -> int:
    """Leads that repeat an earlier one, sample by sample. Only leads with the same extremes need to be compared."""
    if len(set(extremes)) == len(extremes):
        return 0
    originals: dict[tuple[float, float], list[int]] = {}
    copies = 0
    for lead in np.flatnonzero(alive).tolist():
        alike = originals.setdefault(extremes[lead], [])
        if any(np.array_equal(window[:, lead], window[:, other], equal_nan=True) for other in alike):
            copies += 1
        else:
            alike.append(lead)
    return copies


def _median(values: npt.NDArray[np.float64]) -> float:
    """Median of a few numbers (numpy's own takes ten times as long for them)."""
    ordered = sorted(values.tolist())
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)


def _spikes(window: npt.NDArray[np.float64], jump_mv: float) -> npt.NDArray[np.bool_]:
    """(samples, 12): samples above, or below, both neighbours by more than `jump_mv`."""
    spiky = np.zeros(window.shape, bool)
    before, after = window[1:-1] - window[:-2], window[1:-1] - window[2:]
    spiky[1:-1] = (np.minimum(before, after) > jump_mv) | (np.maximum(before, after) < -jump_mv)
    return spiky


@lru_cache(maxsize=16)
def _mains_probe(n_samples: int, rate: float, mains_hz: float) -> npt.NDArray[np.float64]:
    """Rows (2, samples) that pick out one spectral line under a Hann window, blind to a constant; 0 for no mains."""
    if not 0 < mains_hz < rate / 2:
        return np.zeros((2, n_samples))
    turns = 2 * np.pi * mains_hz / rate * np.arange(n_samples)
    taper = np.hanning(n_samples)
    total = max(taper.sum(), 1e-12)
    waves = taper * np.stack([np.cos(turns), np.sin(turns)])
    # what the window lets through of the constant part is taken off
    result: npt.NDArray[np.float64] = np.asarray(waves - waves.sum(axis=1, keepdims=True) * (taper / total)) / (
        total / 2
    )
    return result
