"""Pretraining and the three protocols on Ray, from the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import peace, result_of

from peace.checkpoint import load_classifier, read_meta
from peace.data.shards import ShardSet, amplitude_factor

DEBUG = ["--preset", "debug", "tracking.enabled=false"]


@pytest.fixture(scope="module")
def pretrained(small_cohorts: Path) -> Path:
    out = small_cohorts / "pretrain"
    done = peace("pretrain", "--shards", "shards-mimic", "--out", out, *DEBUG, cwd=small_cohorts)
    assert done.returncode == 0, done.stderr
    return out


def check_predictions(run: Path, shards: Path) -> pd.DataFrame:
    frame = pd.read_parquet(run / "predictions.parquet")
    found = ShardSet.open(shards)
    for split in ("val", "test"):
        ids, target = found.labelled(split)
        part = frame[frame.split == split]
        assert sorted(part.record_id.unique()) == sorted(ids)
        assert len(part) == len(ids) * len(found.labels)
        wide = part.pivot(index="record_id", columns="label", values="target").loc[ids, list(found.labels)]
        assert (wide.fillna(0).to_numpy() == target).all()  # null: doubtful, which counts as absent there
    assert frame.probability.between(0, 1).all()
    return frame


def test_pretraining_leaves_a_whole_run(pretrained: Path, small_cohorts: Path) -> None:
    result = result_of(pretrained)
    assert result["status"] == "finished"
    assert result["epochs"] == 2
    check_predictions(pretrained, small_cohorts / "shards-mimic")
    classifier, meta = load_classifier(pretrained)
    assert meta.cohort == "mimic"
    assert set(meta.thresholds or {}) == set(meta.labels)
    assert not [name for name in classifier.state_dict() if "text" in name]
    assert (classifier.scale_mv > 0.01).all()
    assert len((pretrained / "history.jsonl").read_text().splitlines()) == 2


def test_a_finished_run_is_returned_and_a_changed_one_runs_anew(pretrained: Path, small_cohorts: Path) -> None:
    words = ["pretrain", "--shards", "shards-mimic", "--out", pretrained, *DEBUG]
    before = result_of(pretrained)
    again = peace(*words, cwd=small_cohorts)
    assert "finished already" in again.stderr
    assert result_of(pretrained) == before
    copy = small_cohorts / "changed"
    shutil.copytree(pretrained, copy)
    done = peace(*words[:4], copy, *DEBUG, "pretrain.epochs=1", cwd=small_cohorts)
    assert done.returncode == 0, done.stderr
    assert "changed: pretrain.epochs" in done.stderr
    assert result_of(copy)["epochs"] == 1
    assert len(list((copy / "previous").iterdir())) == 1


def test_protocols_score_every_record_once(pretrained: Path, small_cohorts: Path) -> None:
    shards = small_cohorts / "shards-zzu"
    frames = {}
    for protocol, extra in (("zero-shot", []), ("few-shot", ["--shots", "3", "--seed", "1"])):
        out = small_cohorts / f"adapt-{protocol}"
        words = ["adapt", "--checkpoint", pretrained, "--shards", shards, "--protocol", protocol, "--out", out]
        done = peace(*words, *extra, *DEBUG, cwd=small_cohorts)
        assert done.returncode == 0, done.stderr
        frames[protocol] = check_predictions(out, shards)
        assert read_meta(out)[1].protocol == protocol
    assert result_of(small_cohorts / "adapt-zero-shot")["trained_on"] == 0
    assert 0 < result_of(small_cohorts / "adapt-few-shot")["trained_on"] < ShardSet.open(shards).splits["train"]
    assert not np.allclose(frames["zero-shot"].probability, frames["few-shot"].probability)
    # zero-shot freezes everything: the weights are those of the pretraining, but for the calibration of amplitudes
    same = load_classifier(small_cohorts / "adapt-zero-shot")[0].state_dict()
    factor = amplitude_factor(
        ShardSet.open(small_cohorts / "shards-mimic").statistics, ShardSet.open(shards).statistics
    )
    assert factor != 1
    for name, tensor in load_classifier(pretrained)[0].state_dict().items():
        expected = tensor / factor if name == "scale_mv" else tensor
        np.testing.assert_allclose(same[name], expected, rtol=1e-6)


def test_mistakes_are_one_clear_line(pretrained: Path, small_cohorts: Path, tmp_path: Path) -> None:
    adapt = ["adapt", "--checkpoint", pretrained, "--shards", "shards-zzu", "--out", tmp_path / "a", *DEBUG]
    other = tmp_path / "other-labels"
    shutil.copytree(small_cohorts / "shards-zzu" / "shards", other)
    manifest = (other / "_manifest.json").read_text()
    (other / "_manifest.json").write_text(manifest.replace('"LQTS"', '"LONGQT"', 1))
    cases = {
        "adapt.shots": [*adapt, "--protocol", "few-shot", "--shots", "0"],
        "did you mean 'adapt.epochs'": [*adapt, "adapt.epoch=3"],
        "holds no checkpoint": ["adapt", "--checkpoint", tmp_path, *adapt[3:]],
        "LONGQT": [*adapt[:4], other, *adapt[5:]],
        "is not there": ["pretrain", "--shards", tmp_path / "nothing", "--out", tmp_path / "b", *DEBUG],
        "the cluster has": [*adapt, "ray.workers=64", "ray.cpus_per_worker=4"],
        "is the directory of a `peace pretrain` run": [*adapt[:5], "--out", pretrained, *DEBUG],
    }
    for message, words in cases.items():
        done = peace(*words, cwd=small_cohorts)
        assert done.returncode == 2, (message, done.stdout, done.stderr)
        assert message in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


@pytest.mark.heavy
def test_two_workers_and_streaming_see_every_record(small_cohorts: Path) -> None:
    for name, extra in (("two", ["ray.workers=2"]), ("stream", ["ray.in_memory_mb=0", "ray.workers=2"])):
        out = small_cohorts / name
        words = ["pretrain", "--shards", "shards-mimic", "--out", out, *DEBUG, *extra]
        done = peace(*words, cwd=small_cohorts)
        assert done.returncode == 0, done.stderr
        check_predictions(out, small_cohorts / "shards-mimic")
