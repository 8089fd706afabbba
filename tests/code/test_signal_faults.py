"""Recordings as exporters and electrodes spoil them: padding, wrong gains, clipped waves, exchanged and empty leads."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from wfdb_files import LEADS, exchange_arms, heartbeats, p_waves, write_digital

from peace.config import LeadsConfig, SignalConfig, build_config
from peace.data.signal import FLAGS, REASONS, Conditioned, RecordRejected, condition_file, flag_text, flag_texts
from peace.data.signal.padding import constant_runs, extent
from peace.data.signal.quality_policy import AFTER_FILTER, BEFORE_FILTER, PADDING
from peace.data.signal.texts import TEXTS

Millivolts = npt.NDArray[np.float64]


def beats(n_samples: int = 5000) -> Millivolts:
    """(samples, 12) in mV with P waves and low noise, whole microvolts, limb leads that agree."""
    return heartbeats(n_samples, 500) + p_waves(n_samples, 500)


def kept(
    record: Path, millivolts: Millivolts, gain: float = 1000, written: str = "", form: int = 16, require: int = 12,
    **quality: Any,
) -> Conditioned:  # fmt: skip
    """What becomes of millivolts stored at `gain`, under a header that says `written` (default: the same)."""
    limits = {16: 32767, 212: 2047}
    digital = np.where(np.isnan(millivolts), -32768, np.clip(np.rint(millivolts * gain), -limits[form], limits[form]))
    write_digital(record, digital.astype(np.int64), LEADS, form=form, gains=(written or f"{gain:g}/mV",))
    leads = LeadsConfig.model_validate({"require": require})
    return condition_file(record, "ptbxl", SignalConfig(), leads, build_config({"quality": quality}).quality)


def refused(record: Path, millivolts: Millivolts, **settings: Any) -> RecordRejected:
    with pytest.raises(RecordRejected) as caught:
        kept(record, millivolts, **settings)
    return caught.value


@pytest.mark.parametrize("constant", [0.0, 0.7])
@pytest.mark.parametrize(("before", "after"), [(1000, 0), (0, 2500), (700, 900)])
def test_padding_is_cut_off_at_either_end(tmp_path: Path, constant: float, before: int, after: int) -> None:
    """Whatever the constant: what is left equals the recording without its padding."""
    whole = beats()
    part = whole[before : len(whole) - after]
    whole[:before], whole[len(whole) - after :] = constant, constant
    made, alone = kept(tmp_path / "padded", whole), kept(tmp_path / "alone", part)
    assert made.flags == ("padding_cut",)
    assert made.n_samples == 5000 - before - after
    assert made.quality["padding_share"] == pytest.approx((before + after) / 5000)
    np.testing.assert_array_equal(made.signal, alone.signal)
    assert refused(tmp_path / "strict", whole, padding={"action": "reject"}).reason == "padding"


def test_leads_held_at_their_own_last_value_are_padding(tmp_path: Path) -> None:
    whole = beats()
    whole[3000:] = whole[2999]
    made = kept(tmp_path / "held", whole)
    assert (made.n_samples, made.flags) == (2999, ("padding_cut",))


def test_little_signal_in_much_padding_is_too_short(tmp_path: Path) -> None:
    mostly = np.zeros((5000, 12))
    mostly[2000:2200] = beats(200)
    assert refused(tmp_path / "r", mostly).reason == "too_short"
    assert refused(tmp_path / "zeros", np.zeros((5000, 12))).reason == "flat_lead"


def test_padding_before_a_long_recording_costs_no_signal(tmp_path: Path) -> None:
    long = np.concatenate([np.zeros((2000, 12)), beats(5500)])
    assert kept(tmp_path / "r", long).n_samples == 5000
    longer = np.concatenate([np.zeros((6000, 12)), beats(9000)])  # of which the first 15 s hold 3 s of signal
    assert kept(tmp_path / "longer", longer).n_samples == 5000


def test_a_constant_run_inside_is_a_gap(tmp_path: Path) -> None:
    whole = beats()
    whole[2000:2500] = 0.3
    assert refused(tmp_path / "long", whole).reason == "nan_samples"
    filled = kept(tmp_path / "filled", whole, missing={"action": "repair", "repair_limit": 0.1})
    assert filled.flags == ("nan_samples_filled",)
    short = beats()
    short[2000:2080] = 0.3  # 0.16 s
    assert kept(tmp_path / "short", short).quality["nan_share"] == 0


@pytest.mark.parametrize("shortest", [2, 3, 7])
def test_constant_runs_equal_a_plain_search(shortest: int) -> None:
    random = np.random.default_rng(shortest)
    for _ in range(300):
        samples = np.repeat(random.integers(0, 2, (random.integers(1, 40), 1)), 2, axis=1).astype(float)
        edges = [0, *(np.flatnonzero(np.diff(samples[:, 0])) + 1).tolist(), len(samples)]
        expected = [[a, b] for a, b in pairwise(edges) if b - a >= shortest]
        assert constant_runs(samples, shortest).tolist() == expected
        begin, end, gaps = extent(samples, shortest)
        assert 0 <= begin <= end <= len(samples)
        assert all(begin <= first and after <= end for first, after in gaps.tolist())


@pytest.mark.parametrize(("factor", "flags"), [
    (10, ("amplitude_implausible",)), (0.1, ("amplitude_implausible",)), (1, ()), (3, ()),
])  # fmt: skip
def test_a_gain_wrong_by_ten(tmp_path: Path, factor: float, flags: tuple[str, ...]) -> None:
    one, two = 0.7 * np.sin(np.arange(5000) / 20), heartbeats(5000, 500)[:, 1]
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    leads = np.stack([*limb, *[one * k for k in (1.1, 1.2, 1.3, 1.4, 1.5, 1.6)]], axis=1)
    digital = np.rint(leads * factor * 1000).astype(np.int64)
    digital[:, 2] = digital[:, 1] - digital[:, 0]
    made = kept(tmp_path / "r", digital / 1000.0)
    assert tuple(flag for flag in made.flags if flag != "cut_off") == flags


@pytest.mark.parametrize(("written", "n_leads"), [("0", 12), ("0/mV", 12), ("0(0)/mV", 12), ("200/mV", 0)])
def test_leads_without_a_gain_are_told(tmp_path: Path, written: str, n_leads: int) -> None:
    made = kept(tmp_path / "r", beats(), gain=200, written=written)
    assert made.quality["uncalibrated_leads"] == n_leads
    assert made.flags == (("uncalibrated",) if n_leads else ())


@pytest.mark.parametrize(("bits", "form"), [(10, 16), (11, 16), (12, 16), (14, 16), (16, 16), (12, 212)])
def test_waves_cut_off_at_the_rail_of_any_usual_converter(tmp_path: Path, bits: int, form: int) -> None:
    rail = 2 ** (bits - 1) - 1
    gain = rail / 0.7  # the QRS of II reaches 1 mV
    made = kept(tmp_path / "cut", np.clip(beats(), -0.7, 0.7), gain=gain, form=form)
    assert made.flags[0] == "cut_off"
    assert made.quality["cut_off_samples"] > 20
    inside = kept(tmp_path / "inside", np.clip(beats(), -0.65, 0.65), gain=gain, form=form)
    assert ("cut_off" in inside.flags, inside.quality["cut_off_samples"]) == (False, 0)


def test_a_peak_that_ends_at_a_rail_by_chance_is_not_cut_off(tmp_path: Path) -> None:
    whole = beats()
    whole[:, 8] *= 2.047 / whole[:, 8].max()
    made = kept(tmp_path / "r", np.rint(whole * 1000) / 1000)
    assert made.quality["cut_off_samples"] == 0


@pytest.mark.parametrize("lead", [3, 4, 5])
def test_augmented_leads_must_follow_from_the_limb_leads(tmp_path: Path, lead: int) -> None:
    whole = beats()
    whole[1000, lead] += 2.56
    made = kept(tmp_path / "r", whole)
    assert made.flags == ("goldberger_mismatch",)
    assert made.quality["goldberger_mv"] == pytest.approx(2.56, abs=0.05)


def left_arm_and_leg(millivolts: Millivolts) -> Millivolts:
    turned = millivolts[:, [1, 0, 2, 3, 5, 4, *range(6, 12)]]
    turned[:, 2] *= -1
    return turned


def on_the_right(millivolts: Millivolts) -> Millivolts:
    """A heart on the right: limb leads as with exchanged arms, and little left of the QRS from V3 to V6."""
    turned = exchange_arms(millivolts)
    turned[:, 6:8] = millivolts[:, [7, 6]]
    turned[:, 8:] = millivolts[:, 6:7] * [0.6, 0.4, 0.3, 0.2]
    return turned


def right_axis(millivolts: Millivolts) -> Millivolts:
    """A newborn: the QRS of I points down, P and T do not."""
    phase = (np.arange(len(millivolts)) / 500) % 0.8
    one, two = millivolts[:, 0] - 1.4 * np.exp(-(((phase - 0.3) / 0.012) ** 2)), millivolts[:, 1]
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.stack([*limb, *millivolts[:, 6:].T], axis=1)


def test_exchanged_arms_and_what_resembles_them(tmp_path: Path) -> None:
    plain = beats()
    assert kept(tmp_path / "arms", exchange_arms(plain)).flags == ("arms_exchanged",)
    for other in (left_arm_and_leg, on_the_right, right_axis):
        assert kept(tmp_path / other.__name__, other(plain)).flags == (), other.__name__


@pytest.mark.real
def test_exchanged_arms_of_real_adults_are_found_and_nothing_else(real_data: Path) -> None:
    from peace.data.signal import read_record
    from peace.data.signal.reversal import arm_reversal

    found = np.zeros(4, int)
    headers = sorted(real_data.glob("ptbxl/records500/*/*.hea"))[:100]
    for header in headers:
        plain = read_record(header, 10).samples
        for k, made in enumerate((plain, exchange_arms(plain), left_arm_and_leg(plain), on_the_right(plain))):
            found[k] += arm_reversal(made, 500) > 0.3
    assert found[0] == found[2] == found[3] == 0
    assert found[1] > 0.7 * len(headers)


def test_copies_of_a_lead_are_counted(tmp_path: Path) -> None:
    whole = beats()
    made = kept(tmp_path / "twelve", np.repeat(whole[:, :1], 12, axis=1))
    assert made.quality["copied_leads"] == 11
    assert "copied_leads" in made.flags
    whole[:, 10] = whole[:, 9]
    assert kept(tmp_path / "two", whole).flags == ("copied_leads",)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_nine_leads_stored_as_twelve_are_nine_leads(tmp_path: Path, value: float) -> None:
    whole = beats()
    nine = whole.copy()
    nine[:, [7, 9, 11]] = value
    error = refused(tmp_path / "twelve", nine)
    assert error.reason == "missing_lead"
    assert error.detail.startswith("V2, V4, V6: ")
    assert "leads.require=9" in error.detail
    made = kept(tmp_path / "nine", nine, require=9)
    assert made.lead_mask.tolist() == [1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0]
    assert (made.flags, made.quality["zero_leads"], made.quality["flat_leads"]) == (("zero_lead_masked",), 3, 0)
    assert not made.signal[[7, 9, 11]].any()
    nine[:, 8] = value  # V3, which nine leads have
    error = refused(tmp_path / "eight", nine, require=9)
    assert (error.reason, error.detail[:4]) == ("missing_lead", "V3: ")
    assert "quality.flat.action=repair" in error.detail
    masked = kept(
        tmp_path / "masked", nine, require=9, flat={"action": "repair", "repair_limit": 4}, missing={"limit": 1}
    )
    assert masked.lead_mask.sum() == 8


def test_every_flag_and_every_reason_of_quality_has_its_text() -> None:
    rules = {rule.reason for rule in (*PADDING, *BEFORE_FILTER, *AFTER_FILTER)}
    assert rules <= set(REASONS)
    assert set(TEXTS) == rules | set(FLAGS)
    for name in TEXTS:
        text = flag_text(name, 0.4321)
        assert "_" not in text
        assert "quality." not in text
        assert "{" not in text
    assert "0.43 mV" in flag_text("einthoven_mismatch", 0.4321)
    assert flag_texts(["mains_noise"], {"mains_mv": 0.2}) == ["mains hum of 0.2 mV"]
