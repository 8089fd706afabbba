"""Checks of the recordings' files: that they are there, and that headers and sizes are what the tables promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from peace.core.progress import progress
from peace.data.cohorts.validation.issues import Departures
from peace.data.signal import LEADS, NINE, RecordRejected, lead_index, read_header
from peace.data.signal.decode import FORMATS, bytes_of
from peace.data.signal.header import Header

THREADS = 16
BLOCK = 200  # looks that one thread takes on at a time
SAMPLE = 200  # headers read unless all are asked for
RATE = 500.0
FORMAT = 16

Found = tuple[str, str, int | None, str]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Expected:
    """What a row promises of its recording."""

    path: str
    """Relative to the tree, without extension."""
    leads: int
    samples: int | None
    """None where the table does not tell."""


def check_records(
    found: Departures, root: Path, table: tuple[str, pd.DataFrame], expected: Sequence[Expected], every: bool
) -> int:
    """Look for every recording's files, and read the headers of SAMPLE of them, or of all; returns how many were read.

    `table` is the name of the cohort's table and its rows, of which `expected` tells.
    """
    name, frame = table
    lines = frame["line"].tolist()
    there = []
    for item, line, missing in zip(expected, lines, _missing(root, expected), strict=True):
        if missing is None:
            there.append(item)
        else:
            found.add(missing[0], name, line, missing[1])
    chosen = list(range(len(there)))
    if not every and len(there) > SAMPLE:
        chosen = [round(at) for at in np.linspace(0, len(there) - 1, SAMPLE)]
    for issues in _each(lambda at: check_header(root, there[at]), chosen, "read headers"):
        found.merge(issues)
    return len(chosen)


def check_header(root: Path, expected: Expected) -> list[Found]:
    """What departs in one header, by line, and in the size of its signal file."""
    record, name = root / expected.path, f"{expected.path}.hea"
    lines = _content_lines(record.with_name(record.name + ".hea"))
    try:
        header = read_header(record)
    except RecordRejected as refusal:
        return [("header", name, lines[0] if lines else None, f"{refusal.reason}: {refusal.detail}")]
    found: list[Found] = []
    if header.record != record.name:
        found.append(("header", name, lines[0], f"is the header of record '{header.record}'"))
    if header.segments:
        return [*found, ("header", name, lines[0], "is a record of several segments")]
    if header.rate != RATE:
        found.append(("header_rate", name, lines[0], f"{header.rate:g} Hz, where the cohort has {RATE:g}"))
    if expected.samples is not None and header.n_samples != expected.samples:
        told = f"{header.n_samples} samples, where {expected.samples} are expected"
        found.append(("header_length", name, lines[0], told))
    found += _leads(header, name, lines, expected)
    return found + _size(root, header, expected)


def _leads(header: Header, name: str, lines: Sequence[int], expected: Expected) -> list[Found]:
    found: list[Found] = []
    wanted = set(range(len(LEADS))) if expected.leads == len(LEADS) else {LEADS.index(lead) for lead in NINE}
    met: set[int] = set()
    for line, signal in zip(lines[1:], header.signals, strict=False):
        lead = lead_index(signal.lead)
        if lead is None:
            found.append(("header_leads", name, line, f"lead '{signal.lead}' is none of the twelve"))
        elif lead in met:
            found.append(("header_leads", name, line, f"lead {LEADS[lead]} stands twice"))
        if lead is not None:
            met.add(lead)
        if signal.units != "mV":
            found.append(("header_units", name, line, f"lead {signal.lead} is in '{signal.units}', not in mV"))
        if signal.format != FORMAT:
            found.append(("header_units", name, line, f"lead {signal.lead} is in format {signal.format}, not {FORMAT}"))
    for lead in sorted(wanted - met):
        found.append(("header_leads", name, lines[0], f"no lead {LEADS[lead]}"))
    for lead in sorted(met - wanted):
        found.append(
            ("header_leads", name, lines[0], f"lead {LEADS[lead]}, which a record of nine leads does not have")
        )
    return found


def _size(root: Path, header: Header, expected: Expected) -> list[Found]:
    """The declared size of each signal file against the real one."""
    folder = Path(expected.path).parent
    found: list[Found] = []
    for name in dict.fromkeys(signal.file for signal in header.signals):
        signals = [signal for signal in header.signals if signal.file == name]
        place = str(folder / name)
        try:
            size = (root / place).stat().st_size
        except OSError:
            found.append(("missing_signal", f"{expected.path}.hea", None, f"names {name}, which is not there"))
            continue
        if header.n_samples is None or signals[0].format not in FORMATS:
            continue
        values = header.n_samples * sum(signal.per_frame for signal in signals)
        declared = bytes_of(signals[0].format, values) + signals[0].offset
        if size != declared:
            found.append(("signal_size", place, None, f"{size} bytes, where its header declares {declared}"))
    return found


def _missing(root: Path, expected: Sequence[Expected]) -> list[tuple[str, str] | None]:
    return _each(lambda at: _missing_file(root, expected[at].path), range(len(expected)), "look for the records' files")


def _missing_file(root: Path, path: str) -> tuple[str, str] | None:
    for kind, extension in (("missing_header", "hea"), ("missing_signal", "dat")):
        place = root / f"{path}.{extension}"
        try:
            size = place.stat().st_size
        except OSError:
            return kind, f"{path}.{extension} is not there"
        if not size:
            return kind, f"{path}.{extension} is empty"
    return None


def _each(work: Callable[[int], Item], items: Sequence[int], words: str) -> list[Item]:
    """Do it for each, several at a time: on a network each look takes long."""
    blocks = [items[start : start + BLOCK] for start in range(0, len(items), BLOCK)]
    done: list[Item] = []
    with ThreadPoolExecutor(THREADS) as pool, progress(None, words, total=len(items)) as bar:
        for block in pool.map(lambda block: [work(item) for item in block], blocks):
            done += block
            bar.update(len(block))
    return done


def _content_lines(place: Path) -> list[int]:
    """Numbers of the lines of a header that are no comments: the record's first, then one a lead.

    Reading as text has made a line feed of CR and CR LF; nothing else ends a line.
    """
    try:
        text = place.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [n for n, line in enumerate(text.split("\n"), start=1) if line.strip() and not line.strip().startswith("#")]
