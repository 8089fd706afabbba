"""Small WFDB records for tests: an ECG-like signal, written byte by byte so that every field can be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from peace.data.signal import RecordRejected, read_record

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
LIMITS = {16: 2**15, 61: 2**15, 160: 2**15, 80: 2**7, 212: 2**11, 24: 2**23, 32: 2**31}
"""By format, the size of the lowest value, which stands for a missing one."""
SCALE = {"mV": 1.0, "uV": 1e-3, "V": 1e3}
ALIGNED = {16: "<i2", 61: ">i2", 32: "<i4"}


def heartbeats(n_samples: int, rate: float, leads: Sequence[str] = LEADS, seed: int = 0) -> npt.NDArray[np.float64]:
    """(samples, leads) in mV: narrow QRS and T waves at 75 a minute, consistent limb leads, a little noise."""
    generator = np.random.default_rng(seed)
    phase = (np.arange(n_samples) / rate) % 0.8
    beat = np.exp(-(((phase - 0.3) / 0.012) ** 2)) + 0.25 * np.exp(-(((phase - 0.55) / 0.04) ** 2))
    one, two = 0.6 * beat, 1.0 * beat
    limb = {"I": one, "II": two, "III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    chest = {f"V{k}": (0.2 * k - 0.7) * beat for k in range(1, 7)}
    known = limb | chest
    noise = generator.normal(0, 0.005, (n_samples, len(leads)))
    return np.stack([known[name] for name in leads], axis=1) + noise


def p_waves(n_samples: int, rate: float) -> npt.NDArray[np.float64]:
    """(samples, 12) in mV: what `heartbeats` lacks, upright in I, II, aVF and the chest leads."""
    phase = (np.arange(n_samples) / rate) % 0.8
    one, two = 0.08, 0.12
    heights = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2, *[0.06] * 6]
    return np.outer(np.exp(-(((phase - 0.14) / 0.025) ** 2)), heights)


def exchange_arms(millivolts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(samples, 12) in mV as it is recorded with the electrodes of the arms exchanged."""
    turned = millivolts[:, [0, 2, 1, 4, 3, *range(5, 12)]]
    turned[:, 0] *= -1
    return turned


def packed(digital: npt.NDArray[np.int64], form: int) -> bytes:
    """Bytes of integers (any shape, C order) in a WFDB format."""
    flat = digital.reshape(-1)
    if form in ALIGNED:
        return flat.astype(ALIGNED[form]).tobytes()
    if form == 80:
        return (flat + 128).astype("u1").tobytes()
    if form == 160:
        return (flat + 32768).astype("<u2").tobytes()
    if form == 24:
        return flat.astype("<i4").view("u1").reshape(-1, 4)[:, :3].tobytes()
    assert form == 212
    pairs = np.concatenate([flat, np.zeros(len(flat) % 2, flat.dtype)]).reshape(-1, 2) & 0xFFF
    triplets = np.stack([pairs[:, 0] & 0xFF, pairs[:, 0] >> 8 | pairs[:, 1] >> 8 << 4, pairs[:, 1] & 0xFF], axis=1)
    return triplets.astype("u1").tobytes()


def write_digital(
    record: Path,
    digital: npt.NDArray[np.int64],
    leads: Sequence[str],
    rate: str = "500",
    form: int = 16,
    gains: Sequence[str] = ("1000.0(0)/mV",),
    offset: int = 0,
) -> Path:
    """Write integers (samples, leads) and their header; returns the record's path without extension."""
    n_samples, n_leads = digital.shape
    record.parent.mkdir(parents=True, exist_ok=True)
    record.with_name(record.name + ".dat").write_bytes(b"\x07" * offset + packed(digital, form))
    lines = [f"{record.name} {n_leads} {rate} {n_samples}"]
    for index, lead in enumerate(leads):
        start = f"+{offset}" if offset else ""
        lines.append(f"{record.name}.dat {form}{start} {gains[index % len(gains)]} 16 0 0 0 0 {lead}")
    record.with_name(record.name + ".hea").write_text("\n".join(lines) + "\n")
    return record


def write_record(
    record: Path,
    seconds: float = 10.0,
    rate: float = 500,
    leads: Sequence[str] = LEADS,
    names: Sequence[str] | None = None,
    millivolts: npt.NDArray[np.float64] | None = None,
    seed: int = 0,
) -> Path:
    """Write heartbeats (or the given (samples, leads) mV, NaN as missing) in format 16 at 1000 a millivolt."""
    if millivolts is None:
        millivolts = heartbeats(round(seconds * rate), rate, leads, seed)
    digital = np.where(np.isnan(millivolts), -32768, np.rint(millivolts * 1000)).astype(np.int64)
    return write_digital(record, digital, names or leads, f"{rate:g}")


def refusal(record: Path) -> str:
    """The reason for which a record is not read."""
    with pytest.raises(RecordRejected) as caught:
        read_record(record)
    return caught.value.reason


def edit_header(record: Path, old: str, new: str, count: int = -1) -> None:
    """Replace text in the header of a record; it must be there."""
    header = record.with_suffix(".hea")
    text = header.read_text()
    assert old in text
    header.write_text(text.replace(old, new, count))
