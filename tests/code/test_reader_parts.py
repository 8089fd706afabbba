"""Records of several segments, files, or values a frame: put together without inventing a value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wfdb_files import LEADS, LIMITS, SCALE, edit_header, heartbeats, packed, refusal, write_digital, write_record

from peace.data.signal import read_record


def test_several_files_go_through_wfdb(tmp_path: Path) -> None:
    limb = write_record(tmp_path / "limb", leads=LEADS[:6])
    chest = write_record(tmp_path / "chest", leads=LEADS[6:])
    lines = [line for part in (limb, chest) for line in part.with_suffix(".hea").read_text().splitlines()[1:]]
    (tmp_path / "both.hea").write_text("\n".join(["both 12 500 5000", *lines]))
    recording = read_record(tmp_path / "both", seconds=4)
    assert recording.leads == LEADS
    expected = np.concatenate([read_record(limb).samples, read_record(chest).samples], axis=1)
    np.testing.assert_allclose(recording.samples, expected[:2000], atol=1e-9)
    chest.with_suffix(".dat").unlink()
    assert refusal(tmp_path / "both") == "missing_signal"


def test_segments_are_put_together(tmp_path: Path) -> None:
    first = write_record(tmp_path / "s_0001", seconds=2)
    second = write_record(tmp_path / "s_0002", seconds=3, seed=1)
    (tmp_path / "s.hea").write_text("s/2 12 500 2500\ns_0001 1000\ns_0002 1500\n")
    both = np.concatenate([read_record(first).samples, read_record(second).samples])
    np.testing.assert_array_equal(read_record(tmp_path / "s").samples, both)
    np.testing.assert_allclose(wfdb.rdrecord(str(tmp_path / "s")).p_signal, both, atol=1e-9)
    begin = read_record(tmp_path / "s", seconds=2.5)
    np.testing.assert_array_equal(begin.samples, both[:1250])
    assert begin.length == 2500
    second.with_suffix(".dat").write_bytes(b"\0" * 100)
    assert refusal(tmp_path / "s") == "truncated_signal"


def write_pair(place: Path, units: str = "mV", names: tuple[str, ...] = ("I", "II"), rate: str = "500") -> Path:
    """A record a/2: 100 and 200 in I and II for two samples at 100 a millivolt, then a segment that may differ."""
    digital = np.array([[100, 200], [100, 200]])
    write_digital(place / "a_1", digital, ("I", "II"), gains=("100/mV",))
    write_digital(place / "a_2", digital[:, : len(names)], names, rate, gains=(f"100/{units}",))
    (place / "a.hea").write_text("a/3 2 500 5\na_1 2\n~ 1\na_2 2\n")
    return place / "a"


GAP = [np.nan, np.nan]


@pytest.mark.parametrize(
    ("changes", "second"),
    [
        ({}, [1, 2]),
        ({"units": "uV"}, [1e-3, 2e-3]),  # wfdb takes the first segment's units for all
        ({"units": "µV"}, [1e-3, 2e-3]),
        ({"names": ("II", "I")}, [2, 1]),  # wfdb goes by position
        ({"names": ("II",)}, [np.nan, 1]),
    ],
)
def test_each_segment_has_its_own_units_and_order(tmp_path: Path, changes: dict, second: list[float]) -> None:
    recording = read_record(write_pair(tmp_path, **changes))
    assert recording.leads == ("I", "II")
    np.testing.assert_allclose(recording.samples, [[1, 2], [1, 2], GAP, second, second], rtol=1e-12)


def test_segments_that_do_not_go_together(tmp_path: Path) -> None:
    """Another rate, twice the same lead, more leads than announced, lengths that do not add up, a segment in itself."""
    for changes in ({"rate": "250"}, {"names": ("I", "I")}, {"names": ("I", "V1")}):
        assert refusal(write_pair(tmp_path, **changes)) == "bad_header"
    record = write_pair(tmp_path)
    for old, new in ((" 5\n", " 6\n"), ("a_2 2", "a 2"), ("a_2 2", "a_2 3")):
        edit_header(record, old, new)
        assert refusal(record) == "bad_header"
        edit_header(record, new, old)
    assert len(read_record(record).samples) == 5


def test_a_layout_segment_holds_no_samples(tmp_path: Path) -> None:
    """A record of variable layout: segment 0 names the leads, each other one has some of them."""
    record = write_pair(tmp_path, names=("II",))
    layout = "".join(f"~ 0 100/mV 0 0 0 0 0 {lead}\n" for lead in ("I", "II"))
    (tmp_path / "a_layout.hea").write_text(f"a_layout 2 500 0\n{layout}")
    (tmp_path / "a.hea").write_text("a/4 2 500 5\na_layout 0\na_1 2\n~ 1\na_2 2\n")
    recording, theirs = read_record(record), wfdb.rdrecord(str(record))
    assert list(recording.leads) == theirs.sig_name
    np.testing.assert_allclose(recording.samples, theirs.p_signal, atol=1e-9)


def test_several_values_a_frame_are_averaged_but_for_missing_ones(tmp_path: Path) -> None:
    """wfdb averages the code for a missing value with the others: -163 mV."""
    digital = np.array([[100, 300, 1], [-32768, 400, 2], [500, 700, -32768]])
    (tmp_path / "r.dat").write_bytes(packed(digital, 16))
    header = "r 2 500 3\nr.dat 16x2 100/uV 16 0 0 0 0 I\nr.dat 16 100/mV 16 0 0 0 0 II\n"
    (tmp_path / "r.hea").write_text(header)
    samples = read_record(tmp_path / "r").samples
    np.testing.assert_allclose(samples, [[2e-3, 0.01], [np.nan, 0.02], [6e-3, np.nan]], rtol=1e-12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_files_formats_frames_and_skews_as_wfdb(tmp_path: Path, data: st.DataObject) -> None:
    """Two files, each with its format, gain, units, values a frame and skew: what wfdb gives, in millivolts."""
    n_samples, lines, scales, counts = data.draw(st.integers(4, 30)), [], [], set()
    for number in range(2):
        form, per_frame = data.draw(st.sampled_from(sorted(LIMITS))), data.draw(st.integers(1, 3))
        limit, unit = LIMITS[form], data.draw(st.sampled_from(["mV", "uV", "V"]))
        digital = np.random.default_rng(number).integers(-limit + 1, limit, (n_samples, per_frame))
        (tmp_path / f"f{number}.dat").write_bytes(packed(digital, form))
        skew = data.draw(st.integers(0, 3))
        lines.append(
            f"f{number}.dat {form}x{per_frame}:{skew} {data.draw(st.integers(1, 9))}/{unit} 16 5 0 0 0 S{number}"
        )
        counts.add(per_frame)
        scales.append(SCALE[unit])
    (tmp_path / "r.hea").write_text("\n".join([f"r 2 250 {n_samples}", *lines]) + "\n")
    ours = read_record(tmp_path / "r").samples
    if len(counts) == 1:  # no reason to average: the rate is that of the values
        expanded = wfdb.rdrecord(str(tmp_path / "r"), smooth_frames=False).e_p_signal
        theirs = np.stack(expanded, axis=1) * scales
    else:
        theirs = wfdb.rdrecord(str(tmp_path / "r")).p_signal * scales
    cut = np.isnan(ours)  # what a skew leaves open at the end; wfdb averages it with what is there
    assert not cut[: -3 * max(counts)].any()
    assert cut[np.isnan(theirs)].all()
    np.testing.assert_allclose(ours[~cut], theirs[~cut], rtol=1e-14, atol=1e-9)


def test_matlab_file_goes_through_our_reader(tmp_path: Path) -> None:
    """wfdb2mat writes samples behind 24 bytes of a MATLAB header."""
    digital = np.arange(24).reshape(-1, 2) * 50
    (tmp_path / "m.mat").write_bytes(b"\1" * 24 + packed(digital, 16))
    (tmp_path / "m.hea").write_text("m 2 500 12\nm.mat 16+24 200/mV 16 0 0 0 0 I\nm.mat 16+24 200/mV 16 0 0 0 0 II\n")
    np.testing.assert_allclose(read_record(tmp_path / "m").samples, digital / 200, atol=1e-12)


def test_flac_goes_through_wfdb(tmp_path: Path) -> None:
    millivolts = heartbeats(2000, 500, LEADS[:2])
    wfdb.wrsamp(
        "flac", 500, ["mV"] * 2, ["I", "II"], millivolts, fmt=["516"] * 2, write_dir=str(tmp_path), adc_gain=[1e3] * 2,
        baseline=[0] * 2,
    )  # fmt: skip
    np.testing.assert_allclose(read_record(tmp_path / "flac").samples, millivolts, atol=6e-4)
