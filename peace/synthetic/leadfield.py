"""From the heart's sources (Frank X, Y, Z in mV, and a small non-dipolar one) to nine electrodes and twelve leads.

Dower's matrix, varied for every subject: one fixed matrix explains only 93 % of real beats (docs/synthetic.md).
Noise is added at electrodes, so the limb identities I + III = II and so on hold exactly.
"""

from __future__ import annotations

import numpy as np

from peace.synthetic.conditions import Conditions
from peace.synthetic.draws import Draws
from peace.synthetic.tables import Array

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
ELECTRODES = ("RA", "LA", "LL", "C1", "C2", "C3", "C4", "C5", "C6")

# Dower et al. 1980: rows I, II, V1..V6; columns X left, Y down, Z back
DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)

# what the medians of normal adults ask of the mean field beyond Dower's (physiology, section 2)
MEAN_GAIN = np.array([1.08, 1.14, 0.88, 1.20, 1.0, 0.96, 1.0, 1.02])

# twelve leads from nine electrode potentials; V leads refer to Wilson's central terminal
_CENTRAL = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0]) / 3
_UNIT = np.eye(9)
FROM_ELECTRODES = np.stack(
    [
        _UNIT[1] - _UNIT[0],
        _UNIT[2] - _UNIT[0],
        _UNIT[2] - _UNIT[1],
        _UNIT[0] - (_UNIT[1] + _UNIT[2]) / 2,
        _UNIT[1] - (_UNIT[0] + _UNIT[2]) / 2,
        _UNIT[2] - (_UNIT[0] + _UNIT[1]) / 2,
        *(_UNIT[3 + chest] - _CENTRAL for chest in range(6)),
    ]
).astype(np.float32)

ROW_SPREAD = 0.22
ENTRY_SPREAD = 0.24
# the atria lie farther from the chest electrodes than Dower's single dipole does
ATRIAL_CHEST = 0.5
NON_DIPOLAR = 0.2


def draw_leadfield(patient: Draws, record: Draws, adult: np.ndarray, normal: np.ndarray, spread: float = 1.0) -> Array:
    """(n, 9, 7): each subject's electrodes over the sources, with misplaced chest electrodes.

    Sources: the ventricles' X, Y, Z, their non-dipolar part, the atria's X, Y, Z.
    """
    n = len(patient.streams)
    rows = np.broadcast_to(DOWER * MEAN_GAIN[:, None], (n, 8, 3)).copy()
    rows[:, 2:] = _small_chest(rows[:, 2:], patient, adult, spread)
    # neighbouring chest leads share most of their gain
    white = patient.normals(8)
    gain = white.copy()
    for lead in range(3, 8):
        gain[:, lead] = 0.7 * gain[:, lead - 1] + np.sqrt(1 - 0.49) * white[:, lead]
    # whoever is read as normal does not stand out by a close electrode either
    gain = np.where(normal[:, None], np.minimum(gain, 1.0), gain)
    entry = patient.normals(24).reshape(n, 8, 3) * np.linalg.norm(DOWER, axis=1)[:, None] / np.sqrt(3)
    again = record.normals(24).reshape(n, 8, 3) * np.linalg.norm(DOWER, axis=1)[:, None] / np.sqrt(3)
    rows = rows * np.exp(spread * ROW_SPREAD * np.clip(gain, -2.2, 2.2))[:, :, None]
    rows = rows + spread * (ENTRY_SPREAD * np.clip(entry, -1.5, 1.5) + 0.07 * np.clip(again, -2, 2))
    rows[:, 2:] = _misplaced(rows[:, 2:], record, spread)
    fourth = record.normals(9) * NON_DIPOLAR * spread
    electrodes = np.zeros((n, 9, 7))
    right_arm = -(rows[:, 0] + rows[:, 1]) / 3
    electrodes[:, 0, :3], electrodes[:, 1, :3], electrodes[:, 2, :3] = (
        right_arm, right_arm + rows[:, 0], right_arm + rows[:, 1],
    )  # fmt: skip
    electrodes[:, 3:, :3] = rows[:, 2:]
    electrodes[:, :, 3] = fourth
    electrodes[:, :3, 4:] = electrodes[:, :3, :3]
    electrodes[:, 3:, 4:] = electrodes[:, 3:, :3] * ATRIAL_CHEST
    return electrodes


def _small_chest(chest: Array, patient: Draws, adult: np.ndarray, spread: float) -> Array:
    """A child's chest leads sit differently about a larger heart: turned in the horizontal plane (assumed)."""
    angle = np.radians(np.where(adult, 0.0, patient.normal(0.0, 10.0) * spread))[:, None]
    turned = chest.copy()
    turned[:, :, 0] = chest[:, :, 0] * np.cos(angle) - chest[:, :, 2] * np.sin(angle)
    turned[:, :, 2] = chest[:, :, 0] * np.sin(angle) + chest[:, :, 2] * np.cos(angle)
    return turned


def _misplaced(chest: Array, record: Draws, spread: float) -> Array:
    """Chest electrodes slip along their row; V1 and V2 may sit a space too high (less down, less forward)."""
    slip = record.normal(0, 0.18)[:, None, None] * spread
    forward, backward = np.roll(chest, -1, axis=1), np.roll(chest, 1, axis=1)
    forward[:, -1], backward[:, 0] = chest[:, -1], chest[:, 0]
    moved = np.where(slip > 0, chest * (1 - slip) + forward * slip, chest * (1 + slip) - backward * slip)
    high = np.where(record.uniform() < 0.15, record.uniform(0.2, 0.5), 0.0) * spread
    moved[:, :2, 1] -= high[:, None] * 0.9
    moved[:, :2, 2] *= 1 - 0.3 * high[:, None]
    return moved


def lower_voltage(electrodes: Array, has: Conditions, patient: Draws, span: Array) -> None:
    """Shrink limb, chest or all leads of LVOLT records, in place, to what their severity says.

    `span` (n, 12): peak-to-peak mV of QRS before. Severity sets the largest limb lead to 0.68 .. 0.3 mV.
    """
    kind = patient.uniform()
    present = has.has("LVOLT")
    limb = (0.68 - 0.38 * has["LVOLT"]) / np.maximum(span[:, :6].max(axis=1), 1e-3)
    chest = (1.25 - 0.60 * has["LVOLT"]) / np.maximum(span[:, 6:].max(axis=1), 1e-3)
    limb, chest = np.minimum(limb, 1), np.minimum(chest, 1)
    chest_gain = np.where(kind < 0.5, np.minimum(chest, np.sqrt(limb)), np.where(kind < 0.85, np.sqrt(limb), chest))
    limb_gain = np.where(kind < 0.85, limb, np.sqrt(chest))
    electrodes[:, :3] *= np.where(present, limb_gain, 1.0)[:, None, None]
    electrodes[:, 3:] *= np.where(present, chest_gain, 1.0)[:, None, None]
