"""WFDB records written directly: format 16, header and checksums as the standard asks (WFDB header(5), signal(5))."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def write_record(
    folder: Path,
    name: str,
    rate: int,
    leads: Sequence[str],
    digital: np.ndarray,
    gains: Sequence[str],
    start: str = "",
    comments: Sequence[str] = (),
) -> None:
    """Write folder/name.dat and .hea from (leads, T) int16; a gain is text such as `200.0(0)/mV`.

    The header comes last, so that a record with a header is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.dat").write_bytes(np.ascontiguousarray(digital.T, dtype="<i2").tobytes())
    sums = digital.sum(axis=1, dtype=np.int64) % 65536
    lines = [f"{name} {len(leads)} {rate} {digital.shape[1]}{' ' + start if start else ''}"]
    lines += [
        f"{name}.dat 16 {gain} 16 0 {row[0]} {total} 0 {lead}"
        for lead, gain, row, total in zip(leads, gains, digital, sums, strict=True)
    ]
    lines += [f"# {comment}" for comment in comments]
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n", encoding="utf-8")


def to_digital(millivolts: np.ndarray, per_mv: float) -> np.ndarray:
    """(leads, T) int16 at a common gain; the extremes stay clear of -32768, which WFDB reads as missing."""
    return np.clip(np.rint(millivolts * np.float32(per_mv)), -32767, 32767).astype(np.int16)


def fitted(millivolts: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Use each lead's whole 16-bit range: digital (leads, T) and gains with a float factor and a baseline (as ZZU)."""
    low, high = millivolts.min(axis=1), millivolts.max(axis=1)
    gain = 65000.0 / np.maximum(high - low, 1e-3).astype(np.float64)
    baseline = -np.rint((high + low) / 2 * gain).astype(np.int64)
    digital = np.rint(millivolts * gain[:, None] + baseline[:, None])
    texts = [f"{factor!r}({zero})/mV" for factor, zero in zip(gain.tolist(), baseline.tolist(), strict=True)]
    return np.clip(digital, -32767, 32767).astype(np.int16), texts
