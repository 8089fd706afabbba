"""Leads by name, never by position; a missing one is masked, never invented."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from wfdb_files import write_record

from peace.config import LeadsConfig, QualityConfig, SignalConfig
from peace.data.signal import LEADS, NINE, RecordRejected, condition_file, lead_index, read_record

PLAIN = SignalConfig()
MIMIC_ORDER = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")


def conditioned(record: Path, require: int = 12):
    return condition_file(record, "mimic", PLAIN, LeadsConfig(require=require), QualityConfig())


def test_order_of_leads_on_disk_does_not_matter(tmp_path: Path) -> None:
    """MIMIC-IV-ECG stores aVF before aVL: both must end where their names say."""
    standard = conditioned(write_record(tmp_path / "a", seed=3))
    rng = np.random.default_rng(0)
    for number, order in enumerate([MIMIC_ORDER, LEADS[::-1], tuple(rng.permutation(LEADS))]):
        millivolts_of = {name: index for index, name in enumerate(LEADS)}
        source = write_record(tmp_path / "a", seed=3)
        samples = read_record(source).samples[:, [millivolts_of[name] for name in order]]
        record = write_record(tmp_path / f"o{number}", leads=order, millivolts=samples)
        np.testing.assert_array_equal(conditioned(record).signal, standard.signal)
    avl, avf = standard.signal[LEADS.index("aVL")], standard.signal[LEADS.index("aVF")]
    assert np.abs(avl.astype(int) - avf).max() > 500  # the test would see them exchanged


@pytest.mark.parametrize(
    ("name", "lead"),
    [
        ("AVR", "aVR"),
        ("avl", "aVL"),
        (" v1 ", "V1"),
        ("Lead II", "II"),
        ("MDC_ECG_LEAD_V6", "V6"),
        ("ECG aVF", "aVF"),
        ("Ⅱ", "II"),
        ("ＡＶＲ", "aVR"),
        ("DIII", "III"),
        ("D1", "I"),
        ("C4", "V4"),
    ],
)
def test_known_spellings(name: str, lead: str) -> None:
    assert lead_index(name) == LEADS.index(lead)


@pytest.mark.parametrize(
    "name", ["MLII", "V7", "C7", "C0", "D4", "ECG -aVR", "1", "V1-V2", "-aVR", "", "resp", "IV", "V", "aV"]
)
def test_names_that_are_no_lead_of_ours(name: str) -> None:
    assert lead_index(name) is None


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ((*LEADS[:11], "V7"), "missing_lead"),
        ((*LEADS[:11], "v5"), "duplicate_lead"),
        ((*LEADS[:11],), "missing_lead"),
        (("I", *("MLII",) * 11), "missing_lead"),
        (NINE, "missing_lead"),
    ],
)
def test_reasons(tmp_path: Path, names: tuple[str, ...], reason: str) -> None:
    record = write_record(tmp_path / "r", leads=LEADS[: len(names)], names=names)
    with pytest.raises(RecordRejected) as caught:
        conditioned(record)
    assert caught.value.reason == reason


def test_nine_leads_enter_with_a_mask_where_asked_for(tmp_path: Path) -> None:
    record = write_record(tmp_path / "r", leads=NINE)
    whole = conditioned(write_record(tmp_path / "w", leads=LEADS))
    nine = conditioned(record, require=9)
    absent = [LEADS.index(name) for name in ("V2", "V4", "V6")]
    assert nine.lead_mask.tolist() == [name in NINE for name in LEADS]
    assert not nine.signal[absent].any()
    v5 = LEADS.index("V5")
    assert np.corrcoef(nine.signal[v5], whole.signal[v5])[0, 1] > 0.99


def test_the_nine_are_needed_even_there(tmp_path: Path) -> None:
    record = write_record(tmp_path / "r", leads=[name for name in NINE if name != "V3"])
    with pytest.raises(RecordRejected, match="V3"):
        conditioned(record, require=9)
