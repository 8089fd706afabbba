"""Who is recorded: age, sex, and the normal heart that the conditions then change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peace.synthetic.conditions import Conditions
from peace.synthetic.draws import Draws
from peace.synthetic.tables import Array, quantile


@dataclass
class Subjects:
    """One row a record, arrays of (n,): years, beats a minute, milliseconds, degrees; z are standard normal."""

    age: Array
    female: np.ndarray
    adult: np.ndarray
    rate: Array
    pr: Array
    qrs: Array
    qtc: Array
    axis: Array
    narrow: Array

    @property
    def qt(self) -> Array:
        """Bazett: QT = QTc sqrt(RR), in ms, kept within what a beat has room for."""
        return np.asarray(np.minimum(self.qtc * np.sqrt(60.0 / self.rate), 60000.0 / self.rate - 0.35 * self.pr))


def draw_age(cohort: str, patient: Draws, number: np.ndarray) -> Array:
    """Years: hospitalised adults, or hospitalised children with many infants."""
    u, z = patient.uniform(), patient.normal()
    late = number * patient.uniform(0.02, 0.4)
    if cohort == "zzu":
        infant = np.exp(np.log(0.003) + np.clip(u / 0.22, 0, 1) * np.log(1.0 / 0.003))
        child = 1.0 + 14.0 * np.clip((u - 0.22) / 0.78, 0, 1) ** 1.1
        return np.clip(np.where(u < 0.22, infant, child) + late * 0.3, 0.003, 14.98)
    return np.clip(61.0 + 17.0 * z + late, 18.0, 96.0)


def draw_subjects(cohort: str, patient: Draws, record: Draws, number: np.ndarray, has: Conditions) -> Subjects:
    """The normal heart by age and sex, and what the conditions make of its intervals."""
    age = draw_age(cohort, patient, number)
    female = patient.uniform() < (0.42 if cohort == "zzu" else 0.48)
    adult = age >= 18
    z = np.clip(0.8 * patient.normals(5) + 0.6 * record.normals(5), -2.6, 2.6)
    # labelled-normal hearts stay within the norm; a hospital's others spread wider
    z = np.where(has.normal[:, None], np.clip(z, -1.9, 1.9), z * 1.08)
    z[:, 1] = 0.85 * z[:, 1] - 0.35 * z[:, 0]
    rate = quantile("rate", age, female, z[:, 0] + np.where(adult & ~has.normal, 0.35, 0.0))
    slow, fast = (
        quantile("rate", age, female, np.full(len(age), -2.1)),
        quantile("rate", age, female, z[:, 0] * 0 + 2.1),
    )
    slow, fast = np.where(adult, 59.0, slow), np.where(adult, 101.0, fast)
    rate = np.where(has.has("STACH"), fast * (1 + 0.35 * has["STACH"]), rate)
    rate = np.where(has.has("SBRAD"), slow * (1 - 0.22 * has["SBRAD"]), rate)
    rate = np.where(has.has("AFIB"), 60 + 75 * record.uniform() ** 1.3, rate)
    rate = np.where(has.has("AFLT"), record.uniform(70, 150), rate)
    rate = np.clip(rate, 35, 240)
    pr = quantile("pr", age, female, z[:, 1]) + has["AVB1"] * 70 + np.where(has.has("AVB1"), 25, 0)
    subjects = Subjects(
        age, female, adult, rate, pr,
        quantile("qrs", age, female, z[:, 2]), quantile("qtc", age, female, z[:, 3] * 0.95),
        quantile("axis", age, female, z[:, 4]), np.zeros(len(age)),
    )  # fmt: skip
    _change_intervals(subjects, has, record)
    return subjects


def _change_intervals(subjects: Subjects, has: Conditions, record: Draws) -> None:
    child = np.where(subjects.adult, 1.0, np.clip(subjects.qrs / 92.0, 0.6, 1.0))
    # what counts as wide: 90 ms to 4 years, 100 to 16, 120 in adults
    limit = np.where(subjects.adult, 1.0, np.interp(subjects.age, [0, 4, 8, 16], [0.77, 0.80, 0.86, 0.92]))
    qrs = subjects.qrs + has["LAFB"] * 14 * child + has["LVH"] * 12 * child + has["RVH"] * 8 * child
    # what a block adds comes after the rest of QRS
    subjects.narrow = np.where(has.has("CRBBB") | has.has("IRBBB"), np.minimum(qrs, 96 * limit), qrs)
    qrs = qrs + has["IRBBB"] * 14 * child + np.where(has.has("IRBBB"), 6 * child, 0)
    qrs = np.where(has.has("IRBBB"), np.minimum(qrs, np.maximum(112 * limit, subjects.narrow + 4)), qrs)
    qrs = np.where(has.has("CRBBB"), np.maximum(qrs + 26 * child, (122 + 38 * has["CRBBB"]) * limit), qrs)
    qrs = np.where(has.has("LBBB"), np.maximum(qrs, (128 + 35 * has["LBBB"]) * limit), qrs)
    subjects.qrs = np.where(has.has("IVCD"), np.maximum(qrs, (108 + 22 * has["IVCD"]) * limit), qrs)
    slowed = has.has("LBBB") | has.has("IVCD") & ~has.has("IRBBB")
    subjects.narrow = np.where(slowed, subjects.qrs, subjects.narrow)
    wide = np.clip(subjects.qrs - 100 * child, 0, None)
    subjects.qtc = np.clip(subjects.qtc, 350, 452) + 0.7 * wide + has["BORDERLINE"] * 14
    long = 468 + 85 * has["LQTS"] + record.normal(0, 6)
    subjects.qtc = np.where(has.has("LQTS"), np.maximum(long, subjects.qtc + 20), subjects.qtc)
    axis = np.where(has.has("LAFB"), -40 - 38 * has["LAFB"] + record.normal(0, 6), subjects.axis)
    axis = np.where(has.has("LAD"), -28 - 25 * has["LAD"], axis)
    axis = np.where(has.has("RAD"), np.maximum(axis, np.where(subjects.adult, 92, 112) + 25 * has["RAD"]), axis)
    axis = np.where(has.has("RVH"), np.maximum(axis + 25 + 45 * has["RVH"], 75 + 45 * has["RVH"]), axis)
    axis = np.where(has.has("LBBB"), axis - 25, axis)
    subjects.axis = np.clip(np.where(has.has("IMI"), axis - 20 * has["IMI"], axis), -110, 190)
