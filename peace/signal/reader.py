"""From a WFDB record on disk to millivolts.

Our own reader takes what the three cohorts consist of: one signal file, one value a lead and frame, formats 16, 61,
80, 160, 212, 24 and 32. Everything else the WFDB specification allows (several files or segments, several values a
frame, skew, differences, FLAC) goes through the wfdb package, after the same strict reading of the header.
"""

from __future__ import annotations

import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from peace.signal.decode import FORMATS, MISSING, bytes_of, read_digital, values_in
from peace.signal.header import MAX_SAMPLES, UNITS_MV, Header, SignalLine, parse_header
from peace.signal.kernel import to_millivolts
from peace.signal.unreadable import Unreadable

MAX_HEADER_BYTES = 1_000_000
FALLBACK_FORMATS = frozenset({8, 310, 311, 508, 516, 524}) | FORMATS


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


def read_record(path: Path, seconds: float | None = None) -> Recording:
    """Read a record, or its first `seconds`.

    `path` is the record without extension, or its .hea file. Raises Unreadable with the reason.
    """
    record = path.with_suffix("") if path.suffix in (".hea", ".dat") else path
    header = read_header(record)
    if header.segments or not _is_plain(header.signals):
        return _through_wfdb(record, header, seconds)
    return _read_plain(record.parent, header, seconds)


def read_header(record: Path) -> Header:
    """Parse the header of a record (path without extension). Raises Unreadable as parse_header, or missing_header."""
    place = record.with_name(record.name + ".hea")
    size = _plain_size(place, "missing_header")
    if size > MAX_HEADER_BYTES:
        raise Unreadable("bad_header", f"{place} has {size} bytes")
    try:
        content = place.read_bytes()
    except OSError as error:
        raise Unreadable("missing_header", f"{place}: {error.strerror}") from None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return parse_header(text)


def _is_plain(signals: tuple[SignalLine, ...]) -> bool:
    first = signals[0]
    same = all((item.file, item.format, item.offset) == (first.file, first.format, first.offset) for item in signals)
    return same and first.format in FORMATS and all(item.per_frame == 1 and item.skew == 0 for item in signals)


def _read_plain(folder: Path, header: Header, seconds: float | None) -> Recording:
    first = header.signals[0]
    scale = np.array([item.unit_mv for item in header.signals])
    length = _checked_length(folder, header)
    frames = _frames_wanted(length, header.rate, seconds)
    n_leads = len(header.signals)
    try:
        digital = read_digital(folder / first.file, first.format, first.offset, frames * n_leads)
    except OSError as error:
        raise Unreadable("unreadable_signal", f"{first.file}: {error.strerror or error}") from None
    digital = digital.reshape(frames, n_leads)
    baseline = np.array([item.baseline for item in header.signals], np.float64)
    gain = np.array([item.gain for item in header.signals])
    samples, sums = to_millivolts(digital, MISSING[first.format], baseline, gain, scale)
    errors = _checksum_errors(sums, header) if frames == length else None
    return Recording(tuple(item.lead for item in header.signals), header.rate, samples, length, errors)


def _checksum_errors(sums: npt.NDArray[np.int64], header: Header) -> int | None:
    """Leads whose sum differs from the checksum, modulo 2^16 (WFDB specification, header(5)).

    None where there is none: absent, or 0 in every lead, as programs write it that compute none.
    """
    announced = [item.checksum for item in header.signals]
    if None in announced or not any(announced):
        return None
    return int(np.count_nonzero((sums - np.array(announced, np.int64)) % 65536))


def _checked_length(folder: Path, header: Header) -> int:
    """Frames of a plain record, after making sure that the file holds them all. Nothing is allocated before."""
    first = header.signals[0]
    n_leads = len(header.signals)
    held = _plain_size(folder / first.file, "missing_signal") - first.offset
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


def _frames_wanted(length: int, rate: float, seconds: float | None) -> int:
    return length if seconds is None else min(length, max(1, round(seconds * rate)))


def _through_wfdb(record: Path, header: Header, seconds: float | None) -> Recording:
    length = _announced_length(record, header)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wfdb

        try:
            read: Any = wfdb.rdrecord(str(record), sampto=_frames_wanted(length, header.rate, seconds))
        except Exception as error:
            raise Unreadable("unreadable_signal", f"{type(error).__name__}: {error}"[:300]) from None
    if read.p_signal is None or read.p_signal.ndim != 2:
        raise Unreadable("unreadable_signal", "no samples came out")
    samples = np.asarray(read.p_signal, np.float64)
    if header.signals:  # wfdb drops what is not ASCII: it reads µV as V
        leads = [item.lead for item in header.signals]
        scale = [item.unit_mv for item in header.signals]
    else:
        leads = [name or "" for name in read.sig_name]
        unknown = sorted({str(unit) for unit in read.units} - set(UNITS_MV))
        if unknown:
            raise Unreadable("unknown_units", ", ".join(unknown))
        scale = [UNITS_MV[unit] for unit in read.units]
    return Recording(tuple(leads), header.rate, samples * np.array(scale), length)


def _announced_length(record: Path, header: Header) -> int:
    """Length of a record for wfdb, after checks that bound what wfdb may allocate and open."""
    if header.n_samples is None:
        raise Unreadable("bad_header", "no number of samples in a header of several files, segments or values a frame")
    for name, samples in header.segments:
        if name == "~":
            continue
        part = read_header(record.with_name(name))
        if part.segments:
            raise Unreadable("bad_header", f"segment {name} consists of segments")
        if samples and part.n_samples is not None and part.n_samples < samples:
            raise Unreadable("bad_header", f"segment {name} is shorter than announced")
        if samples:
            _check_files(record.parent, part)
    if header.signals:
        _check_files(record.parent, header)
    return header.n_samples


def _check_files(folder: Path, header: Header) -> None:
    by_file: dict[str, list[SignalLine]] = {}
    for item in header.signals:
        if item.format not in FALLBACK_FORMATS:
            raise Unreadable("unsupported_format", f"WFDB format {item.format}")
        if item.skew > (header.n_samples or 0):
            raise Unreadable("bad_header", f"skew of {item.skew} samples")
        by_file.setdefault(item.file, []).append(item)
    for name, items in by_file.items():
        size = _plain_size(folder / name, "missing_signal")
        if len({(item.format, item.offset) for item in items}) > 1:
            raise Unreadable("bad_header", f"several formats in {name}")
        frame = sum(item.per_frame for item in items)
        if items[0].format in FORMATS and header.n_samples is not None:
            needed = bytes_of(items[0].format, header.n_samples * frame) + items[0].offset
            if size < needed:
                raise Unreadable("truncated_signal", f"{name} holds {size} of {needed} bytes")


def _plain_size(path: Path, reason: str) -> int:
    """Size of a plain file: a pipe or a device would block or never end."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise Unreadable(reason, f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable(reason, f"{path} is not a plain file")
    return status.st_size
