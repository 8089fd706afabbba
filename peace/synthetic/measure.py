"""What a reader would measure on each record's noise-free beat, and which labels' criteria it then meets.

Measured on the twelve-lead waveform, not taken from the parameters that made it. Criteria: AHA/ACCF/HRS 2009 parts
III to V for adults, age limits recalled from Park for children (docs/synthetic.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peace.synthetic.conditions import LABELS
from peace.synthetic.simulate import Simulated
from peace.synthetic.tables import Array

START, STOP = -460, 900
LI, II, III, AVR, AVL, AVF, V1, V2, V3, V4, V5, V6 = range(12)

# child limits by age in years: R in V6, S in V1, their sum (LVH); R in V1, S in V6 (RVH), mV
_CHILD_AGES = np.array([0.02, 1, 3, 5])
_LVH = np.array([(1.2, 2.3, 2.8), (2.3, 1.8, 3.5), (2.3, 2.1, 3.8), (2.5, 2.2, 4.2), (2.7, 2.6, 4.7)])
_RVH = np.array([(2.7, 1.0), (2.2, 1.0), (1.8, 0.7), (1.8, 0.6), (1.3, 0.4)])


@dataclass(frozen=True)
class Measured:
    """(n,) milliseconds and degrees; (n, 12) mV in lead order. S excludes Q; `late` ends QRS; T and ST are signed."""

    pr: Array
    qrs: Array
    qtc: Array
    axis: Array
    r: Array
    q: Array
    s: Array
    t: Array
    p: Array
    st: Array
    late: Array
    terminal_p_v1: Array
    p_duration: Array


def waveform(batch: Simulated) -> tuple[Array, Array]:
    """Times (m,) in ms from the onset of QRS, and the usual beat of each record as (n, 12, m) mV."""
    time = np.arange(START, STOP, dtype=float)
    beat = batch.beat
    dipole = beat.qrs.at(time) + beat.t.at(time) + beat.st_at(time)
    return time, batch.leads[:, :, :3] @ dipole + batch.leads[:, :, 4:] @ beat.p.at(time)


def measure(batch: Simulated) -> Measured:
    """Measure every record of a batch."""
    time, beat = waveform(batch)
    n = len(beat)
    speed = np.sqrt((np.gradient(beat, axis=2) ** 2).mean(axis=1))
    peak = np.argmax(np.where((time > -20) & (time < 220), speed, 0), axis=1)
    # QRS lasts as long as the potentials move faster than any T wave does
    quick = speed > np.maximum(0.04 * speed[np.arange(n), peak], 0.003)[:, None]
    onset, offset = _run_around(quick, peak)
    inside = (np.arange(len(time)) >= onset[:, None]) & (np.arange(len(time)) <= offset[:, None])
    level = beat[np.arange(n), :, np.maximum(onset - 2, 0)][:, :, None]
    flat = beat - level
    qrs = np.where(inside[:, None], flat, 0)
    r_at = qrs.argmax(axis=2)
    place = np.arange(len(time))
    after, before = place > r_at[:, :, None], place < r_at[:, :, None]
    late = inside & (place > (offset - 0.33 * (offset - onset))[:, None])
    area = qrs.sum(axis=2)
    axis = np.degrees(np.arctan2((area[:, II] - area[:, LI] / 2) * 2 / np.sqrt(3), area[:, LI]))
    rest = (place > (offset + 50)[:, None]) & (time < (batch.subjects.qt + 60)[:, None])
    t_wave = np.where(rest[:, None], flat, 0)
    t = _largest(t_wave)
    p_wave = batch.leads[:, :, 4:] @ batch.beat.p.at(time)
    p_speed = np.abs(p_wave).max(axis=1) > 0.012
    p_on = np.where(p_speed.any(axis=1), p_speed.argmax(axis=1), onset)
    p_off = len(time) - 1 - p_speed[:, ::-1].argmax(axis=1)
    qt = _t_end(flat, t, time) - time[onset]
    where_late = np.where(late[:, None], flat, 0)
    st_at = offset + np.where(batch.subjects.adult, 30, 16)
    return Measured(
        time[onset] - time[p_on], (offset - onset).astype(float), qt / np.sqrt(60 / batch.subjects.rate), axis,
        qrs.max(axis=2), -np.where(before, qrs, 0).min(axis=2), -np.where(after, qrs, 0).min(axis=2), t,
        p_wave.max(axis=2), flat[np.arange(n), :, np.minimum(st_at, len(time) - 1)], _largest(where_late),
        -np.where(p_wave[:, V1] < 0, p_wave[:, V1], 0).sum(axis=1), (p_off - p_on).astype(float),
    )  # fmt: skip


def _largest(waves: Array) -> Array:
    """The largest deflection along the last axis, with its sign."""
    high, low = waves.max(axis=-1), waves.min(axis=-1)
    return np.asarray(np.where(high > -low, high, low))


def criteria(batch: Simulated, m: Measured) -> np.ndarray:
    """(n, 12) booleans: does the record meet the criterion of each label, by age. NORM: no other is met."""
    age, adult = batch.subjects.age, batch.subjects.adult
    small = np.where(age < 4, 90, 100)
    wide = np.where(adult, 120, small)
    r_prime = np.maximum(m.late[:, V1], m.late[:, V2] * 0.7)
    s_lateral = np.maximum(-m.late[:, LI], -m.late[:, V6])
    met = {
        "LAFB": (m.axis < -42) & (m.axis > -100) & (m.q[:, AVL] > 0.01) & (m.r[:, AVL] > m.s[:, AVL]),
        "IRBBB": (r_prime > 0.10) & (s_lateral > 0.05) & (m.qrs < wide + 4),
        "CRBBB": (m.qrs >= wide) & (r_prime > 0.2) & (s_lateral > 0.05),
        "LVOLT": _low_voltage(m),
        "LAE": (m.terminal_p_v1 > 4.0) | (m.p_duration > np.where(adult, 122, np.where(age < 1, 84, 104))),
        "RAE": (m.p[:, II] > np.where(age < 0.5, 0.30, 0.25)) | (m.p[:, V1] > 0.15),
        "LVH": _lvh(m, age, adult, batch.subjects.female),
        "RVH": _rvh(m, age, adult),
        "STTC": _st_shifted(m),
        "TAB_": _t_abnormal(m, age),
        "LQTS": m.qtc >= np.where(adult, np.where(batch.subjects.female, 460, 450), 460),
    }
    others = np.stack([met[name] for name in LABELS[1:]], axis=1)
    return np.concatenate([~others.any(axis=1, keepdims=True), others], axis=1)


def _low_voltage(m: Measured) -> Array:
    span = m.r + np.maximum(m.s, m.q)
    return np.asarray((span[:, :6] < 0.5).all(axis=1) | (span[:, 6:] < 1.0).all(axis=1))


def _lvh(m: Measured, age: Array, adult: Array, female: Array) -> Array:
    limit = _LVH[np.searchsorted(_CHILD_AGES, age)]
    child = (m.r[:, V6] > limit[:, 0]) | (m.s[:, V1] > limit[:, 1]) | (m.r[:, V6] + m.s[:, V1] > limit[:, 2])
    sokolow = m.s[:, V1] + np.maximum(m.r[:, V5], m.r[:, V6]) >= 3.5
    cornell = m.r[:, AVL] + m.s[:, V3] > np.where(female, 2.0, 2.8)
    return np.asarray(np.where(adult, sokolow | cornell, child))


def _rvh(m: Measured, age: Array, adult: Array) -> Array:
    limit = _RVH[np.searchsorted(_CHILD_AGES, age)]
    grown = (m.r[:, V1] >= 0.7) & (m.r[:, V1] > m.s[:, V1]) | (m.axis >= 110) & (m.s[:, V6] > 0.3)
    grown |= m.r[:, V1] + m.s[:, V5] >= 1.05
    upright = (age > 0.02) & (age < 6) & (m.t[:, V1] > 0.05) & (m.r[:, V1] > m.s[:, V1])
    child = (m.r[:, V1] > limit[:, 0]) | (m.s[:, V6] > limit[:, 1]) | upright
    return np.asarray(np.where(adult, grown, child))


def _st_shifted(m: Measured) -> Array:
    """Two of I, II, aVL, aVF, V2-V6 with ST 40 ms after QRS down by 0.05 mV or up by 0.1 (V2, V3: 0.2)."""
    leads = [LI, II, AVL, AVF, V2, V3, V4, V5, V6]
    up = np.array([0.1, 0.1, 0.1, 0.1, 0.2, 0.2, 0.15, 0.1, 0.1])
    return np.asarray(((m.st[:, leads] < -0.05) | (m.st[:, leads] > up)).sum(axis=1) >= 2)


def _t_abnormal(m: Measured, age: Array) -> Array:
    """T low, flat or turned in two of I, II, V4-V6 (with V2, V3 in adults)."""
    leads = m.t[:, [LI, II, V4, V5, V6]]
    against = leads < np.maximum(0.08 * m.r[:, [LI, II, V4, V5, V6]], 0.03)
    front = (m.t[:, [V2, V3]] < -0.05) & (age > 16)[:, None]
    return np.asarray(against.sum(axis=1) + front.sum(axis=1) >= 2)


def _run_around(flags: np.ndarray, at: np.ndarray, gap: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """First and last true place of the run around `at`, bridging gaps of up to `gap` places."""
    first, last = at.copy(), at.copy()
    for row, line in enumerate(flags):
        places = np.flatnonzero(line)
        groups = np.split(places, np.flatnonzero(np.diff(places) > gap) + 1)
        for group in groups:
            if len(group) and group[0] <= at[row] <= group[-1]:
                first[row], last[row] = group[0], group[-1]
    return first, last


def _t_end(flat: Array, t: Array, time: Array) -> Array:
    """Where the steepest tangent after the peak of T meets the baseline, in the lead with the largest T; ms."""
    lead = np.abs(t).argmax(axis=1)
    rows = np.arange(len(t))
    wave = flat[rows, lead] * np.sign(t[rows, lead])[:, None]
    late = time > 120
    peak = np.where(late, wave, -9).argmax(axis=1)
    slope = np.gradient(wave, axis=1)
    falling = (np.arange(wave.shape[1]) > peak[:, None]) & (np.arange(wave.shape[1]) < (peak + 220)[:, None])
    steep = np.where(falling, slope, 0).argmin(axis=1)
    return np.asarray(time[steep] - wave[rows, steep] / np.minimum(slope[rows, steep], -1e-5))
