"""From a WFDB record on disk to millivolts.

Our own reader takes what the three cohorts consist of: one signal file, one value a lead and frame, formats 16, 61,
80, 160, 212, 24 and 32. Several segments are put together here too, by the names of their leads. Everything else the
WFDB specification allows (several files, several values a frame, skew, differences, FLAC) goes through the wfdb
package, after the same strict reading of the header.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from peace.data.signal.converter import Converter, converter_of
from peace.data.signal.decode import FORMATS, MISSING, bytes_of, decode, values_in
from peace.data.signal.files import opened, read
from peace.data.signal.header import MAX_SAMPLES, Header, SignalLine, parse_header
from peace.data.signal.kernel import to_millivolts
from peace.data.signal.unreadable import Unreadable
from peace.data.signal.wfdb_fallback import read_through_wfdb

MAX_HEADER_BYTES = 1_000_000


@dataclass(frozen=True)
class Recording:
    """A recording as it was written: nothing reordered, repaired or filtered."""

    leads: tuple[str, ...]
    """Names as in the header, in its order."""
    rate: float
    """Samples per second."""
    samples: npt.NDArray[np.float64]
    """(samples, leads) in mV, NaN where the file marks a value as missing."""
    length: int
    """Samples of each lead on disk: more than `samples` has where only the beginning was read."""
    checksum_errors: int | None = None
    """Leads whose samples do not add up to the header's checksum; None where that was not looked at."""
    converter: Converter | None = None
    """How the samples were stored; None where that is not known, or differs from segment to segment."""


def read_record(path: Path, seconds: float | None = None) -> Recording:
    """Read a record, or its first `seconds`.

    `path` is the record without extension, or its .hea file. Raises Unreadable with the reason.
    """
    record = path.with_suffix("") if path.suffix in (".hea", ".dat") else path
    header = read_header(record)
    most = None if seconds is None else max(1, round(seconds * header.rate))
    return _read_segments(record, header, most) if header.segments else _read_single(record, header, most)


def read_header(record: Path) -> Header:
    """Parse the header of a record (path without extension). Raises Unreadable as parse_header, or missing_header."""
    place = f"{record}.hea"
    with opened(place, "missing_header") as (file, size):
        if size > MAX_HEADER_BYTES:
            raise Unreadable("bad_header", f"{place} has {size} bytes")
        try:
            content = read(file, size).tobytes()
        except OSError as error:
            raise Unreadable("missing_header", f"{place}: {error.strerror}") from None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return parse_header(text)


def _read_single(record: Path, header: Header, most: int | None) -> Recording:
    """A record of one segment, or its first `most` frames."""
    if _is_plain(header.signals):
        return _read_plain(record.parent, header, most)
    length = header.n_samples or 0  # without a number, the check of the files refuses
    frames = length if most is None else min(length, most)
    samples = read_through_wfdb(record, header, frames)
    return Recording(
        tuple(item.lead for item in header.signals), header.rate, samples, length, None, converter_of(header.signals)
    )


def _is_plain(signals: tuple[SignalLine, ...]) -> bool:
    first = signals[0]
    same = all((item.file, item.format, item.offset) == (first.file, first.format, first.offset) for item in signals)
    return same and first.format in FORMATS and all(item.per_frame == 1 and item.skew == 0 for item in signals)


def _read_plain(folder: Path, header: Header, most: int | None) -> Recording:
    first, n_leads = header.signals[0], len(header.signals)
    converter = converter_of(header.signals)
    with opened(f"{folder}/{first.file}", "missing_signal") as (file, size):
        length = _checked_length(size - first.offset, header)
        frames = length if most is None else min(length, most)
        needed = bytes_of(first.format, frames * n_leads)
        try:
            raw = read(file, needed, first.offset)
        except OSError as error:
            raise Unreadable("unreadable_signal", f"{first.file}: {error.strerror or error}") from None
    if len(raw) < needed:
        raise Unreadable("truncated_signal", f"{first.file} gave {len(raw)} of {needed} bytes")
    digital = decode(raw, first.format, frames * n_leads).reshape(frames, n_leads)
    samples, sums = to_millivolts(digital, MISSING[first.format], *converter.scales)
    errors = _checksum_errors(sums, header) if frames == length else None
    leads = tuple(item.lead for item in header.signals)
    return Recording(leads, header.rate, samples, length, errors, converter)


def _checksum_errors(sums: npt.NDArray[np.int64], header: Header) -> int | None:
    """Leads whose sum differs from the checksum, modulo 2^16 (WFDB specification, header(5)).

    None where there is none: absent, or 0 in every lead, as programs write it that compute none.
    """
    announced = [item.checksum for item in header.signals]
    if None in announced or not any(announced):
        return None
    return int(np.count_nonzero((sums - np.array(announced, np.int64)) % 65536))


def _checked_length(held: int, header: Header) -> int:
    """Frames of a plain record of which the file holds so many bytes. Nothing is allocated before."""
    first, n_leads = header.signals[0], len(header.signals)
    if header.n_samples is None:
        length = max(values_in(first.format, held), 0) // n_leads
        if length == 0:
            raise Unreadable("zero_length", f"{first.file} is empty")
        if length * n_leads > MAX_SAMPLES:
            raise Unreadable("too_large", f"{length} samples of {n_leads} leads")
        return length
    needed = bytes_of(first.format, header.n_samples * n_leads)
    if held < needed:
        raise Unreadable("truncated_signal", f"{first.file} holds {max(held, 0)} of {needed} bytes")
    return header.n_samples


def _read_segments(record: Path, header: Header, most: int | None) -> Recording:
    """Put segments together by the names of their leads; NaN where a segment lacks a lead, or is a gap itself.

    wfdb goes by position in a record of fixed layout, and takes rate and units of the first segment for all.
    """
    length = sum(samples for _, samples in header.segments)
    if length != header.n_samples or length == 0:
        raise Unreadable("bad_header", f"{header.n_samples} samples announced, {length} in segments")
    frames = length if most is None else min(length, most)
    parts, start = [], 0
    for name, samples in header.segments:
        if name != "~" and samples and start < frames:  # without samples: the layout of the others
            parts.append((start, _segment(record.with_name(name), header, samples, frames - start)))
        start += samples
    leads = tuple(dict.fromkeys(lead for _, part in parts for lead in part.leads))
    if len(leads) > header.n_signals or not leads:
        raise Unreadable("bad_header", f"{header.n_signals} leads announced, {len(leads)} in segments")
    together = np.full((frames, len(leads)), np.nan)
    for start, part in parts:
        together[start : start + len(part.samples), [leads.index(lead) for lead in part.leads]] = part.samples
    stored = {(part.leads, part.converter) for _, part in parts}
    same = len(stored) == 1 and parts[0][1].leads == leads
    return Recording(leads, header.rate, together, length, None, parts[0][1].converter if same else None)


def _segment(record: Path, whole: Header, samples: int, most: int) -> Recording:
    header = read_header(record)
    names = {item.lead for item in header.signals}
    if header.segments or header.rate != whole.rate or not len(names) == len(header.signals) <= whole.n_signals:
        raise Unreadable("bad_header", f"segment {record.name} does not go with the record")
    part = _read_single(record, header, min(samples, most))
    if part.length < samples:
        raise Unreadable("bad_header", f"segment {record.name} is shorter than announced")
    return part
