"""Whether the electrodes of the arms were exchanged, from the mean beat."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

SUSPECT = -0.3
"""A correlation of I with V5 + V6 under this is worth the look at the mean beat."""
RATE = 100
"""Samples a second of the mean beat: enough for P, QRS and T."""
REFRACTORY = 0.25
LEAST_LEFT = 0.35
"""Height of the QRS in V5 and V6, of that in V1 and V2."""
# around the R wave, in seconds; shortened where the heart beats so fast that the next beat would be met
P_WAVE, QRS, T_WAVE = (-0.26, -0.07), (-0.06, 0.08), (0.1, 0.42)

Wave = npt.NDArray[np.float64]


def arm_reversal(window: npt.NDArray[np.float64], rate: float) -> float:
    """How far lead I is the mirror image of its neighbours in P, QRS and T: 0 to 1, of (samples, 12) mV.

    Exchanged arms turn I over and leave V5, V6 and aVF. A right axis turns QRS and perhaps T, not P; a heart on the
    right turns V5 and V6 as well, or leaves little of them: 0 where their QRS is small beside that of V1 and V2, and
    where no beats are found. The least of the three mirrorings counts.
    """
    step = max(1, round(rate / RATE))
    n_rows = len(window) // step
    slow = window[: n_rows * step].reshape(n_rows, step, -1).mean(axis=1)
    beat, interval = _mean_beat(slow, rate / step)
    if beat is None or not _grows_to_the_left(beat, rate / step):
        return 0.0
    first, lateral = beat[:, 0], beat[:, 10] + beat[:, 11]
    atrial = lateral + beat[:, 5]
    likeness = [
        _likeness(first, atrial, (max(P_WAVE[0], -0.4 * interval), P_WAVE[1]), rate / step),
        _likeness(first, lateral, QRS, rate / step),
        _likeness(first, lateral, (T_WAVE[0], min(T_WAVE[1], 0.55 * interval)), rate / step),
    ]
    return float(max(0.0, -max(likeness)))


def _mean_beat(slow: Wave, rate: float) -> tuple[Wave | None, float]:
    """The median beat (time, 12) from P_WAVE[0] to T_WAVE[1] around the R wave, and the seconds between beats."""
    from scipy import signal

    power = (np.gradient(slow, axis=0) ** 2).sum(axis=1)
    peaks, _ = signal.find_peaks(power, height=0.3 * np.percentile(power, 98), distance=max(1, int(REFRACTORY * rate)))
    before, after = round(-P_WAVE[0] * rate), round(T_WAVE[1] * rate) + 1
    whole = peaks[(peaks >= before) & (peaks + after <= len(slow))]
    if len(whole) < 2:
        return None, math.nan
    beats = slow[whole[:, None] + np.arange(-before, after)]
    return np.median(beats, axis=0), float(np.median(np.diff(peaks))) / rate


def _grows_to_the_left(beat: Wave, rate: float) -> bool:
    """Whether the QRS of V5 and V6 is not much smaller than that of V1 and V2."""
    start, end = (round((time - P_WAVE[0]) * rate) for time in QRS)
    height = np.ptp(beat[start:end], axis=0)
    return bool(height[[10, 11]].sum() > LEAST_LEFT * height[[6, 7]].sum())


def _likeness(one: Wave, other: Wave, seconds: tuple[float, float], rate: float) -> float:
    """Correlation of two leads of the mean beat within a part of it; 0 where one is constant."""
    start, end = (round((time - P_WAVE[0]) * rate) for time in seconds)
    if end - start < 3:
        return 0.0
    first, second = one[start:end] - one[start:end].mean(), other[start:end] - other[start:end].mean()
    power = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / power if power > 0 else 0.0
