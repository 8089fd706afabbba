"""Chest leads that a file announces and does not hold: zeros, or missing samples, from beginning to end.

Children are often recorded with nine leads; files of twelve then hold zeros for V2, V4 and V6.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from peace.config import LeadsConfig, QualityConfig
from peace.data.signal.leads import LEADS, NINE
from peace.data.signal.unreadable import RecordRejected

FIRST_CHEST = LEADS.index("V1")


def without_empty_leads(
    window: npt.NDArray[np.float64], mask: npt.NDArray[np.uint8], leads: LeadsConfig, quality: QualityConfig
) -> tuple[npt.NDArray[np.uint8], int]:
    """The mask (12,) of the leads of (samples, 12) mV that hold something, and how many chest leads do not.

    They are as absent as those of a nine-lead file, and fall under the same rule: leads.require. Where quality.flat
    lets leads without signal pass, that rule has them. Raises RecordRejected (missing_lead) with the names and the
    remedy.
    """
    suspects = [lead for lead, value in enumerate(window[0].tolist()) if value == 0 or value != value]
    empty = [lead for lead in suspects if lead >= FIRST_CHEST and mask[lead] and _is_empty(window[:, lead])]
    if not empty or all(_is_empty(window[:, lead]) for lead in range(FIRST_CHEST) if mask[lead]):
        return mask, 0
    required = NINE if leads.require == len(NINE) else LEADS
    missing = [LEADS[lead] for lead in empty if LEADS[lead] in required]
    if missing:
        flat = quality.flat
        if len(empty) <= (max(flat.limit, flat.repair_limit) if flat.action == "repair" else flat.limit):
            return mask, 0
        raise RecordRejected("missing_lead", _refusal(missing))
    left = mask.copy()
    left[empty] = 0
    return left, len(empty)


def _is_empty(values: npt.NDArray[np.float64]) -> bool:
    if values[0] == 0:
        return not values.any()
    return bool(np.isnan(values[0]) and np.isnan(values).all())


def _refusal(missing: Sequence[str]) -> str:
    names = ", ".join(missing)
    remedy = "quality.flat.action=repair masks up to quality.flat.repair_limit such leads"
    if not set(missing) & set(NINE):
        remedy = "leads.require=9 takes them as absent"
    return f"{names}: zeros or missing throughout ({remedy})"
