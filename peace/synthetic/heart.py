"""One heart beat as moving vectors: P, QRS and ST-T as pulses in time with a direction each, and how conditions change
them. Milliseconds from the onset of QRS; Frank axes X left, Y down, Z back; mV.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peace.synthetic.conditions import Conditions
from peace.synthetic.draws import Draws
from peace.synthetic.subjects import Subjects
from peace.synthetic.tables import (
    FORCES,
    P_DURATION,
    P_SIZE,
    T_BACK,
    T_BACK_SPREAD,
    T_SIZE,
    Array,
    by_age,
)


@dataclass
class Pulses:
    """Gaussian pulses with unequal flanks: centre, rise and fall (n, k) in ms; vector (n, k, 3) in mV."""

    centre: Array
    rise: Array
    fall: Array
    vector: Array

    def at(self, milliseconds: Array) -> Array:
        """(n, 3, m) vectors at times (m,)."""
        away = milliseconds - self.centre[:, :, None]
        width = np.where(away < 0, self.rise[:, :, None], self.fall[:, :, None])
        shape = np.exp(-0.5 * (away / width) ** 2)
        return np.asarray(np.einsum("nkm,nkc->ncm", shape, self.vector))


@dataclass
class Beat:
    """P, QRS and T of a subject's usual beat, an ectopic one, and the plateau of ST from `j_point` to `t_peak`."""

    p: Pulses
    qrs: Pulses
    t: Pulses
    ectopic: Pulses
    st_vector: Array
    j_point: Array
    t_peak: Array

    def st_at(self, milliseconds: Array) -> Array:
        """(n, 3, m): a plateau that rises at the J point and merges into T."""
        rise = 1 / (1 + np.exp(-(milliseconds - self.j_point[:, None]) / 7.0))
        width = 0.18 * (self.t_peak - self.j_point)[:, None]
        fall = 1 / (1 + np.exp((milliseconds - self.t_peak[:, None] + width) / width))
        return np.asarray((rise * fall)[:, None, :] * self.st_vector[:, :, None])


def draw_beat(subjects: Subjects, has: Conditions, patient: Draws, record: Draws, limb: Array) -> Beat:
    """The beat of each subject. `limb` (n, 2, 3): the subject's own leads I and II, on which the axis is set."""
    qrs = _qrs(subjects, has, patient, record)
    _turn_to_axis(qrs, subjects.axis, limb)
    main = (qrs.vector * (qrs.rise + qrs.fall)[:, :, None]).sum(axis=1)
    t, st, peak = _repolarisation(subjects, has, patient, record, main)
    p = _atria(subjects, has, patient, record)
    return Beat(p, qrs, t, _ectopic(subjects, patient), st, subjects.qrs.copy(), peak)


def _stack(columns: list[Array]) -> Array:
    return np.stack(np.broadcast_arrays(*columns), axis=1)


# centre and width of the five pulses as shares of the duration of QRS (the widths of tables.FORCES' fit)
PULSE_CENTRE = (0.20, 0.33, 0.47, 0.61, 0.82)
PULSE_WIDTH = (0.07, 0.09, 0.105, 0.105, 0.075)


def _qrs(s: Subjects, has: Conditions, patient: Draws, record: Draws) -> Pulses:
    # pulses fade before their nominal ends: stretched so that QRS measures what the norms say
    span, begin = 1.10 * s.narrow, -0.05 * s.narrow
    slow = np.where(has.has("LBBB"), 1.25, 1.0)
    at = [begin + span * share for share in PULSE_CENTRE]
    sigma = [span * share for share in PULSE_WIDTH]
    at[2] = at[2] + has["LAFB"] * 6 + has["LBBB"] * 12
    sigma[2], sigma[3] = sigma[2] * slow, sigma[3] * slow
    vectors = _forces(s, has, patient, record)
    late, late_at, late_rise, late_fall = _right_bundle(s, has, patient)
    # left anterior fascicular block starts towards the foot
    first = has.has("LAFB")[:, None] * np.stack(
        [0.05 + 0 * s.age, 0.20 + 0.16 * has["LAFB"], -0.05 + 0 * s.age], axis=1
    )
    # small notches and slurs, without which a QRS holds too little above 40 Hz
    notch_at = [begin + span * patient.uniform(low, high) for low, high in ((0.15, 0.45), (0.3, 0.7), (0.5, 0.95))]
    notch_width = [span * patient.uniform(0.025, 0.05) for _ in notch_at]
    notches = 0.055 * np.linalg.norm(vectors[:, 2], axis=1)[:, None, None] * patient.normals(9).reshape(-1, 3, 3)
    centre = _stack([*at, late_at, begin + 0.19 * span, *notch_at])
    rise = _stack([*sigma, late_rise, 0.075 * span, *notch_width])
    fall = _stack([*sigma, late_fall, 0.075 * span, *notch_width])
    return Pulses(centre, rise, fall, np.concatenate([vectors, late[:, None], first[:, None], notches], axis=1))


def _right_bundle(s: Subjects, has: Conditions, patient: Draws) -> tuple[Array, Array, Array, Array]:
    """Right bundle branch block's late force to the right and front: vector (n, 3), centre, rise and fall in ms."""
    complete, incomplete, normal = has.has("CRBBB"), has.has("IRBBB"), has.has("RSR")
    late = np.where(complete, 0.50 + 0.80 * has["CRBBB"], 0) + np.where(incomplete, 0.28 + 0.45 * has["IRBBB"], 0)
    late = (late + np.where(normal, 0.12 + 0.15 * has["RSR"], 0)) * np.exp(0.2 * patient.normal())
    late = late * np.where(s.adult, 1.0, 1.45)
    spread = 0.25 * patient.normals(3)
    direction = np.stack([-0.62 + spread[:, 0] * 0.5, -0.05 + spread[:, 1], -0.72 + spread[:, 2] * 0.6], axis=1)
    added = s.qrs - s.narrow
    at = np.where(complete, s.narrow + 0.40 * added, 0.95 * s.narrow + 0.35 * added)
    rise = np.where(complete, 0.30 * added + 4, 0.085 * s.narrow + 0.15 * added)
    fall = np.where(complete, 0.27 * added, 0.065 * s.narrow + 0.15 * added)
    return late[:, None] * direction, at, rise, np.maximum(fall, 4.0)


def _forces(s: Subjects, has: Conditions, patient: Draws, record: Draws) -> Array:
    """Initial, right-anterior, left ventricular, posterior and last forces, (n, 5, 3) mV."""
    forces = by_age(s.age, FORCES)
    size = np.linalg.norm(forces, axis=2, keepdims=True)
    # a heart read as normal does not stand out by its voltage
    voltage = np.where(
        has.normal, np.clip(patient.normal(), -1.7, np.where(s.adult, 0.9, 0.6)), patient.normal(0.0, 1.0)
    )
    common = np.exp(0.20 * voltage + 0.04 * record.normal()) * np.where(s.adult, 1.0, 1.08)
    own = np.exp(0.13 * patient.normals(5))
    turn = 0.10 * patient.normals(15).reshape(-1, 5, 3)
    turn[:, [0, 4]] *= 2.0
    forces = (forces + turn * size) * (own * common[:, None])[:, :, None]
    _hypertrophy(forces, s, has)
    # infarction takes forces away where it lies; left bundle branch block starts from the right
    forces[:, 0] += has["AMI"][:, None] * [-0.1, 0.0, 0.55] + has["IMI"][:, None] * [0.0, -0.42, 0.0]
    forces[:, 0] += has["QWAVE"][:, None] * [-0.15, -0.2, 0.0]
    forces[:, 0] += has.has("LBBB")[:, None] * [0.25, 0.0, 0.1]
    forces[:, 1] += (has["AMI"] * 0.45 + has["PRWP"] * 0.3)[:, None] * [0.0, 0.0, 1.0]
    forces[:, 2] *= (1 - 0.25 * has["AMI"])[:, None]
    # the block's late force replaces the last of the normal ones
    forces[:, 4] *= np.where(has.has("CRBBB") | has.has("IRBBB"), 0.4, 1.0)[:, None]
    return np.asarray(forces)


def _hypertrophy(forces: Array, s: Subjects, has: Conditions) -> None:
    """Left: more force to the left and back. Right: more to the right and front, less to the left. In place."""
    left = np.where(has.has("LVH"), 0.42 + 0.88 * has["LVH"], 0) + np.where(
        has.has("HVOLT"), 0.2 + 0.3 * has["HVOLT"], 0
    )
    right = np.where(has.has("RVH"), 0.30 + 0.85 * has["RVH"], 0) + 0.3 * has["RVHV"]
    forces[:, 2:4] *= (1 + left)[:, None, None]
    # some hearts show it in the back of the loop (deep S in V1-V3) more than in its left
    forces[:, 3, 2] += 0.25 * left
    extra = right[:, None] * np.array([-0.45, 0.15, -0.80]) * np.where(s.adult, 0.95, 1.25)[:, None]
    forces[:, 1] = forces[:, 1] * (1 + 0.4 * right)[:, None] + extra
    forces[:, 2:4] *= (1 - 0.28 * has["RVH"])[:, None, None]
    forces[:, 4] += right[:, None] * [-0.40, -0.1, 0.05]


def _turn_to_axis(qrs: Pulses, axis: Array, limb: Array) -> None:
    """Rotate the loop about Z until the net area in the subject's own leads I and aVF has the wanted axis."""
    area = qrs.vector * (qrs.rise + qrs.fall)[:, :, None]
    # initial and late right-bundle forces keep their direction: only the ventricles' main forces turn
    keep = np.array([0.4, 0.8, 1.0, 1.0, 0.8, 0.0, 0.0, 1.0, 1.0, 1.0])
    angles = np.radians(np.arange(-180, 180, 4.0))
    cos, sin = np.cos(np.outer(keep, angles)), np.sin(np.outer(keep, angles))
    turned = np.stack(
        [
            area[:, :, 0] @ cos - area[:, :, 1] @ sin,
            area[:, :, 0] @ sin + area[:, :, 1] @ cos,
            np.repeat(area[:, :, 2].sum(axis=1, keepdims=True), len(angles), axis=1),
        ],
        axis=2,
    )
    one, two = (np.einsum("nac,nc->na", turned, limb[:, lead]) for lead in (0, 1))
    seen = np.degrees(np.arctan2((two - one / 2) * 2 / np.sqrt(3), one))
    error = np.abs((seen - axis[:, None] + 180) % 360 - 180)
    best = angles[np.argmin(error + 0.005 * np.abs(np.degrees(angles)), axis=1)]
    x, y = qrs.vector[:, :, 0].copy(), qrs.vector[:, :, 1].copy()
    turn = best[:, None] * keep
    qrs.vector[:, :, 0], qrs.vector[:, :, 1] = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)


def _repolarisation(
    s: Subjects, has: Conditions, patient: Draws, record: Draws, main: Array
) -> tuple[Pulses, Array, Array]:
    n = len(s.age)
    qt = s.qt
    size = by_age(s.age, T_SIZE) * np.exp(np.where(s.adult, 0.28, 0.36) * patient.normal() + 0.10 * record.normal())
    size = size * np.where(s.adult & s.female, 0.85, 1.0) * (1 + 0.35 * has["HVOLT"])
    down = np.radians(np.where(s.adult, 21, 32) + 9 * patient.normal())
    tilt = patient.normal()
    # a child read as normal does not have the upright T in V1 that suggests right ventricular hypertrophy
    tilt = np.where(has.normal & ~s.adult, np.clip(tilt, -1.2, 2.0), tilt)
    back = by_age(s.age, T_BACK) + by_age(s.age, T_BACK_SPREAD) * tilt
    back = np.where(s.adult & s.female, back * 0.8, back)
    vector = np.stack([size * np.cos(down), size * np.sin(down), back * size / by_age(s.age, T_SIZE)], axis=1)
    away = -main / np.maximum(np.linalg.norm(main, axis=1, keepdims=True), 1e-6)
    vector, st = _changed_t(s, has, patient, record, vector, away)
    tail = 0.105 * qt * np.exp(0.12 * patient.normal()) * (1 + 0.25 * has["LQTS"] * (patient.uniform() < 0.6))
    peak = qt - 2.05 * tail
    lead = tail * np.clip(1.55 + 0.25 * patient.normal(), 1.0, 2.3)
    notch = patient.uniform() < (0.08 + 0.25 * has["LQTS"] + 0.25 * has["TAB_"])
    u_wave = (0.05 + 0.06 * patient.normal() + 0.25 * has["LQTS"] * (patient.uniform() < 0.3))[:, None] * vector
    centre = _stack([peak, peak - 1.9 * tail, qt + 0.10 * qt])
    rise = _stack([lead, 0.8 * tail, 0.10 * qt])
    fall = _stack([tail, 0.8 * tail, 0.10 * qt])
    split = np.where(notch, 0.55, 0.0)[:, None] * vector
    return Pulses(centre, rise, fall, np.stack([vector - 0.4 * split, split, u_wave], axis=1)), st, peak + np.zeros(n)


def _changed_t(
    s: Subjects, has: Conditions, patient: Draws, record: Draws, vector: Array, away: Array
) -> tuple[Array, Array]:
    """T and ST vectors (n, 3) with secondary, strain, ischaemic and non-specific changes."""
    size = np.linalg.norm(vector, axis=1, keepdims=True)
    st = (
        0.012 * record.normals(3)
        + np.array([0.005, 0.005, -0.02])
        + has["ERP"][:, None] * np.array([0.10, 0.06, -0.12])
    )
    strain = np.where(has.has("LVH") & (patient.uniform() < 0.4), 0.3 + 0.7 * has["LVH"], 0)[:, None]
    strain = strain + np.where(has.has("RVH") & (patient.uniform() < 0.35), 0.3 + 0.5 * has["RVH"], 0)[:, None]
    vector = vector + strain * (0.45 * away - 0.6 * vector)
    st = st + strain * 0.13 * away
    blocked = (has["CRBBB"] * 0.5 + np.where(has.has("CRBBB"), 0.3, 0))[:, None]
    vector = vector + blocked * np.array([0.05, 0.0, 0.28])
    blocked = np.where(has.has("LBBB"), 0.6 + 0.4 * has["LBBB"], 0)[:, None]
    vector, st = vector * (1 - 0.6 * blocked) + 0.4 * blocked * away, st + 0.12 * blocked * away
    # ST-T change: ST against the main force or towards one region, T flat, two-phased or turned
    turn = record.normals(3)
    region = away + 0.55 * turn
    region = region / np.maximum(np.linalg.norm(region, axis=1, keepdims=True), 1e-6)
    for name in ("STTC", "ISC"):
        grade = np.where(has.has(name), 0.35 + 0.65 * has[name], 0)[:, None]
        st = st + grade * region * np.where(s.adult, 0.15, 0.17)[:, None]
        vector = vector * (1 - 0.85 * grade) + grade * 0.17 * region
    # T-wave abnormality: low, flat, or turned, without ST shift
    grade = np.where(has.has("TAB_"), 0.35 + 0.65 * has["TAB_"], 0)[:, None]
    turned = patient.uniform()[:, None] < 0.5
    tilt = away + 0.6 * patient.normals(3)
    tilt = tilt / np.maximum(np.linalg.norm(tilt, axis=1, keepdims=True), 1e-6)
    inverted = vector * (1 - 1.1 * grade) + grade * 0.26 * np.maximum(size / 0.33, 0.7) * tilt
    flat = vector * (1 - 0.92 * grade)
    vector = np.where(turned, inverted, flat)
    vector = (
        vector + has["AMI"][:, None] * np.array([0.0, 0.0, 0.22]) + has["IMI"][:, None] * np.array([0.0, -0.2, 0.0])
    )
    return vector, st


def _atria(s: Subjects, has: Conditions, patient: Draws, record: Draws) -> Pulses:
    """Right then left atrium; milliseconds from the onset of QRS, so before it."""
    duration = by_age(s.age, P_DURATION) * np.exp(0.07 * patient.normal())
    right = by_age(s.age, P_SIZE) * np.exp(0.22 * patient.normal() + 0.08 * record.normal())
    left = by_age(s.age, P_SIZE) * np.exp(0.22 * patient.normal() + 0.08 * record.normal())
    tilt = 0.02 * patient.normals(6)
    quick = 1 + 0.25 * np.clip((s.rate - 90) / 60, 0, 1) * s.adult
    right_gain = right * quick * np.where(has.has("RAE"), np.where(s.adult, 2.15, 2.5) + 1.3 * has["RAE"], 1)
    left_gain = left * np.where(has.has("LAE"), np.where(s.adult, 1.55, 1.95) + 1.2 * has["LAE"], 1)
    right_vector = np.stack([0.07 + tilt[:, 0], 0.09 + tilt[:, 1], -0.07 + tilt[:, 2]], axis=1) * right_gain[:, None]
    left_vector = np.stack([0.115 + tilt[:, 3], 0.05 + tilt[:, 4], 0.05 + tilt[:, 5]], axis=1) * left_gain[:, None]
    late = np.where(has.has("LAE"), np.where(s.adult, 16, 20) + 30 * has["LAE"], 0)
    onset = -np.maximum(s.pr, duration + late + 15)
    centre = _stack([onset + 0.34 * duration, onset + 0.64 * duration + late])
    width = _stack([0.155 * duration, 0.155 * duration + 0.12 * late])
    return Pulses(centre, width, width, np.stack([right_vector, left_vector], axis=1))


def _ectopic(s: Subjects, patient: Draws) -> Pulses:
    """A premature ventricular beat: broad, of any direction, T against it."""
    direction = patient.normals(3)
    direction = direction / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-6)
    size = 1.3 * np.exp(0.25 * patient.normal())
    width = np.where(s.adult, 1.0, 0.7) * patient.uniform(130, 170)
    bend = 0.35 * patient.normals(3)
    qt = np.maximum(s.qt, 320 * np.where(s.adult, 1, 0.75))
    centre = _stack([0.35 * width, 0.6 * width, qt - 0.2 * qt])
    sigma = _stack([0.14 * width, 0.17 * width, 0.13 * qt])
    first, second = direction * size[:, None], (direction * 0.7 + bend) * size[:, None]
    return Pulses(centre, sigma, sigma, np.stack([first, second, -0.45 * first], axis=1))
