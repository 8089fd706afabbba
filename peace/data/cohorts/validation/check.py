"""The check of a whole tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from peace.config import Config
from peace.core.errors import ConfigError, DataError
from peace.core.storage import is_remote
from peace.data.cohorts import COHORTS, check_folder
from peace.data.cohorts.outcome import Account, index_tree
from peace.data.cohorts.validation import cohorts
from peace.data.cohorts.validation.issues import Departures, Issue
from peace.data.cohorts.validation.records import check_records
from peace.data.labels import LabelSet

CHECKS: dict[str, Callable[[Departures, Path, LabelSet, Config], cohorts.Promised | None]] = {
    "mimic": cohorts.mimic,
    "zzu": cohorts.zzu,
    "ptbxl": cohorts.ptbxl,
}


@dataclass(frozen=True)
class ValidationReport:
    """What was looked at, and what departs."""

    cohort: str
    records: int
    """Rows of the cohort's table that name a file inside the tree."""
    headers: int
    """Headers that were read."""
    counts: dict[str, int]
    """Kind of departure -> how often it was met, most frequent first."""
    issues: tuple[Issue, ...]
    """The first LISTED of each kind."""
    account: Account | None = None
    """What `peace index` counts, where it can read the tree."""
    warning: str | None = None
    """What `peace index` warns of."""

    @property
    def whole(self) -> int:
        """Records of the published tree."""
        return COHORTS[self.cohort].whole


def check_tree(
    cohort: str,
    root: Path,
    labels: LabelSet,
    config: Config,
    every_header: bool = False,
    settled: Mapping[str, str] | None = None,
) -> ValidationReport:
    """Check a cohort's tree, and what `peace index` makes of it; `settled` patients are those of --keep-splits.

    A sample of the headers is read, or every one. Raises ConfigError for a remote tree.
    """
    if is_remote(root):
        raise ConfigError(f"--root {root}: the check reads a local or mounted tree")
    root = root.absolute()
    found = Departures()
    try:
        check_folder(cohort, root)
    except DataError as error:
        found.add("tree", str(root), None, str(error).removeprefix(f"{root} "))
        return ValidationReport(cohort, 0, 0, dict(found.counts), tuple(found.listed))
    promised = CHECKS[cohort](found, root, labels, config)
    records = headers = 0
    if promised is not None:
        name, rows, expected = promised
        records = len(expected)
        headers = check_records(found, root, (name, rows), expected, every_header)
        if records > COHORTS[cohort].whole:
            told = f"{records:,} records, where the published tree has {COHORTS[cohort].whole:,}"
            found.add("too_many", name, None, told)
    account = warning = None
    try:
        outcome = index_tree(cohort, root, labels, config, settled)
        account, warning, refusal = outcome.account, outcome.warning, outcome.refusal
    except DataError as error:
        refusal = str(error).removeprefix(f"{root}: ")
    if refusal is not None:
        found.add("refused", str(root), None, refusal)
        found.listed.insert(0, found.listed.pop())  # the verdict stands before what led to it
    return ValidationReport(
        cohort, records, headers, dict(found.counts.most_common()), tuple(found.listed), account, warning
    )
