"""Published norms by age and their interpolation.

Sources: Rijnbeek et al. 2001, Eur Heart J 22:702 (rate, PR, QRS, QTc, axis of 1,912 children); means recalled from
Park, Pediatric Cardiology (amplitudes, fitted by Frank vectors); ELSA-Brasil (adult intervals). docs/synthetic.md says
how certain each is. Frank axes: X left, Y down, Z back. Milliseconds, millivolts, degrees, beats a minute.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# middle of each age band in years; the last row is an adult of 50
AGES = np.array([0.04, 0.17, 0.375, 0.75, 2.0, 4.0, 6.5, 10.0, 14.0, 18.0, 50.0])

# median, 2nd and 98th percentile; boys then girls
_RATE = [
    [(160, 129, 192), (155, 136, 216)],
    [(152, 126, 187), (154, 126, 200)],
    [(134, 112, 165), (139, 122, 191)],
    [(128, 106, 194), (134, 106, 187)],
    [(119, 97, 155), (128, 95, 178)],
    [(98, 73, 123), (101, 78, 124)],
    [(88, 62, 113), (89, 68, 115)],
    [(78, 55, 101), (80, 58, 110)],
    [(73, 48, 99), (76, 54, 107)],
    [(68, 46, 98), (73, 50, 102)],
    [(63, 45, 92), (66, 48, 94)],
]
_PR = [
    [(99, 77, 120), (101, 91, 121)],
    [(98, 85, 120), (99, 78, 133)],
    [(106, 87, 134), (106, 84, 127)],
    [(114, 82, 141), (109, 88, 133)],
    [(118, 86, 151), (113, 78, 147)],
    [(121, 98, 152), (123, 99, 153)],
    [(129, 99, 160), (124, 92, 156)],
    [(134, 105, 174), (129, 103, 163)],
    [(139, 107, 178), (135, 106, 176)],
    [(148, 114, 194), (144, 112, 190)],
    [(164, 126, 212), (158, 120, 206)],
]
_QRS = [
    [(67, 50, 85), (67, 54, 79)],
    [(64, 52, 77), (63, 48, 77)],
    [(66, 54, 85), (64, 50, 78)],
    [(69, 52, 86), (64, 52, 80)],
    [(71, 54, 88), (68, 54, 85)],
    [(75, 58, 92), (71, 58, 88)],
    [(80, 63, 98), (77, 59, 95)],
    [(85, 67, 103), (82, 66, 99)],
    [(91, 78, 111), (87, 72, 106)],
    [(94, 76, 114), (88, 72, 107)],
    [(92, 74, 114), (86, 70, 107)],
]
_QTC = [
    [(413, 378, 448), (420, 379, 462)],
    [(419, 396, 458), (424, 381, 454)],
    [(422, 391, 453), (418, 386, 448)],
    [(411, 379, 449), (414, 381, 446)],
    [(412, 383, 455), (417, 381, 447)],
    [(412, 377, 448), (415, 388, 442)],
    [(411, 371, 443), (409, 375, 449)],
    [(411, 373, 440), (410, 365, 447)],
    [(407, 362, 449), (414, 370, 457)],
    [(408, 364, 446), (418, 374, 456)],
    [(410, 367, 447), (421, 378, 456)],
]
_AXIS = [
    [(97, 75, 140), (110, 63, 155)],
    [(87, 37, 138), (80, 39, 121)],
    [(66, -6, 107), (70, 17, 108)],
    [(68, 14, 122), (67, 1, 102)],
    [(64, -4, 118), (69, 2, 121)],
    [(70, 7, 112), (69, 3, 106)],
    [(70, -10, 112), (74, 27, 117)],
    [(70, -21, 114), (66, 5, 117)],
    [(65, -9, 112), (66, 5, 117)],
    [(62, -12, 100), (62, 0, 100)],
    [(42, -26, 86), (46, -20, 86)],
]
INTERVALS = {
    name: np.array(rows, float)
    for name, rows in {"rate": _RATE, "pr": _PR, "qrs": _QRS, "qtc": _QTC, "axis": _AXIS}.items()
}

# Frank vectors (mV) of five overlapping pulses of QRS: initial, right-anterior, left ventricular, posterior, last.
# Fitted by benchmarks/fit_forces.py so that the mean loop seen through Dower's matrix has the published mean R and S of
# each age (children: Park; adults: medians of 293 normal PTB-XL records) and the published axis. 18 years lies between
# its neighbours; the adult posterior force is 8 % lower than fitted, for the S of V1.
FORCES = np.array(
    [
        [(-0.08, -0.20, 0.11), (-0.12, 0.32, -1.28), (1.27, 0.37, -0.74), (-0.90, -0.11, 1.65), (-0.40, -0.08, 0.04)],
        [(-0.09, -0.17, 0.09), (-0.13, 0.15, -1.16), (1.57, 0.46, -0.69), (-0.95, 0.19, 1.35), (-0.04, -0.02, 0.22)],
        [(-0.11, -0.16, 0.08), (-0.10, 0.10, -1.17), (1.56, 0.51, -0.68), (-0.95, 0.05, 1.32), (0.06, -0.17, 0.23)],
        [(-0.09, -0.16, 0.08), (-0.17, 0.10, -1.12), (1.67, 0.55, -0.50), (-0.97, 0.07, 1.35), (0.03, -0.18, 0.22)],
        [(-0.07, -0.18, 0.05), (-0.24, 0.19, -0.95), (1.74, 0.67, -0.48), (-0.74, -0.02, 1.68), (-0.22, -0.16, 0.13)],
        [(-0.07, -0.18, -0.02), (-0.25, 0.17, -0.79), (1.85, 0.69, -0.34), (-0.81, 0.10, 1.77), (-0.11, -0.06, 0.17)],
        [(-0.07, -0.18, -0.01), (-0.26, 0.18, -0.79), (1.85, 0.68, -0.34), (-0.81, 0.12, 1.77), (-0.11, -0.04, 0.17)],
        [(-0.05, -0.18, -0.07), (-0.32, 0.16, -0.63), (1.81, 0.72, -0.23), (-0.63, 0.12, 1.78), (-0.15, -0.04, 0.15)],
        [(-0.06, -0.18, -0.06), (-0.30, 0.15, -0.57), (1.75, 0.74, -0.17), (-0.71, 0.05, 1.73), (-0.12, -0.11, 0.15)],
        [(-0.06, -0.15, -0.03), (-0.17, 0.19, -0.48), (1.57, 0.60, 0.01), (-0.53, 0.10, 1.28), (-0.06, -0.10, 0.07)],
        [(-0.06, -0.11, 0.00), (-0.02, 0.23, -0.37), (1.35, 0.43, 0.22), (-0.30, 0.15, 0.67), (0.01, -0.08, -0.03)],
    ]
)

# T vector's backward share: mean and spread of Z (mV) that give the fractions inverted in V1, V2, V3 by age
T_BACK = np.array([0.06, 0.06, 0.06, 0.06, 0.06, 0.06, 0.04, -0.07, -0.14, -0.20, -0.24])
T_BACK_SPREAD = np.array([0.08, 0.09, 0.09, 0.10, 0.11, 0.11, 0.11, 0.12, 0.12, 0.10, 0.09])
# length of the T vector in the frontal plane
T_SIZE = np.array([0.15, 0.22, 0.27, 0.30, 0.32, 0.35, 0.38, 0.40, 0.40, 0.40, 0.37])
P_DURATION = np.array([54, 58, 60, 64, 68, 72, 76, 80, 86, 96, 108.0])
P_SIZE = np.array([0.98, 0.98, 0.98, 0.9, 0.88, 0.87, 0.87, 0.87, 0.87, 0.87, 0.87])


def by_age(age_years: Array, rows: Array) -> Array:
    """Interpolate rows (one per entry of AGES, any further shape) at ages (n,), linear in the logarithm of age."""
    place = np.interp(np.log(age_years + 0.1), np.log(AGES + 0.1), np.arange(len(AGES), dtype=float))
    low = np.minimum(place.astype(int), len(AGES) - 2)
    share = (place - low).reshape(-1, *([1] * (rows.ndim - 1)))
    return np.asarray(rows[low] * (1 - share) + rows[low + 1] * share)


def quantile(name: str, age_years: Array, female: NDArray[np.bool_], z: Array) -> Array:
    """Value of an interval at z standard deviations, skewed as its published 2nd and 98th percentiles are."""
    both = by_age(age_years, INTERVALS[name])
    median, low, high = both[np.arange(len(z)), female.astype(int)].T
    return np.asarray(median + np.where(z > 0, high - median, median - low) * z / 2.054)
