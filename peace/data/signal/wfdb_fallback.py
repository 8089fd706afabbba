"""What our own reader does not decode goes through the wfdb package, after checks that bound what wfdb reads."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from peace.data.signal.decode import FORMATS, bytes_of
from peace.data.signal.files import plain_size
from peace.data.signal.header import Header, SignalLine
from peace.data.signal.unreadable import Unreadable

FALLBACK_FORMATS = frozenset({8, 310, 311, 508, 516, 524}) | FORMATS


def read_through_wfdb(record: Path, header: Header, frames: int) -> npt.NDArray[np.float64]:
    """The first `frames` of a record of one segment: (frames, leads) in mV, NaN where a value is missing.

    Raises Unreadable with the reason.
    """
    _check_files(record.parent, header)
    read = _wfdb(record, frames, smooth=True)
    samples = None if read.p_signal is None else np.asarray(read.p_signal, np.float64)
    if samples is None or samples.shape != (frames, len(header.signals)):
        raise Unreadable("unreadable_signal", "not the samples that the header announces")
    if any(item.per_frame > 1 for item in header.signals):
        _mark_gaps(samples, _wfdb(record, frames, smooth=False).e_p_signal, header)
    # the header's units as we read them: wfdb drops what is not ASCII, and reads µV as V
    scaled: npt.NDArray[np.float64] = samples * np.array([item.unit_mv for item in header.signals])
    return scaled


def _wfdb(record: Path, frames: int, smooth: bool) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wfdb

        try:
            return wfdb.rdrecord(str(record), sampto=frames, smooth_frames=smooth)
        except Exception as error:
            raise Unreadable("unreadable_signal", f"{type(error).__name__}: {error}"[:300]) from None


def _mark_gaps(samples: npt.NDArray[np.float64], expanded: Any, header: Header) -> None:
    """Several values a frame: wfdb averages them, and takes the code for a missing value as one of them."""
    for lead, item in enumerate(header.signals):
        missing = np.isnan(np.asarray(expanded[lead], np.float64)).reshape(-1, item.per_frame).any(axis=1)
        samples[missing, lead] = np.nan


def _check_files(folder: Path, header: Header) -> None:
    if header.n_samples is None:
        raise Unreadable("bad_header", "no number of samples in a header of several files or values a frame")
    by_file: dict[str, list[SignalLine]] = {}
    for item in header.signals:
        if item.format not in FALLBACK_FORMATS:
            raise Unreadable("unsupported_format", f"WFDB format {item.format}")
        if item.skew > header.n_samples:
            raise Unreadable("bad_header", f"skew of {item.skew} samples")
        by_file.setdefault(item.file, []).append(item)
    for name, items in by_file.items():
        size = plain_size(folder / name, "missing_signal")
        if len({(item.format, item.offset) for item in items}) > 1:
            raise Unreadable("bad_header", f"several formats in {name}")
        frame = sum(item.per_frame for item in items)
        if items[0].format in FORMATS:
            needed = bytes_of(items[0].format, header.n_samples * frame) + items[0].offset
            if size < needed:
                raise Unreadable("truncated_signal", f"{name} holds {size} of {needed} bytes")
