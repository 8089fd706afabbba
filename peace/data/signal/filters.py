"""One cascade of second-order sections, applied forwards and backwards: no phase, no shift of any wave."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from peace.data.signal.kernel import filter_both_ways, polyphase

# Narrow enough (1.7 Hz at 50 Hz) to leave the QRS its shape.
NOTCH_QUALITY = 30.0
HIGHPASS_ORDER = 2
LOWPASS_ORDER = 4
# Beyond this share of a sampling rate a low-pass cannot be designed well.
HIGHEST_SHARE = 0.45

Sections = npt.NDArray[np.float64]


@lru_cache(maxsize=64)
def cascade(rate: float, highpass_hz: float, lowpass_hz: float, notch_hz: float) -> Sections:
    """Second-order sections (n, 6) at a sampling rate; 0 leaves a part out. Read-only, since it is shared.

    The notch is left out where the rate cannot carry it, the low-pass is lowered to 0.45 x rate.
    """
    from scipy import signal

    parts: list[npt.NDArray[np.float64]] = []
    if highpass_hz:
        parts.append(signal.butter(HIGHPASS_ORDER, highpass_hz, "highpass", fs=rate, output="sos"))
    if 0 < notch_hz < HIGHEST_SHARE * rate:
        parts.append(signal.tf2sos(*signal.iirnotch(notch_hz, NOTCH_QUALITY, fs=rate)))
    parts.append(signal.butter(LOWPASS_ORDER, min(lowpass_hz, HIGHEST_SHARE * rate), "lowpass", fs=rate, output="sos"))
    sections = np.ascontiguousarray(np.concatenate(parts))
    sections.setflags(write=False)
    return sections


@lru_cache(maxsize=64)
def _flat(key: bytes, n_sections: int) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    """Factors, start values and gain of sections as peace.data.signal.vectors.sweep takes them."""
    from scipy import signal

    sections = np.frombuffer(key).reshape(n_sections, 6)
    gains = sections[:, :1]
    if not np.allclose(sections[:, 2:3], gains, rtol=1e-12):
        raise ValueError("the numerator of each section must be symmetric")
    # the gain of all sections once: it spares two of five operations a section
    plain = np.concatenate([sections[:, :3] / gains, sections[:, 3:]], axis=1)
    factors = plain[:, [1, 4, 5]] * [1, -1, -1]
    return tuple(factors.ravel().tolist()), tuple(signal.sosfilt_zi(plain).ravel().tolist()), float(gains.prod())


def zero_phase(room: npt.NDArray[np.float64], reach: int, sections: Sections) -> npt.NDArray[np.float64]:
    """Filter along time, both ways, in place: the samples of (reach + samples + reach, 12).

    The ends are continued by `reach` samples of odd reflection, for which there must be room.
    """
    return filter_both_ways(room, *_flat(sections.tobytes(), len(sections)), reach)


def reflection(n_samples: int, rate: float) -> int:
    """Samples by which each end is continued before the filter: a second."""
    return min(n_samples - 1, round(rate))


@lru_cache(maxsize=64)
def ratio(source: float, target: int) -> Fraction:
    """target / source as a fraction small enough for a polyphase filter (360 Hz to 500 Hz: 25 / 18)."""
    return (Fraction(target) / Fraction(source).limit_denominator(1000)).limit_denominator(2000)


@lru_cache(maxsize=64)
def _taps(up: int, down: int) -> npt.NDArray[np.float64]:
    """The low-pass of scipy.signal.resample_poly: Kaiser window, ten zero crossings a side."""
    from scipy import signal

    widest = max(up, down)
    taps = np.asarray(signal.firwin(20 * widest + 1, 1 / widest, window=("kaiser", 5.0))) * up
    taps.setflags(write=False)
    return taps


def resample(
    samples: npt.NDArray[np.float64], source: float, target: int, most: int | None = None
) -> npt.NDArray[np.float64]:
    """Polyphase resampling of (samples, leads) from one rate to another; the first `most` samples of it."""
    step = ratio(source, target)
    up, down = step.numerator, step.denominator
    n_out = -(-len(samples) * up // down)
    n_out = n_out if most is None else min(n_out, most)
    if up == down:
        return samples[:n_out]
    resampled: npt.NDArray[np.float64] = polyphase(samples, _taps(up, down), up, down, n_out)
    return resampled
