"""The cohorts in their original on-disk formats: one reader each, from a raw tree to the rows of a manifest."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from peace.config import Config
from peace.core.errors import DataError, nearest
from peace.core.storage import translate_errors
from peace.data.cohorts import mimic, ptbxl, zzu
from peace.data.cohorts.manifest import CohortIndex
from peace.data.labels import LabelSet


@dataclass(frozen=True)
class Cohort:
    """What a tree must hold, and the function that reads it."""

    title: str
    tables: tuple[str, ...]
    signals: str  # the folder with the recordings
    read: Callable[[Path, LabelSet, Config], CohortIndex]
    whole: int  # records of the published tree
    published: int  # records that arXiv 2605.00647 keeps of it, with its twelve labels
    # records of each label counted elsewhere, since the paper does not tell them, and what they were counted on
    reference: Mapping[str, int] = field(default_factory=dict)
    reference_source: str = ""


TWELVE = ("NORM", "LAFB", "IRBBB", "CRBBB", "LVOLT", "LAE", "RAE", "LVH", "RVH", "STTC", "TAB_", "LQTS")
ZZU_COUNTS = (2378, 323, 336, 290, 277, 184, 201, 348, 692, 1195, 2543, 427)
PTBXL_COUNTS = (9514, 1797, 1118, 541, 0, 426, 99, 2132, 126, 2239, 0, 0)

COHORTS = {
    "mimic": Cohort(
        "MIMIC-IV-ECG 1.0", ("record_list.csv", "machine_measurements.csv"), "files", mimic.read, 800_035, 483_051
    ),
    "zzu": Cohort(
        "ZZU-pECG",
        ("AttributesDictionary.csv",),
        zzu.SIGNALS,
        zzu.read,
        14_190,
        7_593,
        dict(zip(TWELVE, ZZU_COUNTS, strict=True)),
        "bare codes in the AHA or the CHN column of a public table of 12,327 of the 12,334 twelve-lead records",
    ),
    "ptbxl": Cohort(
        "PTB-XL 1.0.3",
        ("ptbxl_database.csv", "scp_statements.csv"),
        "records500",
        ptbxl.read,
        21_799,
        16_363,
        dict(zip(TWELVE, PTBXL_COUNTS, strict=True)),
        "diagnostic subclasses counted in the tables of PTB-XL 1.0.3",
    ),
}


def read_cohort(cohort: str, root: Path, labels: LabelSet, config: Config) -> CohortIndex:
    """Read a cohort's tree. Raises DataError where it is missing, empty, incomplete or another cohort's."""
    if cohort not in COHORTS:
        raise DataError(f"unknown cohort '{cohort}'{nearest(cohort, COHORTS)} (known: {', '.join(COHORTS)})")
    root = root.absolute()
    with translate_errors(root):
        check_folder(cohort, root)
    return COHORTS[cohort].read(root, labels, config)


def is_synthetic(root: Path) -> bool:
    """Whether `peace synthesize` wrote this tree: it leaves truth.parquet beside its trees."""
    return (root.absolute().parent / "truth.parquet").exists()


def check_folder(cohort: str, root: Path) -> None:
    """Raise DataError where a folder is missing, or cannot be the root of this cohort's tree."""
    known = COHORTS[cohort]
    holds = f"a {known.title} tree holds {', '.join(known.tables)} and {known.signals}/"
    if not root.exists():
        raise DataError(f"{root} does not exist: {holds}")
    if not root.is_dir():
        raise DataError(f"{root} is not a directory: {holds}")
    try:
        names = {found.name for found in root.iterdir()}
    except OSError as error:
        raise DataError(f"cannot read {root}: {error.strerror}") from None
    if not names:
        raise DataError(f"{root} is empty: {holds}")
    missing = [name for name in known.tables if name not in names]
    if missing:
        raise DataError(f"{root} has no {missing[0]}: {holds}{_hint(cohort, root, names)}")
    flat_zzu = cohort == "zzu" and any(re.fullmatch(r"P\d\d", name) for name in names)  # unpacked without Child_ecg/
    if known.signals not in names and not flat_zzu:
        raise DataError(f"{root} has no {known.signals}/ folder, where the recordings are: {holds}")
    signals = root / known.signals
    if (signals / known.signals).is_dir():
        others = (found.name for found in signals.iterdir() if found.is_dir() and found.name != known.signals)
        if all(name.startswith((".", "__MACOSX")) for name in others):
            raise DataError(
                f"{root} was unpacked twice: the recordings are in {known.signals}/{known.signals}/, not in "
                f"{known.signals}/; move {signals / known.signals} one folder up"
            )


def _hint(cohort: str, root: Path, names: set[str]) -> str:
    for other, kind in COHORTS.items():
        if other != cohort and kind.tables[0] in names:
            return f"; this looks like {kind.title}, which is --cohort {other}"
    for name in sorted(names):
        if (root / name / COHORTS[cohort].tables[0]).exists():
            return f"; did you mean {root / name}?"
    if (root.parent / COHORTS[cohort].tables[0]).exists():
        return f"; did you mean {root.parent}?"
    return ""


__all__ = ["COHORTS", "Cohort", "CohortIndex", "check_folder", "is_synthetic", "read_cohort"]
