"""What an index comes to: the records of a tree with their splits, or the reason why nobody should continue with it.

`peace index` and `peace index --check` both ask here, so that they count the same and come to the same verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from peace.config import Config
from peace.config.data import MaxExcludedConfig
from peace.core.errors import ConfigError, DataError
from peace.core.storage import local_copy
from peace.data.cohorts import COHORTS, read_cohort
from peace.data.cohorts.manifest import EXCLUSIONS, CohortIndex
from peace.data.labels import LabelSet
from peace.data.signal import REASONS
from peace.data.splits import check_filled, split_patients


@dataclass(frozen=True)
class Account:
    """Records of a cohort: how many there are, how many are kept, and why the others are not."""

    cohort: str
    whole: int
    kept: int
    left_out: Mapping[str, int]
    """Reason -> records."""
    meanings: Mapping[str, str]
    examples: Mapping[str, str]
    """Reason -> a row, named."""

    def counts(self) -> dict[str, int]:
        """Records in, each reason, and records kept."""
        left_out = {f"excluded: {name}": count for name, count in self.left_out.items()}
        return {"indexed": self.whole, **left_out, "kept": self.kept}

    def judge(self, limit: float, strict: bool) -> str | None:
        """What to say where more than a share of the records is left out.

        Raises DataError where nothing is kept, and, if `strict`, where something is to be said.
        """
        if not self.kept:
            raise DataError(f"none of the {self.whole:,} {self.cohort} records is kept. {self._main_reason()}")
        warning = self._too_many(limit)
        if strict and warning is not None:
            raise DataError(warning)
        return warning

    def _too_many(self, limit: float) -> str | None:
        out = self.whole - self.kept
        if out <= limit * self.whole:
            return None
        told = f"{out:,} of {self.whole:,} {self.cohort} records ({out / self.whole:.0%}) are left out"
        if self.cohort in COHORTS:
            known = COHORTS[self.cohort]
            told += f", where the paper leaves out {1 - known.published / known.whole:.0%} of the published ones"
        return f"{told} (limit: {limit:g}). {self._main_reason()}"

    def _main_reason(self) -> str:
        reason = max(self.left_out, key=lambda name: self.left_out[name])
        meaning = f" ({self.meanings[reason]})" if reason in self.meanings else ""
        such_as = f", such as {self.examples[reason]}" if reason in self.examples else ""
        others = [f"{name}: {count:,}" for name, count in self.left_out.items() if name != reason]
        then = f"; {', '.join(others)}" if others else ""
        return f"Main reason: {reason}{meaning}: {self.left_out[reason]:,}{such_as}{then}"


@dataclass(frozen=True)
class Outcome:
    """An index, and whether anybody should continue with it."""

    index: CohortIndex
    account: Account
    split: pd.Series
    """(records,) train, val or test; null where excluded, or where all is refused."""
    warning: str | None
    """Says so where more records are left out than is usual for the cohort."""
    refusal: str | None
    """Why nobody should continue with it."""


def index_tree(
    cohort: str, root: Path, labels: LabelSet, config: Config, settled: Mapping[str, str] | None = None
) -> Outcome:
    """Read a cohort's tree and split its kept records by patient; `settled` patients stay in their splits.

    Raises DataError where the tree cannot be read. The outcome says why an index is refused: nothing is kept, a split
    is empty, or, with `index.too_many=error`, more is left out than `index.max_excluded`. Raises ConfigError for
    official folds of a cohort that has none.
    """
    if config.split.official_folds and cohort != "ptbxl":
        raise ConfigError(f"split.official_folds: only ptbxl has official folds, not {cohort}")
    index = read_cohort(cohort, root, labels, config)
    account = account_of(index)
    nowhere = pd.Series(None, index=index.frame.index, dtype="str")
    try:
        warning = account.judge(config.index.max_excluded.of(cohort), config.index.too_many == "error")
        split = _split(index, config, settled or {})
    except DataError as refusal:
        return Outcome(index, account, nowhere, None, str(refusal))
    return Outcome(index, account, nowhere.where(~index.kept, split), warning, None)


def _split(index: CohortIndex, config: Config, settled: Mapping[str, str]) -> pd.Series:
    """The split of each kept record. Raises DataError where one is empty."""
    kept = index.kept
    patients = index.frame.loc[kept, "patient_id"]
    if config.split.official_folds and index.official_split is not None:
        split = index.official_split[kept]
        check_filled(split, patients, (1, 1, 1), "no kept record has such a strat_fold")
        return split
    split = split_patients(patients, index.targets[kept], config.split, settled)
    why = "--keep-splits has its patients elsewhere" if settled else ""
    check_filled(split, patients, config.split.ratios, why)
    return split


def account_of(index: CohortIndex) -> Account:
    """The account of an index, most frequent reason first."""
    reasons = index.frame["excluded"].dropna().value_counts()
    left_out = {str(reason): int(count) for reason, count in reasons.items()}
    return Account(index.cohort, len(index.frame), int(index.kept.sum()), left_out, EXCLUSIONS, index.examples)


def judge_signals(
    manifests: Sequence[Path], rejects: Sequence[Mapping[str, str]], usual: MaxExcludedConfig, asked: float | None
) -> list[str]:
    """What to say of cohorts that lose too much, from their rows to what could be read of their recordings.

    `manifests`: those of `peace index`; `rejects`: the records that it kept and that could not be read, with record_id,
    cohort, reason and detail; `asked`: the share above which all fails. Raises DataError where nothing of a cohort is
    kept.
    """
    tables, said = [], []
    for path in manifests:
        with local_copy(path) as local:
            tables.append(pd.read_parquet(local, columns=["record_id", "cohort", "excluded"]))
    for cohort, rows in pd.concat(tables).groupby("cohort", sort=False):
        own = [reject for reject in rejects if reject["cohort"] == cohort]
        out = rows[rows["excluded"].notna()]
        counts = Counter([*out["excluded"], *(reject["reason"] for reject in own)])
        examples = dict(zip(out["excluded"][::-1], out["record_id"][::-1], strict=True))
        examples |= {reject["reason"]: f"{reject['record_id']}: {reject['detail']}" for reject in reversed(own)}
        kept, meanings = len(rows) - len(out) - len(own), {**EXCLUSIONS, **REASONS}
        account = Account(str(cohort), len(rows), kept, dict(counts.most_common()), meanings, examples)
        said.append(account.judge(usual.of(account.cohort) if asked is None else asked, strict=asked is not None))
    return [warning for warning in said if warning is not None]
