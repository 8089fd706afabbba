"""What conditioning does to a signal, and which recordings it leaves out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import signal as scipy_signal
from wfdb_files import heartbeats, write_record

from peace.config import LeadsConfig, QualityConfig, SignalConfig, load_config
from peace.data.signal import LEADS, Recording, RecordRejected, condition_file, read_record
from peace.data.signal.condition import condition
from peace.data.signal.filters import cascade, ratio, reflection, resample, zero_phase

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
    reach = reflection(n_samples, rate)
    expected = scipy_signal.sosfiltfilt(sections.copy(), samples, axis=0, padlen=reach)
    room = np.full((n_samples + 2 * reach, 12), np.nan)
    room[reach : reach + n_samples] = samples
    np.testing.assert_allclose(zero_phase(room, reach, sections), expected, atol=1e-9, rtol=0)


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
     (60, "zzu", 0.95, 1.01), (50, "mimic", 0.95, 1.01), (160, "ptbxl", 0, 0.05), (50, "other", 0.95, 1.01),
     (60, "a cohort of one's own", 0.95, 1.01)],
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
    kept = run(tone(90), rate=100).signal[0, 200:800] / 1000
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


@pytest.mark.parametrize(
    ("n_samples", "rate", "reason"), [(999, 500, "too_short"), (1, 500, "too_short"), (500, 50, "rate_too_low")]
)
def test_too_short_and_too_coarse(n_samples: int, rate: float, reason: str) -> None:
    with pytest.raises(RecordRejected) as caught:
        run(heartbeats(n_samples, rate), rate)
    assert caught.value.reason == reason


def test_one_setting_of_one_cohort_changes_that_alone() -> None:
    changed = load_config("paper", None, ["signal.filters.mimic.highpass_hz=0.05"]).signal.filters
    assert (changed.mimic.highpass_hz, changed.mimic.notch_hz) == (0.05, 60)
    assert changed.zzu == SignalConfig().filters.zzu
    wandering = tone(0.2)
    kept = run(wandering, cohort="mimic", filters=changed).signal[0, 2000:3000]
    assert np.abs(kept).max() > 10 * np.abs(run(wandering, cohort="zzu", filters=changed).signal[0, 2000:3000]).max()
