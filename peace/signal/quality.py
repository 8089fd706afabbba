"""How good a recording is, as named numbers, measured on the millivolts that are kept, before any filter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from peace.config import QualityConfig
from peace.signal.kernel import survey

# Column of the shards -> meaning. The last three are not measured on the window.
QUALITY: dict[str, str] = {
    "nan_share": "largest share of missing samples in any lead",
    "flat_leads": "number of recorded leads whose peak-to-peak stays under quality.flat.least_mv",
    "rail_share": "largest share of samples beyond quality.saturated.rail_mv in any lead",
    "spike_count": "largest number of samples in any lead that stand over quality.spikes.jump_mv off both neighbours",
    "peak_mv": "largest absolute value in mV",
    "einthoven_mv": "root mean square of I + III - II in mV: 0 for leads that agree, NaN where one is absent or flat",
    "wander_mv": "median over the leads of the standard deviation of half-second means, in mV",
    "mains_mv": "median over the leads of the amplitude at the mains frequency, in mV",
    "checksum_errors": "leads whose samples contradict the header's checksum; NaN where it has none or a part was read",
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
    window: npt.NDArray[np.float64], mask: npt.NDArray[np.uint8], rate: float, mains_hz: float, config: QualityConfig
) -> Findings:
    """Quality of a (samples, 12) window in mV, of which `mask` (12,) names the leads that were recorded."""
    present = mask.astype(bool)
    block, probe = max(1, round(rate / 2)), _mains_probe(len(window), rate, mains_hz)
    missing, lowest, highest, railed, jumps, sums, lines = survey(window, config.saturated.rail_mv, block, probe)
    n_samples = len(window)
    flat = present & ~(highest - lowest >= config.flat.least_mv)
    peak = float(np.maximum(highest, -lowest)[present].max())
    wander = np.median((sums[:, present] / block).std(axis=0)) if len(sums) > 1 else np.nan
    spiky = _spikes(window, config.spikes.jump_mv) if jumps.max() > config.spikes.jump_mv else None
    values = {
        "nan_share": float(missing[present].max() / n_samples),
        "flat_leads": float(flat.sum()),
        "rail_share": float(railed[present].max() / n_samples),
        "spike_count": 0.0 if spiky is None else float(spiky.sum(axis=0).max()),
        "peak_mv": max(peak, 0.0),
        "einthoven_mv": _einthoven(window, present & ~flat),
        "wander_mv": float(wander),
        "mains_mv": _mains(lines[:, present], probe),
    }
    return Findings(values, flat, railed > config.saturated.limit * n_samples, spiky)


def _spikes(window: npt.NDArray[np.float64], jump_mv: float) -> npt.NDArray[np.bool_]:
    """(samples, 12): samples above, or below, both neighbours by more than `jump_mv`."""
    spiky = np.zeros(window.shape, bool)
    before, after = window[1:-1] - window[:-2], window[1:-1] - window[2:]
    spiky[1:-1] = (np.minimum(before, after) > jump_mv) | (np.maximum(before, after) < -jump_mv)
    return spiky


def _einthoven(window: npt.NDArray[np.float64], present: npt.NDArray[np.bool_]) -> float:
    if not present[:3].all():
        return float("nan")
    error = window[:, 0] + window[:, 2] - window[:, 1]
    error = error[~np.isnan(error)]
    return float(np.sqrt(np.mean(error**2))) if error.size else float("nan")


@lru_cache(maxsize=16)
def _mains_probe(n_samples: int, rate: float, mains_hz: float) -> npt.NDArray[np.float64]:
    """Rows (3, samples) that pick out one spectral line and the constant part under a Hann window; 0 for no mains."""
    if not 0 < mains_hz < rate / 2:
        return np.zeros((3, n_samples))
    turns = 2 * np.pi * mains_hz / rate * np.arange(n_samples)
    taper = np.hanning(n_samples)
    return np.stack([taper * np.cos(turns), taper * np.sin(turns), taper]) / max(taper.sum() / 2, 1e-12)


def _mains(lines: npt.NDArray[np.float64], probe: npt.NDArray[np.float64]) -> float:
    if not probe.any():
        return float("nan")
    # what the window lets through of the constant part is taken off
    leak = probe[:2].sum(axis=1)[:, None] * (lines[2] / 2)
    return float(np.median(np.hypot(*(lines[:2] - leak))))
