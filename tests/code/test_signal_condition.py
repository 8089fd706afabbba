"""What conditioning does to a signal, and which recordings it leaves out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import signal as scipy_signal
from wfdb_files import heartbeats, write_record

from peace.config import LeadsConfig, QualityConfig, SignalConfig
from peace.signal import LEADS, QUALITY, Recording, Unreadable, condition, condition_file, read_record
from peace.signal.filters import cascade, ratio, reflection, resample, zero_phase

TWELVE = LeadsConfig()
LIMITS = QualityConfig()


def run(millivolts, recorded=500.0, cohort="ptbxl", quality=LIMITS, **settings):
    recording = Recording(LEADS, recorded, np.asarray(millivolts, float).copy(), len(millivolts))
    return condition(recording, cohort, SignalConfig(**settings), TWELVE, quality)


def tone(hertz: float, seconds: float = 10, rate: float = 500) -> np.ndarray:
    return np.repeat(np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)[:, None], 12, axis=1)


@pytest.mark.parametrize(("rate", "notch"), [(500.0, 50.0), (500.0, 0.0), (1000.0, 60.0), (100.0, 50.0), (257.3, 50.0)])
@pytest.mark.parametrize("n_samples", [2, 57, 3000])
def test_compiled_filter_equals_scipy(rate: float, notch: float, n_samples: int) -> None:
    samples = np.random.default_rng(0).normal(0, 5, (n_samples, 12))
    sections = cascade(rate, 0.5, 100.0, notch)
    expected = scipy_signal.sosfiltfilt(sections.copy(), samples, axis=0, padlen=reflection(n_samples, rate))
    np.testing.assert_allclose(zero_phase(samples, sections, rate), expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("source", [100.0, 250.0, 360.0, 1000.0, 257.3])
@pytest.mark.parametrize("target", [100, 500])
@pytest.mark.parametrize("n_samples", [2, 999, 5000])
def test_compiled_resampling_equals_scipy(source: float, target: int, n_samples: int) -> None:
    samples = np.random.default_rng(0).normal(3, 5, (n_samples, 12))
    step = ratio(source, target)
    made = resample(samples, source, target)
    if step == 1:
        np.testing.assert_array_equal(made, samples)
        return
    expected = scipy_signal.resample_poly(samples, step.numerator, step.denominator, axis=0, padtype="line")
    np.testing.assert_allclose(made, expected, atol=1e-9, rtol=0)
    np.testing.assert_array_equal(resample(samples, source, target, 50), made[:50])


def test_a_beat_stays_where_it_was() -> None:
    """Zero phase: the R wave of the filtered signal is at the same sample, and keeps its height within 5 %."""
    beats = heartbeats(5000, 500)
    out = run(beats).signal[1] / 1000
    window = slice(1000, 1400)
    assert abs(int(np.argmax(out[window])) - int(np.argmax(beats[window, 1]))) <= 1
    baseline = np.median(out)
    assert out[window].max() - baseline == pytest.approx(beats[window, 1].max(), rel=0.05)


@pytest.mark.parametrize(
    ("hertz", "cohort", "least", "most"),
    [(10, "ptbxl", 0.99, 1.01), (0.05, "ptbxl", 0, 0.02), (50, "zzu", 0, 0.02), (60, "mimic", 0, 0.02),
     (60, "zzu", 0.95, 1.01), (50, "mimic", 0.95, 1.01), (160, "ptbxl", 0, 0.05)],
)  # fmt: skip
def test_what_passes_the_filters(hertz: float, cohort: str, least: float, most: float) -> None:
    middle = run(tone(hertz), cohort=cohort).signal[0, 2000:3000] / 1000
    assert least <= np.sqrt(2 * np.mean(middle**2)) <= most


@pytest.mark.parametrize("rate", [100.0, 250.0, 360.0, 500.0, 1000.0, 257.3])
@pytest.mark.parametrize("target", [100, 500])
def test_any_recorded_rate(rate: float, target: int) -> None:
    """A 7 Hz tone is the same tone at every rate, in height and in time."""
    made = run(tone(7, 10, rate), rate, rate=target)
    assert made.signal.shape == (12, 10 * target)
    assert made.n_samples >= 10 * target - 5
    times = np.arange(10 * target) / target
    middle = (times > 2) & (times < 8)
    np.testing.assert_allclose(made.signal[4, middle] / 1000, np.sin(2 * np.pi * 7 * times[middle]), atol=0.02)


def test_nothing_folds_back_when_the_rate_falls() -> None:
    """A 90 Hz tone, resampled to 100 Hz, would appear at 10 Hz."""
    kept = run(tone(90), rate=100, lowpass_hz=45).signal[0, 200:800] / 1000
    assert np.abs(kept).max() < 0.01


def test_short_record_is_padded_and_long_one_cropped(tmp_path: Path) -> None:
    short = condition_file(write_record(tmp_path / "s", seconds=3), "zzu", SignalConfig(), TWELVE, LIMITS)
    assert short.n_samples == 1500
    assert short.signal[:, :1500].any(axis=1).all()
    assert not short.signal[:, 1500:].any()
    long = condition_file(write_record(tmp_path / "l", seconds=60), "zzu", SignalConfig(), TWELVE, LIMITS)
    assert long.n_samples == 5000
    # the crop is no edge for the filter: what lies far behind changes nothing, what follows closely is used
    whole = condition(read_record(tmp_path / "l"), "zzu", SignalConfig(margin_seconds=50), TWELVE, LIMITS)
    assert np.abs(long.signal.astype(int) - whole.signal).max() <= 1
    cut = condition(read_record(tmp_path / "l"), "zzu", SignalConfig(margin_seconds=0), TWELVE, LIMITS)
    assert np.abs(cut.signal.astype(int) - whole.signal).max() > 1


@pytest.mark.parametrize("lead", range(12))
def test_a_missing_sample_is_seen_in_every_lead(lead: int) -> None:
    beats = heartbeats(5000, 500)
    beats[2000:2020, lead] = np.nan
    with pytest.raises(Unreadable) as caught:
        run(beats)
    assert caught.value.reason == "nan_samples"
    repaired = run(beats, quality=QualityConfig(nan_share=0.01))
    whole = run(heartbeats(5000, 500))
    assert repaired.quality["repaired_share"] == pytest.approx(20 / 5000)
    assert np.abs(repaired.signal.astype(int) - whole.signal)[:, 2600:].max() < 60
    others = [index for index in range(12) if index != lead]
    np.testing.assert_array_equal(repaired.signal[others], whole.signal[others])


def test_a_gap_behind_the_kept_part_harms_nothing() -> None:
    beats = heartbeats(7500, 500)
    whole = run(beats)
    beats[6500:, 3] = np.nan
    assert np.abs(run(beats).signal.astype(int) - whole.signal).max() <= 20
    assert run(beats).quality["nan_share"] == 0


def test_wholly_missing_lead_is_refused_even_where_gaps_are_allowed() -> None:
    beats = heartbeats(5000, 500)
    beats[:, 7] = np.nan
    with pytest.raises(Unreadable, match="nan_samples"):
        run(beats, quality=QualityConfig(nan_share=0.99))


@pytest.mark.parametrize("lead", range(12))
def test_flat_lead(lead: int) -> None:
    beats = heartbeats(5000, 500)
    beats[:, lead] = 0.3
    with pytest.raises(Unreadable, match="flat_lead"):
        run(beats)
    tolerated = run(beats, quality=QualityConfig(flat_leads=1))
    assert tolerated.lead_mask[lead] == 0
    assert tolerated.lead_mask.sum() == 11
    assert not tolerated.signal[lead].any()


def test_spikes_at_the_rail_pass_and_a_lead_at_the_rail_does_not() -> None:
    beats = heartbeats(5000, 500)
    beats[1000:1050, 8] = 26.6
    assert run(beats).quality["rail_share"] == pytest.approx(0.01)
    beats[1000:1400, 8] = -26.6
    with pytest.raises(Unreadable, match="saturated"):
        run(beats)


def test_values_beyond_int16_are_clipped_and_counted() -> None:
    beats = heartbeats(5000, 500)
    beats[1000:1050, 8] = 60.0
    out = run(beats)
    assert out.signal.max() == 32767
    assert out.signal.min() > -32768
    assert 0 < out.quality["clipped_share"] < 0.01


@pytest.mark.parametrize(
    ("n_samples", "rate", "reason"), [(999, 500, "too_short"), (1, 500, "too_short"), (500, 50, "rate_too_low")]
)
def test_too_short_and_too_coarse(n_samples: int, rate: float, reason: str) -> None:
    with pytest.raises(Unreadable) as caught:
        run(heartbeats(n_samples, rate), rate)
    assert caught.value.reason == reason


def test_quality_columns_measure_what_they_are_named_for() -> None:
    beats = heartbeats(5000, 500)
    clean = run(beats)
    assert set(clean.quality) == set(QUALITY)
    assert clean.quality["einthoven_mv"] < 0.02
    times = np.arange(5000) / 500
    hum = run(beats + 0.2 * np.sin(2 * np.pi * 50 * times)[:, None]).quality
    assert hum["mains_mv"] == pytest.approx(0.2, abs=0.02)
    assert clean.quality["mains_mv"] < 0.02
    drift = run(beats + 0.5 * np.sin(2 * np.pi * 0.2 * times)[:, None]).quality
    assert drift["wander_mv"] == pytest.approx(0.35, abs=0.06)
    exchanged = beats[:, [1, 0, *range(2, 12)]]  # I and II exchanged
    assert run(exchanged).quality["einthoven_mv"] > 0.1


@pytest.mark.real
def test_real_children_with_electrode_off_spikes_are_kept(real_data: Path) -> None:
    """P02222 touches the rail near 26 mV for a moment: real, and wanted."""
    for name, peak in (("P02/P02222/P02222_E01", 26.0), ("P10/P10027/P10027_E01", 5.0)):
        record = real_data / "zzu" / "Child_ecg" / name
        kept = condition_file(record, "zzu", SignalConfig(), TWELVE, LIMITS)
        assert kept.quality["peak_mv"] > peak
        assert kept.n_samples == 5000
