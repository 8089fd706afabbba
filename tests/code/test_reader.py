"""Our reader gives what wfdb gives, and refuses what it cannot vouch for, with the reason."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wfdb_files import LEADS, LIMITS, SCALE, edit_header, heartbeats, packed, refusal, write_digital, write_record

from peace.data.signal import REASONS, RecordRejected, read_record
from peace.data.signal.header import MAX_SAMPLES

GAIN = st.one_of(
    st.floats(0.5, 1e6).map(repr), st.integers(1, 10**6).map(str), st.just("0"), st.floats(-2e3, -0.5).map(repr)
)
BASELINE = st.one_of(st.just(""), st.integers(-(2**20), 2**20).map(lambda value: f"({value})"))
UNITS = st.sampled_from(["", "/mV", "/uV", "/V"])


@st.composite
def generated(draw: st.DrawFn) -> tuple[int, np.ndarray, bytes]:
    """A format, integers (samples, leads), and a header for them in any of the ways in which headers are written.

    Each optional field may be the last; the record's file is r.dat, after `offset` bytes.
    """
    form, offset = draw(st.sampled_from(sorted(LIMITS))), draw(st.sampled_from([0, 0, 1, 24]))
    n_leads, n_samples = draw(st.integers(1, 13)), draw(st.integers(1, 40))
    random, limit = np.random.default_rng(draw(st.integers(0, 2**32 - 1))), LIMITS[form]
    digital = random.integers(-limit, limit, (n_samples, n_leads))
    digital[random.random(digital.shape) < 0.1] = -limit  # missing samples
    rate = draw(st.sampled_from([" 500", " 250", " 360.5", " 1000/5", " 128/64(3)"]))
    length = draw(st.sampled_from([f" {n_samples}", f" {n_samples} 10:20:30", f" {n_samples} 1:2:3.5 01/12/2019", ""]))
    lines = [f"r {n_leads}{rate}{length}"]
    for lead in range(n_leads):
        fields = [f"r.dat {form}" + (f"+{offset}" if offset else ""), draw(GAIN) + draw(BASELINE) + draw(UNITS)]
        zero = draw(st.integers(-(2**14), 2**14))
        fields += ["16", str(zero), "-3", "77", "0", f"lead {lead}"]
        lines.append(draw(st.sampled_from([" ", "  ", "\t"])).join(fields[: draw(st.integers(1, 8))]))
    for _ in range(draw(st.integers(0, 2))):
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(["# age: 5", "#", ""])))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = end.join(lines) + draw(st.sampled_from([end, ""]))
    return form, digital, offset, text.encode()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=generated())
def test_equals_wfdb_on_generated_records(tmp_path: Path, case: tuple[int, np.ndarray, int, bytes]) -> None:
    form, digital, offset, header = case
    record = tmp_path / "r"
    record.with_suffix(".dat").write_bytes(b"\x07" * offset + packed(digital, form))
    record.with_suffix(".hea").write_bytes(header)

    ours, theirs = read_record(record), wfdb.rdrecord(str(record))

    assert list(ours.leads) == [name or "" for name in theirs.sig_name]
    assert ours.rate == theirs.fs
    expected = theirs.p_signal * [SCALE[unit] for unit in theirs.units]
    # without a number of samples, bytes left over in the last byte triplets of format 212 may make one more
    expected = expected[: len(digital)]
    assert len(ours.samples) in (len(digital), len(digital) + (form == 212))
    mine = ours.samples[: len(digital)]
    assert np.array_equal(np.isnan(mine), np.isnan(expected))
    np.testing.assert_allclose(mine, expected, rtol=1e-14, atol=1e-9)


def test_float_gain_and_baseline_of_each_lead(tmp_path: Path) -> None:
    """ZZU-pECG writes gains such as 42444.15189873418(-13120)/mV."""
    digital = np.array([[-13120, 0], [29324, 100], [-32768, -100]])
    record = write_digital(tmp_path / "r", digital, ("I", "II"), gains=("42444.15189873418(-13120)/mV", "200/mV"))
    samples = read_record(record).samples
    np.testing.assert_allclose(samples[:2, 0], [0, 42444 / 42444.15189873418], atol=1e-12)
    assert np.isnan(samples[2, 0])
    np.testing.assert_allclose(samples[:, 1], [0, 0.5, -0.5])


def test_reads_only_the_beginning_when_asked(tmp_path: Path) -> None:
    record = write_record(tmp_path / "r", seconds=60)
    recording = read_record(record, seconds=15)
    assert recording.samples.shape == (7500, 12)
    assert recording.length == 30000
    np.testing.assert_array_equal(recording.samples, read_record(record).samples[:7500])


def test_checksum_finds_a_flipped_bit(tmp_path: Path) -> None:
    wfdb.wrsamp("r", 500, ["mV"] * 12, list(LEADS), heartbeats(5000, 500), fmt=["16"] * 12, write_dir=str(tmp_path))
    record = tmp_path / "r"
    assert read_record(record).checksum_errors == 0
    assert read_record(record, seconds=5).checksum_errors is None
    data = bytearray(record.with_suffix(".dat").read_bytes())
    data[2 * 12 * 777 + 9] ^= 4
    record.with_suffix(".dat").write_bytes(data)
    assert read_record(record).checksum_errors == 1
    assert read_record(write_record(tmp_path / "zeros")).checksum_errors is None  # a header of zeros announces none


def test_micro_sign_is_micro(tmp_path: Path) -> None:
    """wfdb drops what is not ASCII, and reads µV as V: a factor of a million."""
    digital = np.array([[1500]])
    for sign in "µμ":
        record = write_digital(tmp_path / "r", digital, ("I",), gains=(f"1/{sign}V",))
        assert read_record(record).samples[0, 0] == pytest.approx(1.5)
    record.with_suffix(".hea").write_bytes("r 1 500 1\nr.dat 16 1/µV 16 0 0 0 0 I\n".encode("latin-1"))
    assert read_record(record).samples[0, 0] == pytest.approx(1.5)


def test_missing_and_truncated_files(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nothing") == "missing_header"
    record = write_record(tmp_path / "r")
    data = record.with_suffix(".dat")
    content = data.read_bytes()
    data.write_bytes(content[:-1])
    assert refusal(record) == "truncated_signal"
    data.write_bytes(content + b"more")  # bytes after the announced samples are nobody's loss
    assert read_record(record).samples.shape == (5000, 12)
    data.unlink()
    assert refusal(record) == "missing_signal"
    os.mkfifo(data)  # must not wait for a writer
    assert refusal(record) == "missing_signal"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("r 12 500 5000", "", "bad_header"),
        ("r 12 500 5000", "r 11 500 5000", "bad_header"),
        ("r 12 500 5000", "r 12 0 5000", "bad_header"),
        ("r 12 500 5000", "r 12 nan 5000", "bad_header"),
        ("r 12 500 5000", "r 12 500 -5000", "bad_header"),
        ("r 12 500 5000", "r 12 500 999999999999", "too_large"),
        ("r 12 500 5000", "r 99999999999 500 5000", "bad_header"),
        ("r 12 500 5000", "r 12 500 5001", "truncated_signal"),
        ("1000.0(0)/mV", "NaN(0)/mV", "bad_header"),
        ("1000.0(0)/mV", "1e-300(0)/mV", "bad_header"),
        ("1000.0(0)/mV", "1000.0(0/mV", "bad_header"),
        ("1000.0(0)/mV", "1000.0(0)/mmHg", "unknown_units"),
        ("r.dat 16 ", "r.dat 999 ", "unsupported_format"),
        ("r.dat 16 ", "r.dat x ", "bad_header"),
        ("r.dat 16 ", "r.dat 16x99999999 ", "bad_header"),
        ("r.dat 16 ", "r.dat 16:999999999999 ", "bad_header"),
        ("r.dat 16 ", "r.dat 16+999999999999 ", "truncated_signal"),
        ("r.dat 16 ", "../r.dat 16 ", "outside_root"),
        ("r.dat 16 ", "/etc/passwd 16 ", "outside_root"),
        ("r.dat 16 ", "..\\r.dat 16 ", "outside_root"),
        ("r.dat 16 ", "gone.dat 16 ", "missing_signal"),
        ("r 12 500 5000", "r/9999999 12 500 5000", "bad_header"),
    ],
)
def test_reason_of_each_broken_header(tmp_path: Path, old: str, new: str, reason: str) -> None:
    record = write_record(tmp_path / "r")
    edit_header(record, old, new)
    tracemalloc.start()
    assert refusal(record) == reason
    assert tracemalloc.get_traced_memory()[1] < 20e6  # nothing is allocated on the word of a header
    tracemalloc.stop()


def test_odd_gain_in_one_lead_only_is_noticed(tmp_path: Path) -> None:
    """wfdb would read the sixth lead with its default gain of 200, in silence."""
    record = write_record(tmp_path / "r")
    lines = record.with_suffix(".hea").read_text().splitlines()
    lines[6] = lines[6].replace("1000.0(0)/mV", "gain=1000/mV")
    record.with_suffix(".hea").write_text("\n".join(lines))
    assert refusal(record) == "bad_header"


def test_length_from_the_file_where_the_header_has_none(tmp_path: Path) -> None:
    record = write_record(tmp_path / "r")
    edit_header(record, "r 12 500 5000", "r 12 500")
    assert read_record(record).samples.shape == (5000, 12)
    record.with_suffix(".dat").write_bytes(b"")
    assert refusal(record) == "zero_length"
    with record.with_suffix(".dat").open("wb") as stream:
        stream.truncate(MAX_SAMPLES * 2 + 24)  # sparse: takes no disk
    assert refusal(record) == "too_large"
    assert read_record(record, seconds=15).samples.shape == (7500, 12)


def write_kinds(place: Path) -> list[tuple[Path, Path]]:
    """A plain record, one in two segments, one in two files, one in FLAC: (record, file to damage)."""
    plain = write_record(place / "plain", seconds=1)
    parts = [write_record(place / f"part_{number}", seconds=1) for number in (1, 2)]
    (place / "whole.hea").write_text("whole/2 12 500 1000\npart_1 500\npart_2 500\n")
    limb, chest = write_record(place / "limb", 1, leads=LEADS[:6]), write_record(place / "chest", 1, leads=LEADS[6:])
    lines = [line for part in (limb, chest) for line in part.with_suffix(".hea").read_text().splitlines()[1:]]
    skewed = [line.replace(".dat 16 ", ".dat 16x1:3 ") for line in lines]
    (place / "both.hea").write_text("\n".join(["both 12 500 500", *skewed]))
    wfdb.wrsamp(
        "flac", 500, ["mV"] * 12, list(LEADS), heartbeats(500, 500), fmt=["516"] * 12, write_dir=str(place)
    )  # fmt: skip
    whole, both, flac = place / "whole", place / "both", place / "flac"
    sound = flac.with_suffix(".hea").read_text().splitlines()[1].split()[0]
    headers = [(record, record.with_suffix(".hea")) for record in (plain, whole, both, flac)]
    return [
        *headers, (plain, plain.with_suffix(".dat")), (whole, parts[1].with_suffix(".hea")),
        (both, chest.with_suffix(".dat")), (flac, place / sound),
    ]  # fmt: skip


def damage(content: bytes, generator: np.random.Generator) -> bytes:
    """Flip, remove, double, cut or put in, up to three times."""
    words = [b"../", b"-", b"/", b" ", b"\n", b"e9", b":99999", b"x64", b"+4", b"#", b"~", b"999999", b"\0"]
    damaged = bytearray(content)
    for _ in range(generator.integers(1, 4)):
        place = int(generator.integers(len(damaged) + 1))
        kind = generator.integers(5)
        if kind == 0 and place < len(damaged):
            damaged[place] ^= 1 << int(generator.integers(8))
        elif kind == 1:
            del damaged[place : place + int(generator.integers(1, 40))]
        elif kind == 2:
            damaged[place:place] = damaged[place : place + 5]
        elif kind == 3:
            del damaged[place:]
        else:
            damaged[place:place] = words[int(generator.integers(len(words)))]
    return bytes(damaged)


def test_random_damage_is_read_or_refused(tmp_path: Path) -> None:
    """1,000 damaged files: a recording or a reason, never another exception, never a wait, never much memory."""
    generator = np.random.default_rng(0)
    kinds = write_kinds(tmp_path)
    whole = {file: file.read_bytes() for _, file in kinds}
    for record, _ in kinds:
        assert len(read_record(record).leads) == 12
    outcomes = Counter()
    tracemalloc.start()
    for number in range(1000):
        record, file = kinds[number % len(kinds)]
        file.write_bytes(damage(whole[file], generator))
        started = time.perf_counter()
        try:
            read_record(record)
            outcomes["read"] += 1
        except RecordRejected as refused:
            outcomes[refused.reason] += 1
        assert time.perf_counter() - started < 10
        file.write_bytes(whole[file])
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()
    assert set(outcomes) <= {"read", *REASONS}
    assert {"read", "bad_header", "truncated_signal", "missing_signal", "outside_root"} <= set(outcomes)


@pytest.mark.real
def test_real_recordings_equal_wfdb(real_data: Path) -> None:
    headers = (
        sorted(real_data.glob("zzu/Child_ecg/*/*/*.hea")) + sorted(real_data.glob("ptbxl/records500/*/*.hea"))[:20]
    )
    assert len(headers) >= 20
    for header in headers:
        ours, theirs = read_record(header), wfdb.rdrecord(str(header.with_suffix("")))
        assert (list(ours.leads), ours.rate) == (theirs.sig_name, theirs.fs)
        np.testing.assert_allclose(ours.samples, theirs.p_signal, atol=1e-9, rtol=0)
