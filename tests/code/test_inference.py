"""Single records: the same numbers as the shards give, and a reason for what cannot be read."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from cohort_manifests import manifest_row
from small_model import write_record, write_run

from peace.config import load_config
from peace.core.errors import DataError
from peace.data.shards import Recipe, build_part
from peace.data.shards.codec import decode_signals
from peace.data.signal import LEADS, NINE, Conditioned, condition_file
from peace.inference import Prediction, Predictor, RejectedRecord


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def predictor(run: Path) -> Predictor:
    return Predictor.load(run)


def read(predictor: Predictor, path: Path) -> Prediction:
    answer = predictor.predict_file(path)
    assert isinstance(answer, Prediction), answer
    return answer


def test_a_file_and_its_conditioned_array_get_the_same_answer(predictor: Predictor, tmp_path: Path) -> None:
    path = write_record(tmp_path / "a")
    answer = read(predictor, path)
    record = condition_file(path, "zzu", predictor.signal, predictor.leads, predictor.quality)
    ecg_mv = record.signal[None].astype(np.float32) / 1000
    np.testing.assert_allclose(list(answer.probabilities.values()), predictor.predict_array(ecg_mv)[0], atol=1e-6)
    assert list(answer.probabilities) == list(predictor.labels)
    assert answer.positive == [name for name, value in answer.probabilities.items() if value >= 0.48]
    assert answer.leads_present == list(LEADS)
    assert not answer.warnings
    assert read(predictor, path.with_suffix("")).probabilities == answer.probabilities


def test_shards_and_predictor_hold_the_same_signal_for_each_cohort(tmp_path: Path) -> None:
    """The recipe of the cohort travels with the checkpoint: equal to the last bit, and different between cohorts."""
    overrides = ["signal.filters.other.notch_hz=30", "quality.spikes.action=repair"]
    config = load_config("debug", overrides=overrides)
    recipe = Recipe(config.signal, config.leads, config.quality)
    predictor = Predictor.load(write_run(tmp_path / "model", overrides=overrides))
    path, seen = write_record(tmp_path / "a"), []
    for number, cohort in enumerate(("mimic", "zzu", "ptbxl", "other")):
        row = manifest_row(path.with_suffix(""), number, cohort=cohort)
        build_part(f"part-{number}", "train", [row], [0], recipe, tmp_path)
        shard = pq.read_table(tmp_path / "shards" / "train" / f"part-{number}.parquet", partitioning=None)
        stored = decode_signals(
            shard["signal"].combine_chunks(), (12, round(config.signal.rate * config.signal.seconds))
        )[0]
        alone = predictor.read(path, cohort)
        assert isinstance(alone, Conditioned)
        np.testing.assert_array_equal(alone.signal, stored)
        assert shard["flags"].to_pylist() == [list(alone.flags)]
        seen.append(stored.tobytes())
    assert len(set(seen)) == 3  # zzu and ptbxl have the same recipe


def test_batches_keep_order_and_values(predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write_record(tmp_path / f"r{n}", seed=n) for n in range(5)]
    paths.insert(2, tmp_path / "absent.hea")
    one_by_one = [predictor.predict_file(path) for path in paths]
    monkeypatch.setattr("peace.inference.BATCH", 2)
    together = list(predictor.predict_files(paths))
    assert [answer.record for answer in together] == [str(path) for path in paths]
    assert isinstance(together[2], RejectedRecord)
    for one, other in zip(one_by_one, together, strict=True):
        if isinstance(one, Prediction):
            assert isinstance(other, Prediction)
            assert other.probabilities == pytest.approx(one.probabilities, abs=1e-6)
    assert len({tuple(answer.probabilities.values()) for answer in together if isinstance(answer, Prediction)}) == 5


def test_lead_order_in_the_file_does_not_matter(predictor: Predictor, tmp_path: Path) -> None:
    path = write_record(tmp_path / "a")
    text = path.read_text().splitlines()
    stored = np.fromfile(tmp_path / "a.dat", "<i2").reshape(-1, 12)
    order = [3, 0, 11, 5, 4, 1, 2, 6, 10, 8, 9, 7]
    stored[:, order].tofile(tmp_path / "b.dat")
    lines = [text[0].replace("a ", "b ", 1), *(text[1 + k].replace("a.dat", "b.dat") for k in order)]
    (tmp_path / "b.hea").write_text("\n".join(lines) + "\n")
    assert read(predictor, tmp_path / "b").probabilities == pytest.approx(read(predictor, path).probabilities, abs=1e-6)


def test_nine_leads_are_read_with_a_warning(predictor: Predictor, tmp_path: Path) -> None:
    answer = read(predictor, write_record(tmp_path / "nine", leads=NINE))
    assert answer.leads_missing == ["V2", "V4", "V6"]
    assert any("twelve-lead records only" in text for text in answer.warnings)
    trained_on_nine = Predictor.load(write_run(tmp_path / "model9", require=9))
    assert not read(trained_on_nine, tmp_path / "nine").warnings


def test_a_short_record_is_read_with_a_warning(predictor: Predictor, tmp_path: Path) -> None:
    answer = read(predictor, write_record(tmp_path / "short", seconds=4))
    assert answer.seconds == pytest.approx(4, abs=0.02)
    assert any("4.0 s long" in text for text in answer.warnings)


def test_refusals_name_the_reason(predictor: Predictor, tmp_path: Path) -> None:
    write_record(tmp_path / "six", leads=LEADS[:6])
    write_record(tmp_path / "odd", leads=[*LEADS[:6], "X9", *LEADS[7:]])
    cut = write_record(tmp_path / "cut").with_suffix(".dat")
    cut.write_bytes(cut.read_bytes()[:-5000])
    write_record(tmp_path / "alone").with_suffix(".dat").unlink()
    write_record(tmp_path / "brief", seconds=1)
    (tmp_path / "text.hea").write_text("this is no header\n")
    expected = {
        "six": "missing_lead",
        "odd": "missing_lead",
        "cut": "truncated_signal",
        "alone": "missing_signal",
        "brief": "too_short",
        "text": "bad_header",
        "nowhere": "missing_header",
    }
    answers = predictor.predict_files([tmp_path / name for name in expected])
    assert {Path(answer.record).name: getattr(answer, "reason", None) for answer in answers} == expected


def test_thresholds_may_be_missing(tmp_path: Path) -> None:
    predictor = Predictor.load(write_run(tmp_path / "model", thresholds=False))
    answer = read(predictor, write_record(tmp_path / "a"))
    assert answer.thresholds is None
    assert answer.positive is None
    assert any("no thresholds" in text for text in answer.warnings)


def test_the_text_side_is_not_needed(run: Path, predictor: Predictor, tmp_path: Path) -> None:
    path = write_record(tmp_path / "a")
    shutil.copytree(run, tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "checkpoint" / "training")
    assert read(Predictor.load(tmp_path / "bare"), path).probabilities == read(predictor, path).probabilities


def test_a_masked_lead_may_hold_anything(predictor: Predictor) -> None:
    ecg_mv = np.random.default_rng(0).normal(0, 0.2, (3, 12, predictor.length))
    mask = np.ones((3, 12))
    mask[:, 7] = 0
    expected = predictor.predict_array(ecg_mv, mask)
    ecg_mv[:, 7] = np.nan
    np.testing.assert_array_equal(predictor.predict_array(ecg_mv, mask), expected)
    # a lead that is NaN throughout is absent without being told
    np.testing.assert_array_equal(predictor.predict_array(ecg_mv), expected)
    assert predictor.predict_array(ecg_mv[:0]).shape == (0, 12)


def test_arrays_of_another_kind_are_refused(predictor: Predictor) -> None:
    good = np.zeros((2, 12, predictor.length))
    for wrong in (good[0], good[:, :9], good[:, :, :50], good.transpose(0, 2, 1)):
        with pytest.raises(DataError, match="must have the shape"):
            predictor.predict_array(wrong)
    with pytest.raises(DataError, match="lead mask must have the shape"):
        predictor.predict_array(good, np.ones(12))
    good[1, 3, 5] = np.nan
    with pytest.raises(DataError, match="free of NaN"):
        predictor.predict_array(good)


def test_unknown_cohort_names_the_nearest(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown cohort 'zuu'; did you mean 'zzu'"):
        predictor.predict_file(write_record(tmp_path / "a"), "zuu")


@pytest.mark.real
def test_real_children(predictor: Predictor, real_data: Path) -> None:
    paths = sorted((real_data / "zzu").rglob("*.hea"))
    answers = [read(predictor, path) for path in paths]
    assert [len(answer.leads_present) for answer in answers] == [12] * 8 + [9]
    # electrode-off spikes near 26 mV are pointed out
    assert any("electrode" in text for text in answers[3].warnings), answers[3]
