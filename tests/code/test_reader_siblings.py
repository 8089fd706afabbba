"""Headers as other programs write them, long recordings, links, and paths that are no record."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import wfdb
from wfdb_files import LEADS, edit_header, heartbeats, packed, refusal, write_digital, write_record

from peace.data.signal import RecordRejected, read_header, read_record
from peace.data.signal.files import allow_links

CHANGES = {
    "mark": lambda text: b"\xef\xbb\xbf" + text,
    "ctrl_z": lambda text: text + b"\x1a",
    "ctrl_z_padded": lambda text: text + b"\r\n\x1a" + b"\0" * 40,
    "ctrl_z_at_once": lambda text: text.rstrip() + b"\x1a",
    "cp1252": lambda text: text + b"#child\x85 I 3 V\n",
    "line_separator": lambda text: text + "#a\u2028b\u2029c\u0085d\n".encode(),
    "comment_first": lambda text: b"# a\x0cb\x0bc\x1cd\n" + text,
    "old_mac": lambda text: text.replace(b"\n", b"\r"),
    "doubled": lambda text: text.replace(b"\n", b"\r\r\n"),
    "more_lines": lambda text: text + b"r.dat 16 1000/mV 16 0 0 0 0 V7\nnot a line of any kind\n",
    "mat": lambda text: text.replace(b"r 12 500 5000", b"r.mat 12 500 5000 05-May-2020 09:49:17"),
    "afternoon": lambda text: text.replace(b"500 5000", b"500 5000 9:49:17 PM 05/05/2020"),
    "date_words": lambda text: text.replace(b"500 5000", b"500 5000 09:49:17.123 5 May 2020 UTC"),
    "none": lambda text: text.replace(b"500 5000", b"500 0"),
    "none_timed": lambda text: text.replace(b"500 5000", b"500 0 10:00:00"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_header_in_another_hand_is_the_same_header(tmp_path: Path, change: str) -> None:
    record = write_record(tmp_path / "r")
    whole = wfdb.rdrecord(str(record)).p_signal
    record.with_suffix(".hea").write_bytes(CHANGES[change](record.with_suffix(".hea").read_bytes()))
    found = read_record(record)
    assert (found.leads, found.rate, found.length) == (LEADS, 500, 5000)
    np.testing.assert_allclose(found.samples, whole, atol=1e-9)
    assert read_header(record).record == "r"


def test_a_number_that_the_file_contradicts_is_no_surplus(tmp_path: Path) -> None:
    """Eleven announced, twelve described, twelve in the file: read as eleven, every value would be another lead's."""
    record = write_record(tmp_path / "r")
    edit_header(record, "r 12 500", "r 11 500")
    assert refusal(record) == "bad_header"
    edit_header(record, "r 11 500", "r 13 500")
    assert refusal(record) == "bad_header"


def test_no_checksum_without_a_number_of_samples(tmp_path: Path) -> None:
    wfdb.wrsamp("r", 500, ["mV"] * 12, list(LEADS), heartbeats(500, 500), fmt=["16"] * 12, write_dir=str(tmp_path))
    assert read_record(tmp_path / "r").checksum_errors == 0
    edit_header(tmp_path / "r", "r 12 500 500", "r 12 500 0")
    assert read_record(tmp_path / "r").checksum_errors is None


@pytest.mark.parametrize("per_frame", [1, 2, 500, 1000])
def test_frames_as_edf_has_them(tmp_path: Path, per_frame: int) -> None:
    """All values of a frame of one lead, then of the next: the rate is that of the values, as wfdb expands them."""
    digital = np.random.default_rng(0).integers(-2000, 2000, (3, 12, per_frame))
    (tmp_path / "r.dat").write_bytes(packed(digital, 16))
    lines = [f"r.dat 16x{per_frame} 1000/mV 16 0 0 0 0 {lead}\n" for lead in LEADS]
    (tmp_path / "r.hea").write_text(f"r 12 1 3\n{''.join(lines)}")
    found, theirs = read_record(tmp_path / "r"), wfdb.rdrecord(str(tmp_path / "r"), smooth_frames=False)
    assert (found.rate, found.length) == (per_frame, 3 * per_frame)
    np.testing.assert_allclose(found.samples, np.stack(theirs.e_p_signal, axis=1), atol=1e-9)
    begin = read_record(tmp_path / "r", seconds=1.5)
    np.testing.assert_array_equal(begin.samples, found.samples[: max(1, round(1.5 * per_frame))])


def test_an_extra_signal_of_another_rate_does_not_average_the_leads(tmp_path: Path) -> None:
    digital = np.random.default_rng(0).integers(-2000, 2000, (4, 12 * 500 + 25))
    (tmp_path / "r.dat").write_bytes(packed(digital, 16))
    lines = [f"r.dat 16x500 1000/mV 16 0 0 0 0 {lead}\n" for lead in LEADS]
    (tmp_path / "r.hea").write_text(f"r 13 1 4\n{''.join(lines)}r.dat 16x25 10/Ohm 16 0 0 0 0 RESP\n")
    found, theirs = read_record(tmp_path / "r"), wfdb.rdrecord(str(tmp_path / "r"), smooth_frames=False)
    assert (found.rate, found.samples.shape) == (500, (2000, 13))
    np.testing.assert_allclose(found.samples[:, :12], np.stack(theirs.e_p_signal[:12], axis=1), atol=1e-9)


def write_long(place: Path, form: str, minutes: int = 60) -> Path:
    """An hour of twelve leads at 500 Hz, ten seconds of it written out, the rest a hole in the file."""
    size = minutes * 60 * 500
    digital = np.rint(heartbeats(5000, 500) * 1000).astype(np.int64)
    files = ["limb.dat"] * 6 + ["chest.dat"] * 6 if form == "files" else ["r.dat"] * 12
    code = {"files": 16, "skewed": 16}.get(form, form)
    skew = ":2" if form == "skewed" else ""
    for name in set(files):
        columns = [at for at, file in enumerate(files) if file == name]
        content = packed(digital[:, columns], 16 if code in ("310", "311") else int(code))
        with (place / name).open("wb") as file:
            file.write(content)
            file.truncate(size * len(columns) * 4)
    lines = [f"{file} {code}{skew} 1000/mV 16 0 0 0 0 {lead}\n" for file, lead in zip(files, LEADS, strict=True)]
    (place / "r.hea").write_text(f"r 12 500 {size}\n{''.join(lines)}")
    return place / "r"


@pytest.mark.parametrize("form", ["16", "61", "212", "24", "32", "80", "160", "files", "skewed", "310"])
def test_of_an_hour_no_more_is_read_than_is_needed(tmp_path: Path, form: str) -> None:
    record = write_long(tmp_path, form)
    read_record(record, seconds=1)  # imports
    tracemalloc.start()
    found = read_record(record, seconds=15)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.samples.shape == (7500, 12)
    assert found.length == 1_800_000
    assert peak < 8 * found.samples.nbytes  # the hour takes 173 MB
    assert refusal(record) == "too_large"
    expected = wfdb.rdrecord(str(record), sampto=7500).p_signal
    np.testing.assert_allclose(found.samples[:7000], expected[:7000], atol=1e-9)


def test_the_beginning_of_an_hour_in_flac_and_in_segments(tmp_path: Path) -> None:
    millivolts = np.tile(heartbeats(5000, 500), (30, 1))
    wfdb.wrsamp("f", 500, ["mV"] * 12, list(LEADS), millivolts, fmt=["516"] * 12, write_dir=str(tmp_path))
    record = write_long(tmp_path, "16")
    (tmp_path / "s.hea").write_text(f"s/20 12 500 {20 * 1_800_000}\n" + "r 1800000\n" * 20)
    for name, length in (("f", 150_000), ("s", 36_000_000)):
        read_record(tmp_path / name, seconds=1)
        tracemalloc.start()
        found = read_record(tmp_path / name, seconds=15)
        assert tracemalloc.get_traced_memory()[1] < 8 * found.samples.nbytes
        tracemalloc.stop()
        assert (found.samples.shape, found.length) == ((7500, 12), length)
    np.testing.assert_array_equal(found.samples, read_record(record, seconds=15).samples)


@pytest.fixture
def stores():
    """Stores may be named, and are forgotten afterwards."""
    yield allow_links
    allow_links([])


@pytest.mark.parametrize("files", [1, 2])
def test_links_into_a_named_store(tmp_path: Path, stores, files: int) -> None:
    """As git-annex, DataLad and hub caches keep files; in both readers."""
    store, tree = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    tree.mkdir(parents=True)
    record = write_record(store / "r", seconds=3)
    if files == 2:
        edit_header(record, "r.dat 16 1000.0(0)/mV 16 0 0 0 0 V6", "r.dat 16:1 1000.0(0)/mV 16 0 0 0 0 V6")
    whole = read_record(record).samples
    for ending in (".hea", ".dat"):
        (tree / f"r{ending}").symlink_to(f"../../blobs/r{ending}")
    with pytest.raises(RecordRejected, match=r"outside_root.*links\.stores"):
        read_record(tree / "r")
    stores([str(tmp_path / "blob")])  # no store because its name begins alike
    assert refusal(tree / "r") == "outside_root"
    stores([str(tmp_path / "blobs")])
    np.testing.assert_array_equal(read_record(tree / "r").samples, whole)
    (tree / "r.dat").unlink()
    (tree / "r.dat").symlink_to("../../blobs/absent")
    with pytest.raises(RecordRejected, match=r"missing_signal.*git annex get"):
        read_record(tree / "r")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.edf", b"0       " + b" " * 300, "EDF.*edf2mit"), ("a.bin", b"\xffBIOSEMI", "EDF or BDF"),
        ("a.xml", b"<?xml version='1.0'?>", "XML.*wfdb.wrsamp"), ("a", b"\0" * 128 + b"DICM", "DICOM.*pydicom"),
        ("a.csv", b"I,II\n1,2\n", "csv_to_wfdb"), ("a.mat", b"MATLAB 5.0 MAT-file", "MATLAB.*loadmat"),
        ("a.zip", b"PK\3\4", "unpack"), ("a.xyz", b"?", "wrsamp"),
    ],
)  # fmt: skip
def test_another_format_is_named_with_the_way_to_bring_it(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordRejected, match=f"missing_header.*{told}.*records are read as WFDB"):
        read_record(tmp_path / name)
    with pytest.raises(RecordRejected, match="is a folder"):
        read_record(tmp_path)


def test_a_record_by_the_name_of_its_matlab_file(tmp_path: Path) -> None:
    """As PhysioNet's Challenges keep them."""
    digital = np.arange(24).reshape(-1, 2) * 50
    record = write_digital(tmp_path / "m", digital, ("I", "II"), offset=24)
    (tmp_path / "m.dat").rename(tmp_path / "m.mat")
    edit_header(record, "m.dat", "m.mat")
    np.testing.assert_allclose(read_record(tmp_path / "m.mat").samples, digital / 1000, atol=1e-12)
