"""What electrodes and devices add: wander, muscle, mains, motion, an electrode that comes off, and filters.

Levels: derived from 500 PTB-XL and 23 ZZU recordings (physiology, section 6), spread beyond them on purpose.
All is drawn at electrodes, in the frequency domain, so that one inverse transform serves signal, noise and device.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import fft

from peace.synthetic.draws import Draws
from peace.synthetic.tables import Array

Spectrum = np.ndarray


@dataclass(frozen=True)
class NoiseLevels:
    """Arrays of (n,) or (n, 9): mV, hertz."""

    wander: Array
    muscle: Array
    mains: Array
    mains_hz: Array
    highpass: Array
    lowpass: Array
    notch: Array
    motion: Array
    burst: Array
    off: np.ndarray
    breath_hz: Array


def draw_levels(cohort: str, record: Draws, breath_hz: Array, factor: float = 1.0) -> NoiseLevels:
    """Noise of each record; `off` is the electrode (0..8) that loses contact, or -1."""
    n = len(breath_hz)
    child = cohort == "zzu"
    electrode = np.exp(0.65 * record.normals(9))
    wander = 0.025 * np.exp(0.6 * record.normal())[:, None] * electrode * (1.2 if child else 1.0)
    drifting = record.uniform() < 0.12
    place = (record.uniform() * 9).astype(int)
    wander[np.arange(n), place] *= np.where(drifting, record.uniform(3, 12), 1.0)
    muscle = (
        0.0045 * np.exp(0.55 * record.normal())[:, None] * np.exp(0.4 * record.normals(9)) * (1.4 if child else 1.0)
    )
    shaky = record.uniform() < 0.12
    muscle = muscle * np.where(shaky, record.uniform(2, 5), 1.0)[:, None]
    mains = 0.0013 * np.exp(1.0 * record.normal())[:, None] * np.exp(0.5 * record.normals(9))
    high_choice, low_choice = record.uniform(), record.uniform()
    highpass = np.select([high_choice < 0.55, high_choice < 0.8], [0.05, 0.15], 0.5)
    lowpass = np.select([low_choice < 0.15, low_choice < 0.25, low_choice < 0.5], [40.0, 75.0, 100.0], 150.0)
    motion = np.where(record.uniform() < 0.08, record.uniform(0.1, 0.9), 0.0)
    burst = np.where(record.uniform() < 0.05, record.uniform(0.02, 0.15), 0.0)
    off_share = 0.10 if child else 0.006
    off = np.where(record.uniform() < off_share, (record.uniform() * 9).astype(int), -1)
    mains_hz = np.full(n, 60.0 if cohort == "mimic" else 50.0)
    notch = (record.uniform() < 0.5).astype(float)
    off = off if factor > 0 else np.full(n, -1)
    return NoiseLevels(
        wander * factor, muscle * factor, mains * factor, mains_hz, highpass, lowpass, notch, motion * factor,
        burst * factor, off, breath_hz * np.ones(n),
    )  # fmt: skip


def add_noise_and_device(
    electrodes: np.ndarray, rate: float, levels: NoiseLevels, row: int, rng: np.random.Generator
) -> np.ndarray:
    """Nine clean electrode potentials (9, T) float32 in mV -> what the device stores of them, (9, T) float32."""
    length = electrodes.shape[1]
    spectrum = fft.rfft(electrodes, axis=1)
    hertz = fft.rfftfreq(length, 1 / rate)
    wander_shape, muscle_shape = _shapes(length, rate)
    white = rng.standard_normal((9, 2, len(hertz)), dtype=np.float32)
    noise = (white[:, 0] + 1j * white[:, 1]) * np.float32(np.sqrt(length / 2))
    # spectra are scaled so that a level is the standard deviation in mV
    wander, muscle = levels.wander[row][:, None], levels.muscle[row][:, None]
    noise *= (wander * wander_shape + muscle * muscle_shape).astype(np.float32) * np.float32(np.sqrt(length))
    spectrum += noise
    breath = round(levels.breath_hz[row] * length / rate)
    spectrum[:, breath] += 0.5 * length * levels.wander[row] * np.exp(1j * rng.random() * 6.28)
    line = round(levels.mains_hz[row] * length / rate)
    if line < len(hertz):
        turn = np.exp(1j * (rng.random() * 6.28 + 0.3 * rng.standard_normal(9)))
        spectrum[:, line] += length * 0.7 * levels.mains[row] * turn
    if levels.motion[row] > 0 or levels.burst[row] > 0:
        spectrum += fft.rfft(_events(length, rate, levels.motion[row], levels.burst[row], rng), axis=1)
    spectrum *= _device(hertz, levels.highpass[row], levels.lowpass[row], levels.notch[row] * levels.mains_hz[row])
    stored = fft.irfft(spectrum, n=length, axis=1)
    if levels.off[row] >= 0:
        stored[levels.off[row]] += _contact_lost(length, rate, rng)
    return np.asarray(stored, dtype=np.float32)


@cache
def _shapes(length: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Amplitude spectra of unit power: wander, 1/f^2 in power below about 1 Hz; muscle, white above 20 Hz."""
    hertz = fft.rfftfreq(length, 1 / rate)
    wander = np.where(hertz > 0, 1 / (0.15 + hertz) * np.exp(-((hertz / 1.2) ** 2)), 0)
    muscle = (0.25 + 0.75 / (1 + np.exp(-(hertz - 22) / 4))) / (1 + (hertz / 140) ** 2)
    return wander / np.sqrt((wander**2).sum()), muscle / np.sqrt((muscle**2).sum())


def _device(hertz: Array, highpass: float, lowpass: float, notch: float) -> np.ndarray:
    """Response of an electrocardiograph: first-order high-pass, steep low-pass, notch at `notch` Hz (0: none)."""
    response = 1j * hertz / (1j * hertz + highpass) / np.sqrt(1 + (hertz / lowpass) ** 8)
    if notch > 0:
        response = response * (1 - np.exp(-(((hertz - notch) / 0.7) ** 2)))
    return np.asarray(response.astype(np.complex64))


def _events(length: int, rate: float, motion: float, burst: float, rng: np.random.Generator) -> np.ndarray:
    """Motion steps with exponential return on one or two electrodes, and bursts of muscle."""
    out = np.zeros((9, length), dtype=np.float32)
    time = np.arange(length, dtype=np.float32) / np.float32(rate)
    if motion > 0:
        for place in rng.integers(0, 9, size=1 + int(rng.integers(0, 2))):
            for start in rng.random(1 + int(rng.integers(0, 3))) * time[-1]:
                after = np.clip(time - start, 0, None)
                step = motion * rng.standard_normal() * np.exp(-after / (0.15 + 0.6 * rng.random()))
                out[place] += np.where(time >= start, step, 0).astype(np.float32)
    if burst > 0:
        centre, width = rng.random() * time[-1], 0.3 + 1.2 * rng.random()
        form = burst * np.exp(-0.5 * ((time - centre) / width) ** 2)
        place = rng.integers(0, 9, size=3)
        out[place] += form * rng.standard_normal((3, length), dtype=np.float32)
    return out


def _contact_lost(length: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """A potential that runs towards the amplifier's rail near 26.6 mV for a moment and comes back."""
    time = np.arange(length) / rate
    start, lasts = rng.random() * time[-1], 0.04 + 0.5 * rng.random() ** 2
    height = (8 + 40 * rng.random()) * (1 if rng.random() < 0.5 else -1)
    return np.asarray(height * ((time > start) & (time < start + lasts)) * (0.7 + 0.3 * rng.random(length)))
