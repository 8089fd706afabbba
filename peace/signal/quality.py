"""How good a recording is, as named numbers, and the limits beyond which it is left out.

Measured on the millivolts that are kept, before any filter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from peace.config import QualityConfig
from peace.signal.unreadable import Unreadable

# Column of the shards -> meaning. `clipped_share` and `repaired_share` are known only after conditioning.
QUALITY: dict[str, str] = {
    "nan_share": "largest share of missing samples in any lead",
    "flat_leads": "number of recorded leads whose peak-to-peak stays under quality.flat_mv",
    "rail_share": "largest share of samples beyond quality.rail_mv in any lead",
    "peak_mv": "largest absolute value in mV",
    "einthoven_mv": "root mean square of I + III - II in mV: 0 for leads that agree, NaN where one is absent",
    "wander_mv": "median over the leads of the standard deviation of half-second means, in mV",
    "mains_mv": "median over the leads of the amplitude at the mains frequency, in mV",
    "repaired_share": "largest share of samples filled by interpolation in any lead",
    "clipped_share": "share of all values beyond +-32.767 mV after filtering, stored as that",
}


def measure(
    window: npt.NDArray[np.float64], mask: npt.NDArray[np.uint8], rate: float, mains_hz: float, config: QualityConfig
) -> tuple[dict[str, float], npt.NDArray[np.bool_]]:
    """Quality of a (samples, 12) window in mV: named numbers, and which of the 12 leads are flat."""
    present = mask.astype(bool)
    recorded = window if present.all() else window[:, present]
    missing = np.isnan(recorded)
    nan_share = missing.mean(axis=0)
    known = np.where(missing, 0.0, recorded) if missing.any() else recorded
    highest = np.where(missing, -np.inf, recorded).max(axis=0) if missing.any() else known.max(axis=0)
    lowest = np.where(missing, np.inf, recorded).min(axis=0) if missing.any() else known.min(axis=0)
    flat = np.zeros(len(mask), bool)
    flat[present] = highest - lowest < config.flat_mv
    peak = float(max(highest.max(), -lowest.min(), 0.0))
    rail = float((np.abs(known) >= config.rail_mv).mean(axis=0).max()) if peak >= config.rail_mv else 0.0
    values = {
        "nan_share": float(nan_share.max()),
        "flat_leads": float(flat.sum()),
        "rail_share": rail,
        "peak_mv": peak if np.isfinite(peak) else 0.0,
        "einthoven_mv": _einthoven(window, present),
        "wander_mv": _wander(known, rate),
        "mains_mv": _mains(known, rate, mains_hz),
    }
    return values, flat


def judge(values: dict[str, float], config: QualityConfig) -> None:
    """Raise Unreadable where a limit is passed: nan_samples, flat_lead, saturated, in this order."""
    if values["nan_share"] > config.nan_share:
        raise Unreadable("nan_samples", f"{values['nan_share']:.4f} of a lead is missing")
    if values["flat_leads"] > config.flat_leads:
        raise Unreadable("flat_lead", f"{values['flat_leads']:.0f} leads under {config.flat_mv} mV peak to peak")
    if values["rail_share"] > config.rail_share:
        raise Unreadable("saturated", f"{values['rail_share']:.4f} of a lead beyond {config.rail_mv} mV")


def _einthoven(window: npt.NDArray[np.float64], present: npt.NDArray[np.bool_]) -> float:
    if not present[:3].all():
        return float("nan")
    error = window[:, 0] + window[:, 2] - window[:, 1]
    error = error[~np.isnan(error)]
    return float(np.sqrt(np.mean(error**2))) if error.size else float("nan")


def _wander(known: npt.NDArray[np.float64], rate: float) -> float:
    block = max(1, round(rate / 2))
    count = len(known) // block
    if count < 2:
        return float("nan")
    means = known[: count * block].reshape(count, block, -1).mean(axis=1)
    return float(np.median(means.std(axis=0)))


def _mains(known: npt.NDArray[np.float64], rate: float, mains_hz: float) -> float:
    """Amplitude of one spectral line under a Hann window."""
    if not 0 < mains_hz < rate / 2:
        return float("nan")
    n_samples = len(known)
    turns = 2 * np.pi * mains_hz / rate * np.arange(n_samples)
    taper = np.hanning(n_samples)
    probe = np.stack([taper * np.cos(turns), taper * np.sin(turns), taper]) / (taper.sum() / 2)
    cosine, sine, mean = probe @ known
    # what the window lets through of the constant part is taken off
    leak = probe[:2].sum(axis=1)[:, None] * (mean / 2)
    return float(np.median(np.hypot(cosine - leak[0], sine - leak[1])))
