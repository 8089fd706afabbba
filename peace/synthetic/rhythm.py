"""When beats fall and of what kind they are: sinus variation with breath, premature beats, fibrillation, flutter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peace.synthetic.conditions import Conditions
from peace.synthetic.draws import Draws
from peace.synthetic.subjects import Subjects
from peace.synthetic.tables import Array

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
    ventricular: Array
    atrial: Array


def draw_pace(s: Subjects, has: Conditions, record: Draws) -> Pace:
    """Heart rate variation by age: little in the newborn, most at school age."""
    breath = np.interp(s.age, [0, 0.5, 3, 9, 18], [0.80, 0.62, 0.45, 0.34, 0.25]) * np.exp(0.12 * record.normal())
    usual = np.interp(s.age, [0, 1, 5, 10, 18, 40, 80], [0.012, 0.02, 0.04, 0.05, 0.035, 0.018, 0.012])
    share = usual * np.exp(0.7 * record.normal())
    share = np.where(has.has("SARRH"), np.maximum(share, 0.07 + 0.11 * has["SARRH"]), np.minimum(share, 0.09))
    share = np.where(s.rate > np.where(s.adult, 105, 150), share * 0.4, share)
    ventricular = np.where(has.has("PVC"), 0.05 + 0.20 * has["PVC"], 0)
    atrial = np.where(has.has("PAC"), 0.05 + 0.15 * has["PAC"], 0)
    slow = 0.6 * usual * np.exp(0.4 * record.normal())
    return Pace(breath, share, slow, ventricular, atrial)


def draw_rhythm(
    seconds: float, rate: float, pace: Pace, row: int, fibrillating: bool, rng: np.random.Generator
) -> Rhythm:
    """Beats from before the start to after the end, so that waves of neighbours reach in."""
    mean = 60.0 / rate
    count = int((seconds + 3) / (0.4 * mean)) + 4
    phase, slow = rng.random(2) * 2 * np.pi
    jitter = rng.standard_normal(count)
    chance = rng.random((3, count))
    gain = np.exp(0.035 * rng.standard_normal(count))
    breath_hz, breath, slowly = float(pace.breath_hz[row]), 1.2 * pace.breath_share[row], pace.slow_share[row]
    onset: list[float] = []
    kind: list[int] = []
    now, index = -1.0 - mean * chance[0, 0], 0
    while now < seconds + 0.6 and index < count - 1:
        share = 1 + breath * np.sin(2 * np.pi * breath_hz * now + phase) + slowly * np.sin(0.2 * np.pi * now + slow)
        gap = mean * (max(0.55, 1 + 0.24 * jitter[index]) if fibrillating else max(0.6, share + 0.004 * jitter[index]))
        after_usual = onset and kind[-1] == USUAL
        this, pause = USUAL, gap
        # an early beat takes the place of the due one; the pause after it makes up for it wholly or in part
        if after_usual and chance[1, index] < pace.ventricular[row]:
            early = 0.55 + 0.2 * chance[2, index]
            this, now, pause = VENTRICULAR, now - gap * (1 - early), gap * (2 - early)
        elif after_usual and chance[1, index] > 1 - pace.atrial[row]:
            early = 0.60 + 0.2 * chance[2, index]
            this, now, pause = ATRIAL, now - gap * (1 - early), gap * 1.08
        onset.append(now)
        kind.append(this)
        now += pause
        index += 1
    kinds = np.array(kind)
    return Rhythm(np.array(onset), kinds, gain[: len(onset)], (kinds != VENTRICULAR) & (not fibrillating))
