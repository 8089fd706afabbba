"""The twelve leads, by name, never by position: MIMIC-IV-ECG stores aVF before aVL, nine-lead records skip V2."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from peace.config import LeadsConfig
from peace.data.signal.unreadable import Unreadable

LEADS: tuple[str, ...] = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
NINE: tuple[str, ...] = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V3", "V5")

# "Lead II", "ECG_V1", and the identifiers of ISO/IEEE 11073-10101 (MDC_ECG_LEAD_V1)
PREFIX = re.compile(r"^(?:mdc[ _]ecg[ _]lead|ecg|lead)[ _:]+")
SYNONYMS: dict[str, int] = {name.casefold(): index for index, name in enumerate(LEADS)}
# D for derivation, in Romance languages
SYNONYMS |= {"di": 0, "dii": 1, "diii": 2, "d1": 0, "d2": 1, "d3": 2}
# C for chest, as IEC 60601-2-25 names the electrodes
SYNONYMS |= {f"c{number}": 5 + number for number in range(1, 7)}


def lead_index(name: str) -> int | None:
    """Position in LEADS of a lead named in any spelling we know, None for any other name (-aVR among them)."""
    # NFKC: full-width letters and the single character for a Roman number, in East Asian exports
    return SYNONYMS.get(PREFIX.sub("", unicodedata.normalize("NFKC", name).strip().casefold()))


def arrange(names: Sequence[str], config: LeadsConfig) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8]]:
    """Where each recorded lead belongs: (position in LEADS of each column, mask (12,) of the leads present), read-only.

    Raises Unreadable: unknown_lead, duplicate_lead, missing_lead.
    """
    return _arranged(tuple(names), config.require)


@lru_cache(maxsize=64)
def _arranged(names: tuple[str, ...], require: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8]]:
    found = [lead_index(name) for name in names]
    unknown = [name for name, index in zip(names, found, strict=True) if index is None]
    if unknown:
        raise Unreadable("unknown_lead", ", ".join(repr(name[:40]) for name in unknown[:12]))
    positions = np.array(found, np.intp)
    mask = np.zeros(len(LEADS), np.uint8)
    mask[positions] = 1
    if len(set(found)) < len(found):
        twice = sorted({LEADS[index] for index in positions if (positions == index).sum() > 1}, key=LEADS.index)
        raise Unreadable("duplicate_lead", ", ".join(twice))
    missing = [name for name in (LEADS if require == 12 else NINE) if not mask[LEADS.index(name)]]
    if missing:
        raise Unreadable("missing_lead", ", ".join(missing))
    positions.setflags(write=False)
    mask.setflags(write=False)
    return positions, mask
