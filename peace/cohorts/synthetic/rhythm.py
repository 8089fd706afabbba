"""When beats fall and of what kind they are: sinus variation with breath, premature beats, fibrillation, flutter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peace.cohorts.synthetic.conditions import Conditions
from peace.cohorts.synthetic.draws import Draws
from peace.cohorts.synthetic.subjects import Subjects
from peace.cohorts.synthetic.tables import Array

USUAL, VENTRICULAR, ATRIAL = 0, 1, 2


@dataclass(frozen=True)
class Rhythm:
    """Beats of one record: onset of QRS in s, kind, gain of QRS, and whether a P wave goes before."""

    onset: Array
    kind: np.ndarray
    gain: Array
    has_p: np.ndarray


@dataclass(frozen=True)
class Pace:
    """How each record's heart is paced, arrays of (n,): variation as a share of RR, breaths a second."""

    breath_hz: Array
    breath_share: Array
    slow_share: Array
    premature: Array


def draw_pace(s: Subjects, has: Conditions, record: Draws) -> Pace:
    """Heart rate variation by age: little in the newborn, most at school age."""
    breath = np.interp(s.age, [0, 0.5, 3, 9, 18], [0.80, 0.62, 0.45, 0.34, 0.25]) * np.exp(0.12 * record.normal())
    usual = np.interp(s.age, [0, 1, 5, 10, 18, 40, 80], [0.012, 0.02, 0.04, 0.05, 0.035, 0.018, 0.012])
    share = usual * np.exp(0.7 * record.normal())
    share = np.where(has.has("SARRH"), np.maximum(share, 0.07 + 0.11 * has["SARRH"]), np.minimum(share, 0.09))
    share = np.where(s.rate > np.where(s.adult, 105, 150), share * 0.4, share)
    often = np.where(has.has("PVC"), 0.05 + 0.20 * has["PVC"], 0) + 1j * np.where(
        has.has("PAC"), 0.05 + 0.15 * has["PAC"], 0
    )
    return Pace(breath, share, 0.6 * usual * np.exp(0.4 * record.normal()), often)


def draw_rhythm(
    seconds: float, rate: float, pace: tuple[float, float, float, complex], fibrillating: bool, rng: np.random.Generator
) -> Rhythm:
    """Beats from before the start to after the end, so that waves of neighbours reach in."""
    breath_hz, breath_share, slow_share, premature = pace
    mean = 60.0 / rate
    count = int((seconds + 3) / (0.4 * mean)) + 4
    phase, slow = rng.random(2) * 2 * np.pi
    jitter = rng.standard_normal(count)
    chance = rng.random((3, count))
    gain = np.exp(0.035 * rng.standard_normal(count))
    onset, kind, has_p = [], [], []
    now, index = -1.0 - mean * chance[0, 0], 0
    while now < seconds + 0.6 and index < count - 1:
        breath = np.sin(2 * np.pi * breath_hz * now + phase)
        share = (
            1 + 1.2 * breath_share * breath + slow_share * np.sin(2 * np.pi * 0.1 * now + slow) + 0.004 * jitter[index]
        )
        gap = mean * (max(0.55, 1 + 0.24 * jitter[index]) if fibrillating else max(0.6, share))
        last = kind[-1] if kind else USUAL
        if last == USUAL and chance[1, index] < premature.real:
            now = now - gap + gap * (0.55 + 0.2 * chance[2, index]) if onset else now
            this, gap_after = VENTRICULAR, gap * 1.38
        elif last == USUAL and chance[1, index] > 1 - premature.imag:
            now = now - gap + gap * (0.60 + 0.2 * chance[2, index]) if onset else now
            this, gap_after = ATRIAL, gap * 1.08
        else:
            this, gap_after = USUAL, gap
        onset.append(now)
        kind.append(this)
        has_p.append(this != VENTRICULAR and not fibrillating)
        now += gap_after
        index += 1
    return Rhythm(np.array(onset), np.array(kind), gain[: len(onset)], np.array(has_p))
