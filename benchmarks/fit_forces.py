"""Where `peace.synthetic.tables.FORCES` comes from: fit five pulses of QRS to published amplitudes by age.

    python benchmarks/fit_forces.py        (prints the table, and what each fit reaches beside what it aims at)

The mean loop, seen through Dower's matrix, is to have the published mean R and S and the published axis. Children:
means recalled from Park, Pediatric Cardiology; adults: medians of 293 normal PTB-XL records (docs/synthetic.md).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares

from peace.synthetic.heart import PULSE_CENTRE, PULSE_WIDTH
from peace.synthetic.leadfield import DOWER
from peace.synthetic.tables import AGES

EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
TIME = np.linspace(-0.05, 1.1, 400)  # as a share of the duration of QRS
PULSES = np.exp(-0.5 * ((TIME - np.array(PULSE_CENTRE)[:, None]) / np.array(PULSE_WIDTH)[:, None]) ** 2)

# R V1, S V1, R V2, S V2, R V5, R V6, S V6 in mV; axis in degrees; by age in years
CHILDREN = {
    0.04: (1.5, 1.0, 2.1, 2.0, 1.2, 0.6, 0.4, 103),
    0.17: (1.1, 0.7, 2.1, 1.6, 1.7, 1.0, 0.2, 85),
    0.375: (1.1, 0.7, 2.1, 1.6, 1.7, 1.0, 0.2, 68),
    0.75: (1.0, 0.8, 1.9, 1.7, 1.8, 1.3, 0.2, 67),
    2.0: (0.9, 1.3, 1.6, 2.1, 1.9, 1.2, 0.2, 66),
    4.0: (0.7, 1.4, 1.3, 2.3, 2.1, 1.4, 0.1, 70),
    6.5: (0.7, 1.4, 1.3, 2.3, 2.1, 1.4, 0.1, 72),
    10.0: (0.6, 1.6, 1.0, 2.3, 2.2, 1.4, 0.1, 68),
    14.0: (0.5, 1.5, 0.9, 2.3, 1.8, 1.4, 0.1, 65),
}
ADULT = {
    "R I": 0.72, "R II": 0.95, "R III": 0.35, "R aVL": 0.29, "R aVF": 0.58, "R V1": 0.17, "R V2": 0.51, "R V3": 0.89,
    "R V4": 1.33, "R V5": 1.40, "R V6": 1.17, "S I": 0.05, "S II": 0.06, "S III": 0.12, "S aVL": 0.10, "S aVF": 0.06,
    "S V1": 0.87, "S V2": 1.30, "S V3": 0.79, "S V4": 0.41, "S V5": 0.14, "S V6": 0.03, "Q I": 0.04, "Q II": 0.05,
    "Q V6": 0.05, "Q V5": 0.04, "Q V1": 0.0, "Q V2": 0.0, "Q V3": 0.0, "axis": 45.0, "late V1": 0.0, "late V2": 0.0,
}  # fmt: skip
# a plausible heart to start from, and to stay near where the amplitudes leave freedom
START = np.array([(-0.12, 0.02, -0.18), (-0.2, 0.2, -0.8), (1.6, 0.7, -0.4), (-0.7, 0.0, 1.5), (-0.1, -0.08, 0.15)])


def seen(forces: np.ndarray) -> dict[str, float]:
    """R, S and Q of the mean loop in mV, the axis, and what V1 and V2 hold above zero at the end of QRS."""
    leads = dict(zip(EIGHT, np.einsum("lc,kc,kt->lt", DOWER, forces.reshape(5, 3), PULSES), strict=True))
    first, second = leads["I"], leads["II"]
    leads |= {"III": second - first, "aVL": first - second / 2, "aVF": second - first / 2}
    found: dict[str, float] = {}
    for name, wave in leads.items():
        top = int(wave.argmax())
        found |= {f"R {name}": max(wave.max(), 0), f"S {name}": -min(wave[top:].min(), 0)}
        found |= {f"Q {name}": -min(wave[: top + 1].min(), 0), f"late {name}": max(wave[TIME > 0.68].max(), 0)}
    one, two = np.einsum("lc,kc,k->l", DOWER[:2], forces.reshape(5, 3), PULSE_WIDTH)
    return found | {"axis": float(np.degrees(np.arctan2((two - one / 2) * 2 / np.sqrt(3), one)))}


def aim_of(age: float) -> dict[str, float]:
    """What the loop of an age is to show."""
    if age not in CHILDREN:
        return ADULT
    names = ("R V1", "S V1", "R V2", "S V2", "R V5", "R V6", "S V6", "axis")
    small = {"Q V1": 0, "Q V2": 0, "Q V6": 0.15, "Q V5": 0.1, "Q I": 0.08, "Q II": 0.12, "Q aVF": 0.12}
    limb = {"R I": 0.6, "R II": 1.1} if age > 1 else {"R I": 0.45, "R II": 0.9}
    return dict(zip(names, CHILDREN[age], strict=True)) | small | limb


def fit(age: float) -> np.ndarray:
    """Five vectors (5, 3) in mV."""
    aim, tie = aim_of(age), 0.35 if age in CHILDREN else 0.1
    width = {name: 20.0 if name == "axis" else 0.02 if "late" in name else 0.08 + 0.12 * abs(aim[name]) for name in aim}

    def misses(forces: np.ndarray) -> np.ndarray:
        found = seen(forces)
        return np.array(
            [(found[name] - aim[name]) / width[name] for name in aim] + list(tie * (forces - START.ravel()) / 0.3)
        )

    return np.asarray(least_squares(misses, START.ravel()).x).reshape(5, 3)


def main() -> None:
    """Print every age's fit; the row of 18 years lies between those of 14 and of adults."""
    for age in AGES:
        if age == 18.0:
            continue
        forces = fit(float(age))
        print(f"{age:g} years: {np.round(forces, 2).tolist()}")
        found = seen(forces)
        print("   " + ", ".join(f"{name} {found[name]:.2f} ({value:g})" for name, value in aim_of(float(age)).items()))


if __name__ == "__main__":
    main()
