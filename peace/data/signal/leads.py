"""The twelve leads, by name, never by position: MIMIC-IV-ECG stores aVF before aVL, nine-lead records skip V2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from peace.config import LeadsConfig
from peace.data.signal.lead_names import LEADS, lead_index, read_name
from peace.data.signal.unreadable import RecordRejected

__all__ = ["LEADS", "NINE", "Chosen", "arrange", "choose", "lead_index"]

NINE: tuple[str, ...] = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V3", "V5")
# The limb leads as sums of I and II (Einthoven, Goldberger): each is known from any two of the six.
LIMB = np.array([[1, 0], [0, 1], [-1, 1], [-0.5, -0.5], [1, -0.5], [-0.5, 1]])
TOLD = 12  # names spelt out in a note


@dataclass(frozen=True)
class Chosen:
    """Which columns of a recording are taken for which leads, and what else is made of them."""

    columns: tuple[int, ...]
    """Columns of the recording that are one of the twelve."""
    leads: tuple[int, ...]
    """Their positions in LEADS, then those of the derived leads."""
    signs: tuple[int, ...]
    """-1 for a column that is stored upside down."""
    derivation: npt.NDArray[np.float64] | None
    """(2, derived leads): the weights of the first two limb leads, in the order of LEADS, in each derived one."""
    notes: dict[str, str]
    """By flag, what is to be told of it."""

    def of(self, samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(samples, len(leads)) in mV of (samples, columns) as recorded, which are left as they are."""
        taken = samples[:, self.columns] * np.array(self.signs, np.float64)
        if self.derivation is None:
            return taken
        pair = [self.leads.index(lead) for lead in sorted(self.leads[: len(self.columns)])[:2]]
        derived = sum(np.multiply.outer(taken[:, at], row) for at, row in zip(pair, self.derivation, strict=True))
        return np.concatenate([taken, derived], axis=1)


@lru_cache(maxsize=64)
def choose(names: tuple[str, ...]) -> Chosen | None:
    """What is taken of a recording with these names; None where it is all of it, as it is.

    A lead that stands there the right way up is preferred to its copy upside down. Raises RecordRejected
    (duplicate_lead) where two columns claim one lead.
    """
    meant = [read_name(name) for name in names]
    upright = {item.lead for item in meant if item is not None and not item.turned}
    taken = [
        (column, item.lead, -1 if item.turned else 1)
        for column, item in enumerate(meant)
        if item is not None and not (item.turned and item.lead in upright)
    ]
    columns, leads, signs = zip(*taken, strict=True) if taken else ((), (), ())
    _refuse_twice(names, columns, leads)
    derived, derivation = _derivation(leads)
    if len(columns) == len(names) and not derived and -1 not in signs:
        return None
    notes = {}
    extra = [name for column, name in enumerate(names) if column not in columns]
    if extra:
        notes["extra_leads"] = f"signals besides the twelve leads, not used: {told(extra)}"
    if -1 in signs:
        stored = [names[column] for column, sign in zip(columns, signs, strict=True) if sign < 0]
        notes["lead_turned"] = f"stored upside down, turned: {told(stored)}"
    if derived:
        pair = [LEADS[lead] for lead in sorted(leads)[:2]]
        notes["leads_derived"] = f"computed from {pair[0]} and {pair[1]}: {', '.join(LEADS[lead] for lead in derived)}"
    return Chosen(columns, leads + derived, signs, derivation, notes)


def _refuse_twice(names: Sequence[str], columns: Sequence[int], leads: Sequence[int]) -> None:
    for lead in sorted(set(leads)):
        claims = [names[column] for column, claimed in zip(columns, leads, strict=True) if claimed == lead]
        if len(claims) > 1:
            raise RecordRejected("duplicate_lead", f"{LEADS[lead]} is claimed by {told(claims)}")


def _derivation(leads: Sequence[int]) -> tuple[tuple[int, ...], npt.NDArray[np.float64] | None]:
    """The limb leads that are absent, and how the first two that are there make them; none where there are not two."""
    there = sorted(lead for lead in leads if lead < len(LIMB))
    absent = tuple(lead for lead in range(len(LIMB)) if lead not in there)
    if len(there) < 2 or not absent:
        return (), None
    return absent, np.linalg.solve(LIMB[there[:2]].T, LIMB[list(absent)].T)


def told(names: Sequence[str]) -> str:
    """Names as a message has them: quoted, cut, the first of them."""
    more = f" and {len(names) - TOLD} more" if len(names) > TOLD else ""
    return ", ".join(repr(name[:40]) for name in names[:TOLD]) + more


def arrange(
    names: Sequence[str], config: LeadsConfig, others: str = ""
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8]]:
    """Where each chosen lead belongs: (position in LEADS of each column, mask (12,) of the leads present), read-only.

    `others` is told with what is missing. Raises RecordRejected (missing_lead).
    """
    return _arranged(tuple(names), config.require, others)


@lru_cache(maxsize=64)
def _arranged(names: tuple[str, ...], require: int, others: str) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8]]:
    meant = [read_name(name) for name in names]
    positions = np.array([item.lead for item in meant if item is not None], np.intp)
    mask = np.zeros(len(LEADS), np.uint8)
    mask[positions] = 1
    missing = [name for name in (LEADS if require == 12 else NINE) if not mask[LEADS.index(name)]]
    if missing:
        raise RecordRejected("missing_lead", ", ".join(missing) + (f" ({others})" if others else ""))
    positions.setflags(write=False)
    mask.setflags(write=False)
    return positions, mask
