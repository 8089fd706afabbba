"""Leads as files name them, besides the twelve, upside down, and those that two others give."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from wfdb_files import heartbeats, write_digital, write_record

from peace.config import LeadsConfig, QualityConfig, SignalConfig
from peace.data.signal import LEADS, Conditioned, RecordRejected, condition_file, lead_index, read_record
from peace.data.signal.lead_names import Meant, read_name
from peace.data.signal.leads import choose

WAYS = (
    "{}", "Lead {}", "lead_{}", "ECG {}", "ECG-{}", "EKG {}", "EKG_{}", "ekg.{}", "ECG: {}", "ECG Lead {}", "{} (mV)",
    "{} [uV]", "{}/mV", "{}_mV", "ECG {} (µV)", "MDC_ECG_LEAD_{}", "MDC_ECG_ELEC_POTL_{}", "Ableitung {}", "{} lead",
    "Lead{}", "导联 {}", "{}导联 ",
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS[:-1])
@pytest.mark.parametrize("change", [str, str.upper, str.lower])
def test_each_lead_in_each_way(way: str, change) -> None:
    assert [lead_index(change(way.format(lead))) for lead in LEADS] == list(range(12))


@pytest.mark.parametrize(
    ("name", "lead"),
    [
        ("Lead I (Einthoven)", "I"), ("aVR, augmented voltage, right", "aVR"), ("aVL (Goldberger)", "aVL"),
        ("V1 (Wilson)", "V1"), ("av R", "aVR"), ("LEAD 2", "II"), ("L3", "III"), ("ＥＣＧ　Ⅲ", "III"), ("C6 mV", "V6"),
    ],
)  # fmt: skip
def test_other_spellings(name: str, lead: str) -> None:
    assert read_name(name) == Meant(LEADS.index(lead), False)


@pytest.mark.parametrize("name", ["-aVR", "ECG -aVR", "−aVR", "-avr (mV)", "minus aVR", "ECG--aVR", "aVR (inverted)"])
def test_upside_down(name: str) -> None:
    assert read_name(name) == Meant(LEADS.index("aVR"), True)


@pytest.mark.parametrize(
    "name",
    ["V3R", "V4R", "V7", "V9", "V4 (V4R)", "vx", "X", "RESP", "PACE", "MCL1", "MLII", "ES", "V1-V2", "ECG", "Lead 4",
     "ECG 1", "--aVR", "CH 1", "", "-", "()", "dV1", "I+II"],
)  # fmt: skip
def test_no_lead_of_ours(name: str) -> None:
    assert read_name(name) is None


def conditioned(record: Path, require: int = 12) -> Conditioned:
    return condition_file(record, "ptbxl", SignalConfig(), LeadsConfig(require=require), QualityConfig())


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, Conditioned]:
    """Heartbeats whose limb leads agree to half a microvolt, and what becomes of them."""
    millivolts = heartbeats(5000, 500)
    one, two = np.round(millivolts[:, 0] * 500) / 500, np.round(millivolts[:, 1] * 500) / 500  # even microvolts
    millivolts[:, :6] = np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2], axis=1)
    return millivolts, conditioned(write_record(tmp_path_factory.mktemp("clean") / "r", millivolts=millivolts))


EXTRAS = [("V3R", "V4R", "V7"), ("vx", "vy", "vz"), ("RESP",), ("PACE", "V8", "V9"), ("-aVR",), ("", "MLII")]


@pytest.mark.parametrize("extras", EXTRAS)
@pytest.mark.parametrize("first", [False, True])
def test_extra_signals_are_named_and_left_out(tmp_path: Path, clean, extras: tuple[str, ...], first: bool) -> None:
    millivolts, expected = clean
    more = np.full((5000, len(extras)), 7.0)
    parts, names = ([more, millivolts], [*extras, *LEADS]) if first else ([millivolts, more], [*LEADS, *extras])
    found = conditioned(write_record(tmp_path / "r", leads=names, millivolts=np.concatenate(parts, axis=1)))
    np.testing.assert_array_equal(found.signal, expected.signal)
    assert found.flags == ("extra_leads",)
    assert all(repr(name) in found.notes["extra_leads"] for name in extras)


def test_an_extra_signal_may_be_no_voltage(tmp_path: Path, clean) -> None:
    digital = np.rint(np.concatenate([clean[0], np.ones((5000, 1))], axis=1) * 1000).astype(np.int64)
    gains = ("1000/mV",) * 12 + ("10/Ohm",)
    record = write_digital(tmp_path / "r", digital, (*LEADS, "RESP"), gains=gains)
    np.testing.assert_array_equal(conditioned(record).signal, clean[1].signal)
    assert read_record(record).samples[0, 12] == 100
    with pytest.raises(RecordRejected, match="unknown_units"):
        conditioned(write_digital(tmp_path / "r", digital, ("RESP", *LEADS[1:], "I"), gains=gains))


@pytest.mark.parametrize("pair", list(combinations(LEADS[:6], 2)))
def test_any_two_limb_leads_give_the_others(tmp_path: Path, clean, pair: tuple[str, str]) -> None:
    millivolts, expected = clean
    names = (*pair, *LEADS[6:])
    columns = [LEADS.index(name) for name in names]
    found = conditioned(write_record(tmp_path / "r", leads=names, millivolts=millivolts[:, columns]))
    assert found.lead_mask.all()
    assert np.abs(found.signal.astype(int) - expected.signal).max() <= 1  # rounding of the result
    assert found.flags == ("leads_derived",)
    assert found.notes["leads_derived"].startswith(f"computed from {pair[0]} and {pair[1]}: ")


def test_one_limb_lead_gives_no_other(tmp_path: Path) -> None:
    with pytest.raises(RecordRejected, match="missing_lead: II, III"):
        conditioned(write_record(tmp_path / "r", leads=("I", *LEADS[6:])))


def test_a_derived_sample_is_missing_where_its_source_is() -> None:
    chosen = choose(("II", "V1", "aVF"))
    samples = np.array([[1.0, 5.0, 0.5], [np.nan, 5.0, 0.5]])
    derived = chosen.of(samples)
    assert [LEADS[lead] for lead in chosen.leads] == ["II", "V1", "aVF", "I", "III", "aVR", "aVL"]
    np.testing.assert_allclose(derived[0], [1, 5, 0.5, 1, 0, -1, 0.5], atol=1e-12)
    assert np.isnan(derived[1]).tolist() == [True, False, False, True, True, True, True]


def test_cabrera(tmp_path: Path, clean) -> None:
    millivolts, expected = clean
    order = ("aVL", "I", "-aVR", "II", "aVF", "III", *LEADS[6:])
    columns = [LEADS.index(name.lstrip("-")) for name in order]
    turned = millivolts[:, columns] * [-1 if name[0] == "-" else 1 for name in order]
    found = conditioned(write_record(tmp_path / "r", leads=order, millivolts=turned))
    np.testing.assert_array_equal(found.signal, expected.signal)
    assert found.flags == ("lead_turned",)


@pytest.mark.parametrize("twice", [("V5", "v5"), ("V5", "ECG V5"), ("-V5", "minus V5")])
def test_two_columns_for_one_lead_are_refused_with_both_names(tmp_path: Path, twice: tuple[str, str]) -> None:
    names = (*LEADS[:10], LEADS[11], *twice)
    with pytest.raises(RecordRejected) as caught:
        conditioned(write_record(tmp_path / "r", leads=names, millivolts=heartbeats(5000, 500)[:, [*range(12), 0]]))
    assert caught.value.reason == "duplicate_lead"
    assert all(repr(name) in caught.value.detail for name in twice)


def test_what_is_missing_is_told_with_what_is_there(tmp_path: Path) -> None:
    record = write_record(tmp_path / "r", leads=LEADS, names=(*LEADS[:11], "Chest6"))
    with pytest.raises(RecordRejected, match=r"missing_lead: V6 \(.*'Chest6'"):
        conditioned(record)
