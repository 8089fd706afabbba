"""MIMIC-IV-ECG 1.0: record_list.csv, machine_measurements.csv, files/ (Gow et al. 2023, ODbL 1.0)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from peace.config import Config
from peace.data.cohorts.audit import EXAMPLES, CodeCounts, Entry, audit_frame
from peace.data.cohorts.cells import known_ids, safe_paths, tidy_paths
from peace.data.cohorts.manifest import CohortIndex, Exclusions, unique_ids, with_malformed
from peace.data.cohorts.tables import CsvTable, read_table
from peace.data.labels import LabelSet, Reading, normalise
from peace.data.signal.leads import LEADS

REPORT = tuple(f"report_{number}" for number in range(18))

Flags = npt.NDArray[np.bool_]


def read(root: Path, labels: LabelSet, config: Config) -> CohortIndex:
    """Read the tables of a MIMIC-IV-ECG tree. Raises DataError for a missing file or column.

    Reports are joined on (subject_id, study_id): subject_id alone would give each study all of its patient's reports.
    The tables hold no age and no sex.
    """
    allowed = config.index.mangled_ids == "allow"
    table = read_table(root / "record_list.csv", ["subject_id", "study_id", "path"])
    reports = read_table(root / "machine_measurements.csv", ["subject_id", "study_id", *REPORT])
    patients, ids, mangled = _ids(table, allowed)
    reports_of = _ids(reports, allowed)
    studies = patients + "/" + ids
    studies_unique = pd.Index(studies.unique())
    # measurement row -> study, -1 where there is none
    place = studies_unique.get_indexer(reports_of[0] + "/" + reports_of[1])
    lines, audit = _read_lines(reports.frame, labels)
    stated, doubtful, masked, unusable = (_gather(flags, place, len(studies_unique)) for flags in lines)
    targets = labels.resolve_report(stated)
    doubtful = labels.resolve_doubt(doubtful, targets) & (config.labels.doubtful == "mask")
    unusable = unusable[:, 0] | masked.all(axis=1)
    measured = np.zeros(len(studies_unique), dtype=bool)
    measured[place[place >= 0]] = True
    study = studies_unique.get_indexer(studies)
    paths = tidy_paths(table.frame["path"])
    safe = safe_paths(paths)

    excluded = Exclusions(table)
    excluded.add(ids == "", "no_record_id", "study_id")
    excluded.add(ids.duplicated(), "duplicate_record_id", "study_id")
    excluded.add(patients == "", "no_patient_id", "subject_id")
    excluded.add(~safe, "bad_path", "path")
    excluded.add(paths.duplicated(), "duplicate_path", "path")
    excluded.add(~measured[study], "no_measurements", "study_id")
    excluded.add(unusable[study], "unusable_report", "study_id")
    excluded.add(~targets[study].any(axis=1), "no_label", "study_id")

    records = pd.DataFrame(
        {
            "record_id": unique_ids(ids, table.frame["line"]),
            "patient_id": patients,
            "path": paths.where(safe, ""),
            "age_days": pd.Series(pd.NA, index=ids.index, dtype="Int64"),
            "sex": pd.Series(None, index=ids.index, dtype="str"),
            "n_leads": 12,
            "excluded": excluded.column(),
            "doubtful": _named(doubtful, labels.labels)[study],
            "masked_leads": _named(masked, LEADS)[study],
        }
    )
    kept = records["excluded"].isna()
    notes = {
        "mangled_ids": mangled + reports_of[2],
        "measurement_rows_malformed": len(reports.malformed),
        "measurement_rows_without_record": int((place < 0).sum()),
        "measurement_rows_repeated": int(pd.Series(place[place >= 0]).duplicated().sum()),
        "records_with_doubtful_labels": int((kept & (records["doubtful"] != "")).sum()),
        "records_with_masked_leads": int((kept & (records["masked_leads"] != "")).sum()),
    }
    index = CohortIndex("mimic", root, records, targets[study], audit, notes, None, excluded.examples)
    return with_malformed(index, table)


def _ids(table: CsvTable, allow_mangled: bool) -> tuple[pd.Series, pd.Series, int]:
    """The patient and the study of each row, and how many of them are mangled."""
    patients, mangled_patients = known_ids(table, "subject_id", allow_mangled)
    studies, mangled_studies = known_ids(table, "study_id", allow_mangled)
    return patients, studies, mangled_patients + mangled_studies


def _gather(flags: Flags, place: npt.NDArray[np.intp], studies: int) -> Flags:
    """(studies, columns) flags out of (measurement rows, columns) ones; rows of the same study add up."""
    gathered = np.zeros((studies, flags.shape[1]), dtype=bool)
    known = place >= 0
    np.logical_or.at(gathered, place[known], flags[known])
    return gathered


@dataclass(frozen=True)
class _Meaning:
    """What one report line says."""

    reading: Reading
    leads: tuple[str, ...]
    unusable: str | None

    @property
    def decided(self) -> str:
        """The rule, for the audit."""
        if self.unusable:
            return f"unusable recording: {self.unusable}"
        return f"masked leads: {' '.join(self.leads)}" if self.leads else self.reading.decided

    def flags(self, labels: LabelSet) -> tuple[Flags, Flags, Flags, Flags]:
        """Labels stated, labels doubtful, leads masked, and (1,) whether the recording is unusable."""
        leads = np.array([lead in self.leads for lead in LEADS])
        named = labels.flags(self.reading.labels), labels.flags(self.reading.doubtful)
        return *named, leads, np.array([self.unusable is not None])


def _read_lines(frame: pd.DataFrame, labels: LabelSet) -> tuple[list[Flags], pd.DataFrame]:
    """(rows, ...) flags as _Meaning gives them for a line, and the audit. Each distinct line is read once."""
    totals: list[Flags] = []
    met = CodeCounts()
    meanings: dict[str, _Meaning] = {}
    studies = frame["study_id"].to_numpy()
    if frame.empty:
        widths = (len(labels.labels), len(labels.labels), len(LEADS), 1)
        return [np.zeros((0, width), bool) for width in widths], audit_frame([], labels.labels)
    for name in REPORT:
        codes, distinct = pd.factorize(frame[name])
        lines = [normalise(line) for line in distinct]
        for line in lines:
            if line not in meanings:
                meanings[line] = _Meaning(labels.read_line(line), labels.unreadable_leads(line), labels.unusable(line))
        found = [
            np.stack(flags)[codes] for flags in zip(*(meanings[line].flags(labels) for line in lines), strict=True)
        ]
        totals = [total | flags for total, flags in zip(totals, found, strict=True)] if totals else found
        order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes, np.arange(len(lines) + 1), sorter=order)
        for line, start, end in zip(lines, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            if line:
                met.add(line, end - start, studies[order[start : min(end, start + EXAMPLES)]])
    entries = [
        Entry("report", line, "", count, read.labels, meanings[line].decided, met.examples[line], read.doubtful)
        for line, count in met.counts.items()
        for read in [meanings[line].reading]
    ]
    return totals, audit_frame(entries, labels.labels)


def _named(flags: Flags, names: Sequence[str]) -> npt.NDArray[np.object_]:
    """(rows,) the names that are set in (rows, names) flags, with spaces between them."""
    sets, row = np.unique(flags, axis=0, return_inverse=True)
    joined = [" ".join(name for name, flag in zip(names, one, strict=True) if flag) for one in sets]
    return np.array(joined, dtype=object)[row.reshape(-1)]
