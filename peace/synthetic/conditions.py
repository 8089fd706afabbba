"""What a subject has: the twelve labels with graded severity, and company that carries no label.

Prevalence and company of children: derived from published label lists of ZZU-pECG; of PTB-XL-like adults: from its
published counts; of MIMIC-like adults: assumed (docs/synthetic.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peace.synthetic.draws import Draws
from peace.synthetic.tables import Array

LABELS = ("NORM", "LAFB", "IRBBB", "CRBBB", "LVOLT", "LAE", "RAE", "LVH", "RVH", "STTC", "TAB_", "LQTS")
ABNORMAL = LABELS[1:]
# a later record of the same patient may differ in these
PASSING = ("LVOLT", "STTC", "TAB_", "LQTS", "ISC", "PVC", "PAC", "STACH", "SBRAD", "SARRH", "AFIB", "AFLT")


@dataclass(frozen=True)
class Population:
    """Shares of a cohort. `primary` weighs the first label of an abnormal record, `company` the chance of others."""

    normal: float
    unlabelled: float
    primary: dict[str, float]
    company: dict[str, float]
    normal_company: dict[str, float]


_ADULT_COMPANY = {
    "LAD": 0.10, "RAD": 0.02, "HVOLT": 0.05, "AMI": 0.09, "IMI": 0.09, "AVB1": 0.07, "LBBB": 0.03, "IVCD": 0.05,
    "ISC": 0.08, "ERP": 0.02, "PVC": 0.08, "PAC": 0.05, "AFIB": 0.09, "AFLT": 0.012, "STACH": 0.09, "SBRAD": 0.08,
    "SARRH": 0.05, "RSR": 0.04, "BORDERLINE": 0.10, "PRWP": 0.06,
}  # fmt: skip
_ADULT_NORMAL = {"SARRH": 0.06, "SBRAD": 0.10, "PAC": 0.01, "RSR": 0.04, "HVOLT": 0.02, "ERP": 0.03}

POPULATIONS = {
    "mimic": Population(
        0.27, 0.25,
        {"LAFB": 6, "IRBBB": 3.5, "CRBBB": 8, "LVOLT": 7, "LAE": 8, "RAE": 2, "LVH": 10, "RVH": 2, "STTC": 22,
         "TAB_": 14, "LQTS": 7},
        _ADULT_COMPANY, _ADULT_NORMAL,
    ),
    "ptbxl": Population(
        0.44, 0.20,
        {"LAFB": 11, "IRBBB": 6.8, "CRBBB": 3.3, "LVOLT": 1.5, "LAE": 2.6, "RAE": 0.8, "LVH": 13, "RVH": 1,
         "STTC": 13.7, "TAB_": 1.5, "LQTS": 0.8},
        _ADULT_COMPANY, _ADULT_NORMAL,
    ),
    "zzu": Population(
        0.20, 0.34,
        {"LAFB": 4.3, "IRBBB": 4.4, "CRBBB": 3.8, "LVOLT": 3.7, "LAE": 1.6, "RAE": 1.8, "LVH": 4.0, "RVH": 8.0,
         "STTC": 13.0, "TAB_": 27.0, "LQTS": 4.6},
        {"LAD": 0.03, "RAD": 0.08, "HVOLT": 0.16, "RVHV": 0.07, "AVB1": 0.05, "LBBB": 0.003, "IVCD": 0.03, "ERP": 0.04,
         "ISC": 0.05, "PVC": 0.05, "PAC": 0.04, "AFLT": 0.004, "STACH": 0.18, "SBRAD": 0.08, "SARRH": 0.16,
         "RSR": 0.06, "BORDERLINE": 0.10, "QWAVE": 0.04},
        {"SARRH": 0.26, "SBRAD": 0.05, "HVOLT": 0.05, "RSR": 0.07, "ERP": 0.03},
    ),
}  # fmt: skip

# chance of a column's label given the row's, hospitalised children (physiology: ZZU label lists)
_GIVEN = {
    "LVH": {"STTC": 0.49, "RVH": 0.20, "CRBBB": 0.03, "LAFB": 0.05, "RAE": 0.10, "LAE": 0.20, "TAB_": 0.09},
    "RVH": {"STTC": 0.14, "LVH": 0.11, "CRBBB": 0.09, "LAFB": 0.02, "RAE": 0.16, "LAE": 0.05, "TAB_": 0.06},
    "RAE": {"STTC": 0.30, "RVH": 0.45, "LVH": 0.20, "CRBBB": 0.08, "LAFB": 0.05, "LAE": 0.22, "TAB_": 0.08},
    "LAE": {"STTC": 0.35, "RVH": 0.20, "LVH": 0.40, "CRBBB": 0.06, "LAFB": 0.06, "RAE": 0.22, "TAB_": 0.09},
    "CRBBB": {"STTC": 0.20, "RVH": 0.20, "LVH": 0.04, "LAFB": 0.13, "RAE": 0.06, "LAE": 0.04, "TAB_": 0.09},
    "LQTS": {"STTC": 0.19, "RVH": 0.04, "LVH": 0.05, "CRBBB": 0.04, "LAFB": 0.03, "TAB_": 0.19},
    "LVOLT": {"STTC": 0.17, "RVH": 0.02, "CRBBB": 0.04, "LAFB": 0.04, "RAE": 0.03, "LAE": 0.04, "TAB_": 0.18},
    "LAFB": {"STTC": 0.10, "LVH": 0.08, "CRBBB": 0.08, "LAE": 0.05, "TAB_": 0.06},
    "IRBBB": {"RVH": 0.08, "TAB_": 0.05, "LAFB": 0.05, "STTC": 0.04},
    "STTC": {"LQTS": 0.06, "LVH": 0.06, "LAE": 0.03},
    "TAB_": {"LQTS": 0.05},
}  # fmt: skip
_FEWER_IN_ADULTS = {"RVH": 0.25, "RAE": 0.4}


@dataclass(frozen=True)
class Conditions:
    """Severity in (0, 1] of each condition, 0 where absent, arrays of (n,). `normal` marks records read as normal.

    `overlooked` marks conditions that the heart has but whoever read the record did not write down.
    """

    severity: dict[str, Array]
    normal: np.ndarray
    overlooked: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> Array:
        return self.severity[name] if name in self.severity else np.zeros(len(self.normal))

    def has(self, name: str) -> np.ndarray:
        """(n,) booleans."""
        return np.asarray(self[name] > 0)

    def read(self, name: str) -> np.ndarray:
        """(n,) booleans: present and written down."""
        return np.asarray(self.has(name) & ~self.overlooked.get(name, np.zeros(len(self.normal), bool)))

    def labels(self) -> np.ndarray:
        """(n, 12) multi-hot uint8 in label order."""
        columns = [self.normal, *(self.read(name) for name in ABNORMAL)]
        return np.stack(columns, axis=1).astype(np.uint8)


def draw_conditions(cohort: str, flat: bool, patient: Draws, record: Draws, number: np.ndarray) -> Conditions:
    """Draw what each record's subject has. `flat` makes every abnormal label as frequent as any other."""
    shares = POPULATIONS[cohort]
    kind = patient.uniform()
    normal = kind < shares.normal
    unlabelled = ~normal & (kind < shares.normal + shares.unlabelled)
    weights = np.array([1.0 if flat else shares.primary[name] for name in ABNORMAL])
    primary = np.searchsorted(np.cumsum(weights / weights.sum())[:-1], patient.uniform())
    names = sorted({*ABNORMAL, *shares.company})
    severity: dict[str, Array] = {}
    later = (number > 0) & (record.uniform() < 0.35)
    for name in names:
        own, other = patient.uniform(), record.uniform()
        chance = np.where(later & (name in PASSING), other, own)
        likely = _likelihood(name, shares, normal, unlabelled, primary, cohort != "zzu")
        grade = _grade(patient, record)
        severity[name] = np.where(chance < likely, grade, 0.0)
    _exclude(severity)
    overlooked = _overlook(severity, unlabelled, cohort, record)
    if cohort == "mimic":
        # its report lines word ischaemia as ST-T changes
        severity["STTC"] = np.maximum(severity["STTC"], severity["ISC"])
        overlooked["STTC"] &= severity["ISC"] <= 0
        severity["ISC"] = np.zeros(len(normal))
    return Conditions(severity, normal, overlooked)


def _likelihood(
    name: str, shares: Population, normal: np.ndarray, unlabelled: np.ndarray, primary: np.ndarray, adult: bool
) -> Array:
    if name not in ABNORMAL:
        return np.where(normal, shares.normal_company.get(name, 0.0), shares.company[name])
    fewer = _FEWER_IN_ADULTS.get(name, 1.0) if adult else 1.0
    given = np.array([_GIVEN[first].get(name, 0.0) * fewer for first in ABNORMAL])
    likely = np.where(primary == ABNORMAL.index(name), 1.0, given[primary])
    return np.where(normal | unlabelled, 0.0, likely)


def _overlook(severity: dict[str, Array], unlabelled: np.ndarray, cohort: str, record: Draws) -> dict[str, np.ndarray]:
    """Slight findings are missed now and then, in children more; some unlabelled records hold a slight one unread."""
    missed, hidden = (0.14, 0.05) if cohort == "zzu" else (0.07, 0.03)
    found = {}
    for name in ABNORMAL:
        chance, trace = record.uniform(), record.uniform()
        slight = unlabelled & (trace < hidden)
        found[name] = (chance < missed * (1 - severity[name])) & (severity[name] > 0) | slight
        severity[name] = np.where(slight, np.maximum(severity[name], 0.1 + 0.4 * chance), severity[name])
    return found


def _grade(patient: Draws, record: Draws) -> Array:
    """Severity: mostly the patient's own, partly the day's; from slight to marked."""
    mixed = 0.75 * patient.uniform() + 0.25 * record.uniform()
    return np.asarray(0.1 + 0.9 * np.clip((mixed - 0.125) / 0.75, 0, 1))


def _exclude(severity: dict[str, Array]) -> None:
    """Remove what cannot stand together."""
    for stays, goes in (
        ("CRBBB", ("IRBBB", "RSR", "LBBB", "IVCD")),
        ("IRBBB", ("RSR", "LBBB")),
        ("LBBB", ("LAFB", "IVCD", "IRBBB")),
        ("LVH", ("LVOLT", "HVOLT")),
        ("RVH", ("LVOLT", "LAD", "RVHV")),
        ("LAFB", ("LAD", "RAD")),
        ("LVOLT", ("HVOLT",)),
        ("LAD", ("RAD",)),
        ("AFIB", ("LAE", "RAE", "AVB1", "PAC", "SARRH", "STACH", "SBRAD", "AFLT")),
        ("AFLT", ("LAE", "RAE", "AVB1", "PAC", "SARRH", "STACH", "SBRAD")),
        ("STACH", ("SBRAD", "SARRH")),
        ("SBRAD", ("SARRH",)),
        ("LQTS", ("BORDERLINE",)),
    ):
        for name in goes:
            if name in severity and stays in severity:
                # a fibrillating atrium cannot be read as enlarged; the label yields only where a companion is drawn
                severity[name] = np.where(severity[stays] > 0, 0.0, severity[name])
