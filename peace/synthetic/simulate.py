"""From keys to recordings: everything of a record follows from (seed, cohort, patient, number), in any batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from peace.synthetic.conditions import LABELS, Conditions, draw_conditions
from peace.synthetic.draws import Draws, stream_key
from peace.synthetic.heart import Beat, draw_beat
from peace.synthetic.leadfield import FROM_ELECTRODES, draw_leadfield, lower_voltage
from peace.synthetic.noise import NoiseLevels, add_noise_and_device, draw_levels
from peace.synthetic.rhythm import ATRIAL, VENTRICULAR, Rhythm, draw_pace, draw_rhythm
from peace.synthetic.subjects import Subjects, draw_subjects

RAIL_MV = 26.6
_FINE = 4  # templates are drawn at four times the rate, so that a beat falls between samples
_WINDOWS = {"p": (-400.0, 120.0), "qrs": (-60.0, 300.0), "t": (-10.0, 900.0)}


@dataclass(frozen=True)
class Variety:
    """What may be turned down to see what it is worth: even priors, spread of the lead field, noise."""

    flat: bool = False
    leadfield: float = 1.0
    noise: float = 1.0


AS_IS = Variety()


@dataclass(frozen=True)
class Simulated:
    """A batch: `signals` (n) arrays of (12, T) float32 mV in LEADS order, and the truth behind them."""

    signals: list[np.ndarray]
    labels: np.ndarray
    subjects: Subjects
    conditions: Conditions
    levels: NoiseLevels
    rhythms: list[Rhythm]
    beat: Beat
    leads: np.ndarray
    streams: list[np.random.Generator]

    @property
    def meta(self) -> dict[str, np.ndarray]:
        """Truth as columns of (n,): years, sex, intervals, axis, rate, severities and noise."""
        s = self.subjects
        columns: dict[str, Any] = {
            "age_years": s.age, "female": s.female, "rate": s.rate, "pr_ms": s.pr, "qrs_ms": s.qrs, "qt_ms": s.qt,
            "qtc_ms": s.qtc, "axis_deg": s.axis, "wander_mv": np.median(self.levels.wander, axis=1),
            "muscle_mv": np.median(self.levels.muscle, axis=1), "mains_mv": np.median(self.levels.mains, axis=1),
            "electrode_off": self.levels.off, "lowpass_hz": self.levels.lowpass, "highpass_hz": self.levels.highpass,
        }  # fmt: skip
        columns |= {f"severity_{name}": value for name, value in self.conditions.severity.items()}
        return {name: np.asarray(value) for name, value in columns.items()}


def simulate(
    cohort: str,
    seed: int,
    patients: Sequence[int],
    numbers: Sequence[int],
    seconds: float | Sequence[float] = 10.0,
    rate: float = 500.0,
    variety: Variety = AS_IS,
) -> Simulated:
    """Records of given patients. `cohort` is mimic, zzu or ptbxl; `numbers` counts each patient's records from 0."""
    number = np.asarray(numbers)
    patient = Draws([stream_key(seed, cohort, 1, who) for who in patients])
    record = Draws([stream_key(seed, cohort, 2, who, which) for who, which in zip(patients, numbers, strict=True)])
    conditions = draw_conditions(cohort, variety.flat, patient, record, number)
    subjects = draw_subjects(cohort, patient, record, number, conditions)
    electrodes = draw_leadfield(patient, record, subjects.adult, conditions.normal, variety.leadfield)
    limb = np.einsum("le,nes->nls", FROM_ELECTRODES[:2], electrodes[:, :, :3])
    beat = draw_beat(subjects, conditions, patient, record, limb)
    seen = np.einsum("le,nes->nls", FROM_ELECTRODES, electrodes[:, :, :3]) @ beat.qrs.at(np.arange(-20.0, 200.0, 2))
    lower_voltage(electrodes, conditions, patient, np.ptp(seen, axis=2))
    pace = draw_pace(subjects, conditions, record)
    levels = draw_levels(cohort, record, pace.breath_hz, variety.noise)
    lengths = np.broadcast_to(np.asarray(seconds, float), number.shape)
    templates = _Templates(beat, rate)
    signals, rhythms = [], []
    for row, rng in enumerate(record.streams):
        fibrillating = bool(conditions["AFIB"][row] > 0)
        rhythm = draw_rhythm(lengths[row], subjects.rate[row], pace, row, fibrillating, rng)
        flutter = float(conditions["AFLT"][row])
        breath_hz = float(pace.breath_hz[row])
        sources = templates.render(row, rhythm, lengths[row], breath_hz, (fibrillating, flutter), rng)
        potentials = electrodes[row].astype(np.float32) @ sources
        stored = add_noise_and_device(potentials, rate, levels, row, rng)
        signals.append(np.clip(FROM_ELECTRODES @ stored, -RAIL_MV, RAIL_MV))
        rhythms.append(rhythm)
    return Simulated(
        signals,
        conditions.labels(),
        subjects,
        conditions,
        levels,
        rhythms,
        beat,
        FROM_ELECTRODES @ electrodes,
        record.streams,
    )


def generate(
    n: int,
    seed: int,
    population: Literal["adult", "child", "ptbxl"] = "adult",
    rate: float = 500.0,
    variety: Variety = AS_IS,
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """n ten-second records of n subjects, in memory: signals (n, 12, 10 * rate) in mV, labels (n, 12) and truth."""
    cohort = {"adult": "mimic", "child": "zzu"}.get(population, population)
    signals = np.empty((n, len(FROM_ELECTRODES), int(10 * rate)), dtype=np.float32)
    labels, metas = [], []
    for start in range(0, n, 256):
        who = range(start, min(start + 256, n))
        batch = simulate(cohort, seed, who, [0] * len(who), 10.0, rate, variety)
        signals[start : start + len(who)] = batch.signals
        labels.append(batch.labels)
        metas.append(batch.meta)
    meta = {name: np.concatenate([part[name] for part in metas]) for name in metas[0]} if metas else {}
    return signals, np.concatenate(labels) if labels else np.zeros((0, len(LABELS)), np.uint8), meta


class _Templates:
    """P, QRS and ST-T of each row, finely sampled, and how they are laid along a record."""

    def __init__(self, beat: Beat, rate: float) -> None:
        self.rate = rate
        self.first: dict[str, int] = {}
        self.wave: dict[str, np.ndarray] = {}
        fine = rate * _FINE
        for name, (start, stop) in _WINDOWS.items():
            first = int(start / 1000 * rate)
            samples = int((stop - start) / 1000 * rate)
            time = (first * _FINE + np.arange(samples * _FINE)) / fine * 1000
            values = getattr(beat, name).at(time) + (beat.st_at(time) if name == "t" else 0)
            self.first[name], self.wave[name] = first, self._phases(values)
        time = (self.first["t"] * _FINE + np.arange(self.wave["t"].shape[-1] * _FINE)) / fine * 1000
        self.ectopic = self._phases(beat.ectopic.at(time))

    @staticmethod
    def _phases(values: np.ndarray) -> np.ndarray:
        """(n, 3, m * FINE) -> (n, FINE, 3, m)."""
        n, axes, count = values.shape
        parts = values.reshape(n, axes, count // _FINE, _FINE)
        return np.ascontiguousarray(parts.transpose(0, 3, 1, 2), dtype=np.float32)

    def render(
        self, row: int, rhythm: Rhythm, seconds: float, breath_hz: float, atria: tuple[bool, float],
        rng: np.random.Generator,
    ) -> np.ndarray:  # fmt: skip
        """(7, T) sources: the ventricles' turning dipole and small non-dipolar part, and the atria's dipole."""
        length = round(seconds * self.rate)
        margin = int(1.6 * self.rate)
        out, atrial = np.zeros((2, 3, length + 2 * margin), dtype=np.float32)
        ventricles = np.zeros(length + 2 * margin, dtype=np.float32)
        for onset, kind, gain, has_p in zip(rhythm.onset, rhythm.kind, rhythm.gain, rhythm.has_p, strict=True):
            place = onset * self.rate + margin
            sample = int(np.ceil(place))
            phase = int((sample - place) * _FINE)
            if kind == VENTRICULAR:
                _lay(out, self.ectopic[row, phase], sample + self.first["t"], gain)
                continue
            if has_p and not atria[1]:
                _lay(atrial, self.wave["p"][row, phase], sample + self.first["p"], -0.6 if kind == ATRIAL else 1.0)
            _lay(out, self.wave["qrs"][row, phase], sample + self.first["qrs"], gain)
            _lay(ventricles[None], self.wave["qrs"][row, phase, 2:], sample + self.first["qrs"] + 4, gain)
            _lay(out, self.wave["t"][row, phase], sample + self.first["t"], 1.0)
        dipole = out[:, margin : margin + length]
        time = np.arange(length, dtype=np.float32) / np.float32(self.rate)
        first = atrial[:, margin : margin + length]
        if atria[0] or atria[1]:
            first = first + _atrial_waves(time, atria, rng)
        turn = 0.045 * np.sin(2 * np.pi * breath_hz * time + rng.random() * 6.28).astype(np.float32)
        axis = rng.standard_normal(3).astype(np.float32)
        dipole = dipole + np.cross(axis, dipole, axisb=0, axisc=0) * turn
        return np.concatenate([dipole, ventricles[None, margin : margin + length], first])


def _lay(out: np.ndarray, wave: np.ndarray, start: int, gain: float) -> None:
    """Add a wave at a sample, cut at the ends."""
    stop = min(start + wave.shape[1], out.shape[1])
    first = max(start, 0)
    if stop > first:
        out[:, first:stop] += np.float32(gain) * wave[:, first - start : stop - start]


def _atrial_waves(time: np.ndarray, atria: tuple[bool, float], rng: np.random.Generator) -> np.ndarray:
    """(3, T) fibrillation (4-9 Hz, strongest towards V1) or flutter (saw-tooth, downwards in II, III, aVF)."""
    if atria[0]:
        size = 0.015 * np.exp(0.6 * rng.standard_normal())
        pitch = 4.5 + 3.5 * rng.random()
        drift = np.cumsum(rng.standard_normal(len(time))) * 0.03
        waves = [np.sin(2 * np.pi * pitch * part * time + drift * part + rng.random() * 6.28) / part for part in (1, 2)]
        form = size * (waves[0] + waves[1]) * (1 + 0.4 * np.sin(2 * np.pi * 0.7 * time))
        return np.outer([-0.7, 0.5, -2.8], form).astype(np.float32)
    turns = time * (250 + 60 * rng.random()) / 60 + rng.random()
    saw = (0.06 + 0.12 * atria[1]) * (2 * (turns % 1) ** 1.5 - 0.8)
    return np.outer([0.2, -0.9, -0.5], saw).astype(np.float32)
