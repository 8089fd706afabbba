"""Sample recordings for the report: kept ones as models see them, rejected ones as they lie on disk.

Drawn by lot, not by looks: the order is that of a checksum of the record's id.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from peace.core.storage import opened
from peace.data.shards.codec import decode_signals
from peace.data.shards.staging import staged
from peace.data.signal import LEADS, REASONS, RecordRejected, lead_index, read_header, read_record
from peace.data.signal.units import to_mv
from peace.reports.data.numbers import distribution, label_flags
from peace.reports.data.shard_numbers import Rows
from peace.reports.drawing import png
from peace.reports.strip import strip_figure

TRIED = 3  # rejects of one reason until one can be drawn
CANDIDATES = 2000
HEADERS = 100
SECONDS = 10.0
LONGEST_DETAIL = 70  # characters
# What leaves nothing to draw.
UNDRAWN = (
    "missing_header",
    "bad_header",
    "outside_root",
    "zero_length",
    "too_large",
    "missing_signal",
    "truncated_signal",
    "unreadable_signal",
    "unexpected_error",
)


@dataclass(frozen=True)
class Strip:
    """A drawn recording."""

    cohort: str
    record_id: str
    title: str
    """Its labels, or the reason why it was left out."""
    image: bytes
    rejected: bool


def kept_strips(rows: Rows, cohort: str, labels: Sequence[str], rate: float, most: int) -> Iterator[Strip]:
    """A record of each of the `most` most frequent labels, with as few others as there is."""
    for label, at in _chosen(rows, cohort, labels, most).items():
        row = rows.table.slice(at, 1).to_pylist()[0]
        signal, mask = _signal(rows, at)
        title = f"{row['record_id']}: {', '.join(row['labels'])}{_person(row)}"
        figure = strip_figure(to_mv(signal[:, : row["n_samples"]]), rate, mask, title)
        yield Strip(cohort, row["record_id"], f"{label}, {row['split']} split", png(figure), False)


def rejected_strips(rejects: pa.Table, cohort: str, most: int) -> Iterator[Strip]:
    """A record of each of the `most` most frequent reasons that leave something to draw."""
    rows = rejects.filter(pc.equal(rejects["cohort"], cohort)).to_pylist()
    by_reason: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: _lot(row["record_id"])):
        by_reason.setdefault(row["reason"], []).append(row)
    reasons = sorted(
        (name for name in by_reason if name not in UNDRAWN), key=lambda name: (-len(by_reason[name]), name)
    )
    for reason in reasons[:most]:
        drawn = next((strip for row in by_reason[reason][:TRIED] if (strip := _rejected(row)) is not None), None)
        if drawn is not None:
            yield drawn


def header_numbers(table: pa.Table, paths: Mapping[str, str]) -> dict[str, Any]:
    """Rates, lengths and leads as recorded, from the headers of some kept records; `paths` by record id."""
    ids = sorted(table["record_id"].to_pylist()[: 50 * HEADERS], key=_lot)[:HEADERS]
    rates: dict[str, int] = {}
    leads: dict[str, int] = {}
    seconds, unread = [], 0
    for row, copy in staged([{"path": paths[name]} for name in ids if name in paths]):
        try:
            header = read_header(copy or Path(row["path"]))
        except RecordRejected:
            unread += 1
            continue
        rates[f"{header.rate:g}"] = rates.get(f"{header.rate:g}", 0) + 1
        leads[str(header.n_signals)] = leads.get(str(header.n_signals), 0) + 1
        seconds.append(np.nan if header.n_samples is None else header.n_samples / header.rate)
    return {
        "sampled": len(ids),
        "unread": unread,
        "rates_hz": rates,
        "leads": leads,
        "seconds": distribution(np.array(seconds, dtype=np.float64)),
    }


def _lot(name: str) -> int:
    return zlib.crc32(name.encode())


def _chosen(rows: Rows, cohort: str, labels: Sequence[str], most: int) -> dict[str, int]:
    """Label -> row, for the most frequent labels of a cohort, most frequent first."""
    at = rows.of(cohort)
    targets = label_flags(rows.table["labels"].take(pa.array(at)), labels)
    counts, several = targets.sum(axis=0), targets.sum(axis=1)
    chosen: dict[str, int] = {}
    for k in np.argsort(-counts, kind="stable")[:most]:
        having = np.flatnonzero(targets[:, k])
        if not len(having):
            break
        purest = having[several[having] == several[having].min()][:CANDIDATES]
        ids = rows.table["record_id"].take(pa.array(at[purest])).to_pylist()
        chosen[labels[k]] = int(at[purest[min(range(len(ids)), key=lambda i: _lot(ids[i]))]])
    return chosen


def _signal(rows: Rows, at: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """One record's (12, T) microvolts and (12,) mask; reads the one row group that holds it."""
    ends = np.cumsum([held for _, held in rows.files])
    place = int(np.searchsorted(ends, at, side="right"))
    with opened(rows.files[place][0]) as source, pq.ParquetFile(source) as file:
        held = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        at -= int(ends[place]) - sum(held)
        group = int(np.searchsorted(np.cumsum(held), at, side="right"))
        table = file.read_row_group(group, columns=["signal", "lead_mask"]).slice(at - sum(held[:group]), 1)
    mask = table["lead_mask"].combine_chunks().to_numpy_ndarray()[0]
    stored = table["signal"].combine_chunks()
    length = len(stored[0].as_py()) // (2 * len(LEADS))
    return decode_signals(stored, (len(LEADS), length))[0], mask


def _person(row: Mapping[str, Any]) -> str:
    age = row["age_days"]
    told = [] if age is None else [f"{age} days" if age < 730 else f"{age / 365.25:.0f} years"]
    told += [row["sex"]] if row["sex"] else []
    return f" ({', '.join(told)})" if told else ""


def _rejected(row: Mapping[str, Any]) -> Strip | None:
    """A reject as it lies on disk, the median of each lead taken off; None where nothing can be read."""
    try:
        for _, copy in staged([row]):
            return _raw_strip(row, copy or Path(row["path"]))
    except RecordRejected:
        pass
    return None


def _raw_strip(row: Mapping[str, Any], path: Path) -> Strip | None:
    recording = read_record(path, SECONDS)
    leads = [lead_index(name) for name in recording.leads]
    signal = np.full((len(LEADS), len(recording.samples)), np.nan)
    mask = np.zeros(len(LEADS), np.uint8)
    for column, lead in enumerate(leads):
        if lead is not None and not mask[lead]:
            signal[lead], mask[lead] = recording.samples[:, column], 1
    known = ~np.isnan(signal)
    if not known.any():
        return None
    middle = np.array(
        [np.median(values[there]) if there.any() else 0.0 for values, there in zip(signal, known, strict=True)]
    )
    signal -= middle[:, None]
    worst = LEADS[telling_lead(row["reason"], signal, mask)]
    title = f"{row['record_id']}: {row['reason']} ({row['detail'][:LONGEST_DETAIL]}), below: {worst}"
    figure = strip_figure(signal, recording.rate, mask, title, worst)
    return Strip(
        row["cohort"], row["record_id"], f"{row['reason']}: {REASONS.get(row['reason'], '')}", png(figure), True
    )


def telling_lead(reason: str, signal_mv: npt.NDArray[np.float64], mask: npt.NDArray[np.uint8]) -> int:
    """The recorded lead that shows why a record was left out; II where no lead does more than another."""
    missing = np.isnan(signal_mv).sum(axis=1)
    filled = np.where(np.isnan(signal_mv), 0.0, signal_mv)
    measure = {"nan_samples": missing, "flat_lead": -np.ptp(filled, axis=1)}.get(reason)
    if reason in ("saturated", "spikes", "clipped"):
        measure = np.abs(filled).max(axis=1)
    if measure is None:
        return LEADS.index("II")
    return int(np.argmax(np.where(mask == 1, measure, -np.inf)))
