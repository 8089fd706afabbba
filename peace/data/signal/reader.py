"""From a WFDB record on disk to millivolts.

Our own reader takes what the three cohorts consist of: one signal file, as many values a frame of each lead, formats
16, 61, 80, 160, 212, 24 and 32. Several segments are put together here too, by the names of their leads. Everything
else the WFDB specification allows (several files, leads of unequal rate, skew, differences, FLAC) goes through the wfdb
package, after the same strict reading of the header. No more is read than is asked for, however long the recording.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from peace.data.signal.converter import Converter, converter_of
from peace.data.signal.decode import FORMATS, MISSING, bytes_of, decode, values_in
from peace.data.signal.files import opened, read
from peace.data.signal.formats import SUFFIXES, refuse_other_formats
from peace.data.signal.header import MAX_SAMPLES, Header, SignalLine, parse_header
from peace.data.signal.kernel import to_millivolts
from peace.data.signal.lead_names import read_name
from peace.data.signal.unreadable import RecordRejected
from peace.data.signal.wfdb_fallback import common_frame, frames_of, read_through_wfdb

MAX_HEADER_BYTES = 1_000_000


@dataclass(frozen=True)
class Recording:
    """A recording as it was written: nothing reordered, repaired or filtered."""

    leads: tuple[str, ...]
    """Names as in the header, in its order."""
    rate: float
    """Samples per second."""
    samples: npt.NDArray[np.float64]
    """(samples, leads) in mV, NaN where the file marks a value as missing. What is no voltage is in its own units."""
    length: int
    """Samples of each lead on disk: more than `samples` has where only the beginning was read."""
    checksum_errors: int | None = None
    """Leads whose samples do not add up to the header's checksum; None where that was not looked at."""
    converter: Converter | None = None
    """How the samples were stored; None where that is not known, or differs from segment to segment."""


def read_record(path: Path, seconds: float | None = None) -> Recording:
    """Read a record, or its first `seconds`.

    `path` is the record without extension, or its .hea, .dat or .mat file. Raises RecordRejected with the reason.
    """
    record = path.with_suffix("") if path.suffix in SUFFIXES else path
    header = read_header(record)
    return _read_segments(record, header, seconds) if header.segments else _read_single(record, header, seconds)


def read_header(record: Path) -> Header:
    """Parse the header of a record (path without extension).

    Raises RecordRejected as parse_header, or missing_header.
    """
    place = f"{record}.hea"
    if not os.path.lexists(place):
        with suppress(OSError):  # a name too long, say: opening the header tells it
            refuse_other_formats(record)
    with opened(place, "missing_header") as (file, size):
        if size > MAX_HEADER_BYTES:
            raise RecordRejected("bad_header", f"{place} has {size} bytes")
        try:
            content = read(file, size).tobytes()
        except OSError as error:
            raise RecordRejected("missing_header", f"{place}: {error.strerror}") from None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return parse_header(text)


def _read_single(record: Path, header: Header, seconds: float | None) -> Recording:
    """A record of one segment, or its first `seconds`."""
    if _is_plain(header.signals):
        return _read_plain(record.parent, header, seconds)
    n_frames = frames_of(record.parent, header)
    per_frame = common_frame(header)
    rate, length = header.rate * per_frame, n_frames * per_frame
    wanted = _wanted(length, rate, seconds)
    _refuse_too_large(wanted * len(header.signals))
    samples = read_through_wfdb(record.parent, header, n_frames, -(-wanted // per_frame), per_frame)[:wanted]
    leads = tuple(item.lead for item in header.signals)
    return Recording(leads, rate, samples, length, None, converter_of(header.signals))


def _wanted(length: int, rate: float, seconds: float | None) -> int:
    return length if seconds is None else min(length, max(1, round(seconds * rate)))


def _refuse_too_large(values: int) -> None:
    if values > MAX_SAMPLES:
        raise RecordRejected("too_large", f"{values} values of all leads together; a call reads {MAX_SAMPLES} at most")


def _is_plain(signals: tuple[SignalLine, ...]) -> bool:
    first = signals[0]
    same = all(
        (item.file, item.format, item.offset, item.per_frame)
        == (first.file, first.format, first.offset, first.per_frame)
        for item in signals
    )
    return same and first.format in FORMATS and all(item.skew == 0 for item in signals)


def _read_plain(folder: Path, header: Header, seconds: float | None) -> Recording:
    first, n_leads = header.signals[0], len(header.signals)
    per_frame, rate = first.per_frame, header.rate * first.per_frame
    converter = converter_of(header.signals)
    with opened(f"{folder}/{first.file}", "missing_signal") as (file, size):
        if header.n_samples is not None and seconds is None:
            _refuse_too_large(header.n_samples * per_frame * n_leads)
        length = _checked_length(size - first.offset, header) * per_frame
        wanted = _wanted(length, rate, seconds)
        frames = -(-wanted // per_frame)
        values = frames * per_frame * n_leads
        _refuse_too_large(values)
        needed = bytes_of(first.format, values)
        try:
            raw = read(file, needed, first.offset)
        except OSError as error:
            raise RecordRejected("unreadable_signal", f"{first.file}: {error.strerror or error}") from None
    if len(raw) < needed:
        raise RecordRejected("truncated_signal", f"{first.file} gave {len(raw)} of {needed} bytes")
    # a frame holds all values of the first lead, then all of the second
    frame = decode(raw, first.format, values).reshape(frames, n_leads, per_frame).swapaxes(1, 2)
    digital = frame.reshape(-1, n_leads)[:wanted]
    samples, sums = to_millivolts(digital, MISSING[first.format], *converter.scales)
    errors = _checksum_errors(sums, header) if wanted == length else None
    leads = tuple(item.lead for item in header.signals)
    return Recording(leads, rate, samples, length, errors, converter)


def _checksum_errors(sums: npt.NDArray[np.int64], header: Header) -> int | None:
    """Leads whose sum differs from the checksum, modulo 2^16 (WFDB specification, header(5)).

    None where there is none: absent, or 0 in every lead, as programs write it that compute none, or without meaning
    because the header leaves the number of samples open.
    """
    announced = [item.checksum for item in header.signals]
    if header.n_samples is None or None in announced or not any(announced):
        return None
    ours = [read_name(item.lead) is not None for item in header.signals]  # what is not used need not be sound
    return int(np.count_nonzero(((sums - np.array(announced, np.int64)) % 65536)[ours]))


def _checked_length(held: int, header: Header) -> int:
    """Frames of a plain record of which the file holds so many bytes. Nothing is allocated before."""
    first = header.signals[0]
    frame = len(header.signals) * first.per_frame
    if header.n_samples is None:
        length = max(values_in(first.format, held), 0) // frame
        if length == 0:
            raise RecordRejected("zero_length", f"{first.file} is empty")
        return length
    needed = bytes_of(first.format, header.n_samples * frame)
    if held < needed:
        raise RecordRejected("truncated_signal", f"{first.file} holds {max(held, 0)} of {needed} bytes")
    if header.surplus:
        announced, described = len(header.signals), len(header.signals) + header.surplus
        if held == bytes_of(first.format, header.n_samples * described * first.per_frame):
            told = f"{announced} signals announced, {described} described, and {first.file} holds {described}"
            raise RecordRejected("bad_header", told)
    return header.n_samples


def _read_segments(record: Path, header: Header, seconds: float | None) -> Recording:
    """Put segments together by the names of their leads; NaN where a segment lacks a lead, or is a gap itself.

    wfdb goes by position in a record of fixed layout, and takes rate and units of the first segment for all.
    """
    length = sum(samples for _, samples in header.segments)
    if length != (header.n_samples or length) or length == 0:
        raise RecordRejected("bad_header", f"{header.n_samples} samples announced, {length} in segments")
    frames = _wanted(length, header.rate, seconds)
    _refuse_too_large(frames * header.n_signals)
    parts, start, factors = [], 0, set()
    for name, samples in header.segments:
        if name != "~" and samples and start < frames:  # without samples: the layout of the others
            part, per_frame = _segment(record.with_name(name), header, samples, (frames - start) / header.rate)
            parts.append((start, part))
            factors.add(per_frame)
        start += samples
    leads = tuple(dict.fromkeys(lead for _, part in parts for lead in part.leads))
    if len(leads) > header.n_signals or not leads:
        raise RecordRejected("bad_header", f"{header.n_signals} leads announced, {len(leads)} in segments")
    if len(factors) > 1:
        raise RecordRejected("bad_header", f"segments with {sorted(factors)} values a frame")
    factor = factors.pop()
    together = np.full((frames * factor, len(leads)), np.nan)
    for start, part in parts:
        begin = start * factor
        rows = part.samples[: len(together) - begin]
        together[begin : begin + len(rows), [leads.index(lead) for lead in part.leads]] = rows
    stored = {(part.leads, part.converter) for _, part in parts}
    same = len(stored) == 1 and parts[0][1].leads == leads
    converter = parts[0][1].converter if same else None
    return Recording(leads, header.rate * factor, together, length * factor, None, converter)


def _segment(record: Path, whole: Header, samples: int, seconds: float) -> tuple[Recording, int]:
    """A segment of so many frames, or its first `seconds`, and its values a frame."""
    header = read_header(record)
    names = {item.lead for item in header.signals}
    if header.segments or header.rate != whole.rate or not len(names) == len(header.signals) <= whole.n_signals:
        raise RecordRejected("bad_header", f"segment {record.name} does not go with the record")
    part = _read_single(record, header, min(samples / whole.rate, seconds))
    factor = round(part.rate / whole.rate)
    if part.length < samples * factor:
        raise RecordRejected("bad_header", f"segment {record.name} is shorter than announced")
    return part, factor
