"""What our own reader does not decode goes through the wfdb package, after checks that bound what wfdb reads.

wfdb is given a header that we write from what we read, beside links to the signal files: so it cannot read the header
in another way than we do.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from peace.data.signal.decode import FORMATS, bytes_of, values_in
from peace.data.signal.files import plain_file
from peace.data.signal.header import Header, SignalLine
from peace.data.signal.lead_names import read_name
from peace.data.signal.unreadable import RecordRejected

FALLBACK_FORMATS = frozenset({8, 310, 311, 508, 516, 524}) | FORMATS
PREFIX = "peace-wfdb-"
"""Of the folders in which headers are written for wfdb."""


def common_frame(header: Header) -> int:
    """Values a frame of the leads where all have as many, 1 where they differ. Signals besides them do not count."""
    leads = [item for item in header.signals if read_name(item.lead)] or header.signals
    counts = {item.per_frame for item in leads}
    return counts.pop() if len(counts) == 1 else 1


def frames_of(folder: Path, header: Header) -> int:
    """Frames of a record of one segment whose files lie in `folder`, by the header, or else by the files.

    Raises RecordRejected where a file cannot hold them.
    """
    held = [_frames_held(folder / name, items, header.n_samples) for name, items in _by_file(header).items()]
    known = [frames for frames in held if frames is not None]
    found = min(known, default=None) if header.n_samples is None else header.n_samples
    if found is None:
        raise RecordRejected("bad_header", "no number of samples, and a format whose files do not tell it")
    if found == 0:
        raise RecordRejected("zero_length", "the signal files are empty")
    for item in header.signals:
        if item.skew > found:
            raise RecordRejected("bad_header", f"skew of {item.skew} samples")
    return found


def _frames_held(place: Path, items: Sequence[SignalLine], announced: int | None) -> int | None:
    """Whole frames in a file with these signals; None for a format that does not tell."""
    first, frame = items[0], sum(item.per_frame for item in items)
    if len({(item.format, item.offset) for item in items}) > 1:
        raise RecordRejected("bad_header", f"several formats in {place.name}")
    if first.format not in FALLBACK_FORMATS:
        raise RecordRejected("unsupported_format", f"WFDB format {first.format}")
    size = max(plain_file(place, "missing_signal")[1] - first.offset, 0)
    if first.format not in FORMATS:
        return None
    if announced is not None and size < (needed := bytes_of(first.format, announced * frame)):
        raise RecordRejected("truncated_signal", f"{place.name} holds {size} of {needed} bytes")
    return values_in(first.format, size) // frame


def read_through_wfdb(
    folder: Path, header: Header, n_frames: int, frames: int, per_frame: int
) -> npt.NDArray[np.float64]:
    """The first `frames` of a record of `n_frames`: (frames * per_frame, leads) in mV, NaN where a value is missing.

    A signal with another number of values a frame than `per_frame` is averaged over each frame, and repeated.
    Raises RecordRejected with the reason.
    """
    with tempfile.TemporaryDirectory(prefix=PREFIX) as place:
        _write_header(Path(place), folder, header, n_frames)
        columns = _read(Path(place) / "r", frames)
    counts = [item.per_frame * frames for item in header.signals]
    if columns is None or [len(column) for column in columns] != counts:
        raise RecordRejected("unreadable_signal", "not the samples that the header announces")
    samples = np.empty((frames * per_frame, len(columns)))
    for at, (item, column) in enumerate(zip(header.signals, columns, strict=True)):
        values = column
        if item.per_frame != per_frame:  # a frame with a missing value is missing: NaN carries through the mean
            steps = np.rint(column * item.gain + item.baseline).reshape(-1, item.per_frame)
            averages = np.trunc(steps.mean(axis=1))  # in whole steps, as wfdb averages
            values = np.repeat((averages - item.baseline) / item.gain, per_frame)
        samples[:, at] = values * item.unit_mv
    return samples


def _write_header(place: Path, folder: Path, header: Header, n_frames: int) -> None:
    """Write r.hea, with links to the signal files; units are left to us, since wfdb drops what is not ASCII."""
    numbers = {name: number for number, name in enumerate(_by_file(header))}
    for name, number in numbers.items():
        os.symlink(plain_file(folder / name, "missing_signal")[0], place / f"{number}.dat")
    lines = [f"r {len(header.signals)} {header.rate!r} {n_frames}"]
    for item, initial in zip(header.signals, header.initial, strict=True):
        form = f"{item.format}x{item.per_frame}:{item.skew}+{item.offset}"
        lines.append(f"{numbers[item.file]}.dat {form} {item.gain!r}({item.baseline})/mV 0 0 {initial} 0 0")
    (place / "r.hea").write_text("\n".join(lines) + "\n", encoding="ascii")


def _read(record: Path, frames: int) -> Sequence[npt.NDArray[np.float64]] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wfdb

        try:
            found = wfdb.rdrecord(str(record), sampto=frames, smooth_frames=False).e_p_signal
        except Exception as error:
            raise RecordRejected("unreadable_signal", f"{type(error).__name__}: {error}"[:300]) from None
    return None if found is None else [np.asarray(column, np.float64) for column in found]


def _by_file(header: Header) -> dict[str, list[SignalLine]]:
    found: dict[str, list[SignalLine]] = {}
    for item in header.signals:
        found.setdefault(item.file, []).append(item)
    return found
