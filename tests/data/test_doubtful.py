"""A doubtful label from the manifest to the metrics: in no loss, in no figure, and a masked lead beside it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from cohort_manifests import manifest_row, write_manifest
from wfdb_files import write_record

from jobs.preprocess import read_manifests
from jobs.training.scoring import write_predictions
from peace.config import EvaluationConfig, LeadsConfig, QualityConfig, SignalConfig
from peace.data.labels import DOUBTFUL, load_label_set
from peace.data.shards import Recipe, ShardSet, build_part, finish
from peace.data.shards.partition import row_keys
from peace.data.signal import LEADS
from peace.evaluation.intervals import auc_by_label, auc_intervals
from peace.evaluation.metrics import evaluate
from peace.evaluation.predictions import Predictions, from_frame, read_predictions
from peace.objectives.classification import classification_loss
from peace.objectives.lsbc import LabelContrast
from peace.training.batches import as_floats, take
from peace.training.predict import Scores, macro_auc

PEACE12 = load_label_set("peace12")
LVH, RVH = PEACE12.labels.index("LVH"), PEACE12.labels.index("RVH")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    folder = tmp_path_factory.mktemp("doubtful")
    rows = [
        manifest_row(
            write_record(folder / f"r{number}", seconds=10, rate=500, seed=number),
            number,
            labels=["LVH"] if number else ["NORM"],
            doubtful=["RVH"] if number == 1 else [],
            masked_leads=["V1", "V3"] if number == 2 else [],
        )
        for number in range(3)
    ]
    manifest = read_manifests([write_manifest(folder / "manifest.parquet", rows)], PEACE12.labels)
    recipe = Recipe(SignalConfig(), LeadsConfig(), QualityConfig())
    done = [build_part("part-a", "train", manifest.to_dict("records"), row_keys(manifest).tolist(), recipe, folder)]
    finish(folder, len(manifest), done, recipe, PEACE12)
    return ShardSet.open(folder)


def test_shards_hold_what_is_doubtful_and_not_the_leads_that_the_report_calls_unreadable(shards: ShardSet) -> None:
    records = shards.load("train", ["r0", "r1", "r2"])
    assert records.target[:, LVH].tolist() == [0, 1, 1]
    assert records.target[:, RVH].tolist() == [0, DOUBTFUL, 0]
    masked = [place for place, lead in enumerate(LEADS) if lead in ("V1", "V3")]
    assert records.lead_mask.sum(axis=1).tolist() == [12, 12, 10]
    assert not records.lead_mask[2, masked].any()
    assert not records.signal[2, masked].any()
    assert records.signal[1, masked].any()
    flags = pd.concat(pd.read_parquet(file, columns=["record_id", "flags"]) for file in shards.files("train"))
    assert list(flags.set_index("record_id").loc["r2", "flags"]) == ["report_lead_masked"]


def test_a_record_without_such_names_keeps_the_key_of_an_older_manifest() -> None:
    rows = [manifest_row(Path("r1"), 1), manifest_row(Path("r2"), 2)]
    older = row_keys(pd.DataFrame(rows))
    assert (row_keys(pd.DataFrame([{**row, "doubtful": [], "masked_leads": []} for row in rows])) == older).all()
    changed = row_keys(pd.DataFrame([{**row, "doubtful": ["RVH"], "masked_leads": []} for row in rows]))
    masked = row_keys(pd.DataFrame([{**row, "doubtful": [], "masked_leads": ["RVH"]} for row in rows]))
    assert not set(older) & set(changed)
    assert not set(changed) & set(masked)


def test_a_doubtful_label_has_no_part_in_the_losses(shards: ShardSet) -> None:
    batch = take(shards.load("train", ["r0", "r1", "r2"]), np.arange(3))
    _, _, target = batch.on(torch.device("cpu"))
    assert target[1, RVH].isnan()
    assert int(target.isnan().sum()) == 1
    logits = torch.randn(target.shape, generator=torch.Generator().manual_seed(1), requires_grad=True)
    loss = classification_loss(logits, target)
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad == 0).nonzero().tolist() == [[1, RVH]]
    sure = classification_loss(logits, target.nan_to_num())
    open_ = torch.nn.functional.softplus(logits[1, RVH]) / target.numel()
    torch.testing.assert_close(loss, sure - open_)
    features = torch.randn(3, 8, generator=torch.Generator().manual_seed(2))
    contrast = LabelContrast("label_set", 0.1)
    assert contrast(features, features.flip(0), target) == contrast(features, features.flip(0), target.nan_to_num())


def test_targets_without_doubt_are_floats_as_before() -> None:
    target = torch.tensor([[0, 1], [1, 0]], dtype=torch.uint8)
    assert torch.equal(as_floats(target), target.float())


def predictions(doubtful: bool) -> Predictions:
    """Forty records in two splits; every fifth record of A is doubtful, and scored as a positive would be."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, (40, 2))
    probability = np.clip(0.3 + 0.3 * target + 0.2 * rng.standard_normal((40, 2)), 0, 1)
    target[::5, 0] = DOUBTFUL
    probability[::5, 0] = 0.99
    keep = np.ones(40, bool) if doubtful else target[:, 0] != DOUBTFUL
    numbers = np.flatnonzero(keep)
    return Predictions(
        record_id=np.array([f"r{number:02d}" for number in numbers], object),
        split=np.array(["val" if number < 20 else "test" for number in numbers], object),
        group=np.arange(len(numbers)),
        age_days=np.full(len(numbers), np.nan),
        probability_nk=probability[numbers],
        target_nk=target[numbers],
        labels=("A", "B"),
        by_patient=False,
    )


def test_metrics_of_a_label_are_those_of_the_records_that_are_sure() -> None:
    config = EvaluationConfig(bootstrap=20)
    whole, sure = evaluate(predictions(True), config), evaluate(predictions(False), config)
    left = {name: value for name, value in whole["labels"]["A"].items() if name not in ("auc_low", "auc_high")}
    assert left == {**{name: sure["labels"]["A"][name] for name in left}, "doubtful": 4}
    assert whole["labels"]["B"]["doubtful"] == 0
    assert auc_by_label(predictions(True), ["A"]) == auc_by_label(predictions(False), ["A"])
    assert auc_intervals(predictions(True), ["A"], 50, 0.95, 0).high["A"] <= 1
    found = predictions(True)
    by_hand = np.mean(list(auc_by_label(found, ["A", "B"]).values()))
    assert macro_auc(found.probability_nk, found.target_nk) == pytest.approx(by_hand)


def test_predictions_say_null_where_a_label_is_doubtful(tmp_path: Path) -> None:
    target = np.array([[1, DOUBTFUL], [0, 1]], np.uint8)
    names = np.array(["r0", "r1"])
    scores = Scores(names, names, np.array([np.nan, 400.0]), np.full((2, 2), 0.5, np.float32), target)
    write_predictions(tmp_path / "predictions.parquet", {"test": scores}, ["A", "B"])
    found = read_predictions(tmp_path / "predictions.parquet")
    assert found.target_nk.tolist() == target.tolist()
    probability, known = found.known(1)
    assert (probability.tolist(), known.tolist()) == ([0.5], [1])


def test_any_other_target_is_refused() -> None:
    from peace.core.errors import DataError

    frame = pd.DataFrame({"record_id": ["r0"], "split": ["test"], "label": ["A"], "probability": [0.5], "target": [2]})
    with pytest.raises(DataError, match="targets other than 0 and 1"):
        from_frame(frame, "predictions.csv")
