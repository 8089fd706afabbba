"""Texts by age: each record is taught by those of its band, and nothing of its age reaches an output."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from peace.config import load_config
from peace.data.shards import Records
from peace.descriptors import load_descriptors
from peace.descriptors.bands import BANDS, STARTS_DAYS
from peace.descriptors.checks import check_descriptors
from peace.experiments.ablation.variants import variant_config
from peace.training.batches import MemorySource
from peace.training.tasks import Task, make_task

LABELS = ("NORM", "LAFB", "IRBBB", "CRBBB", "LVOLT", "LAE", "RAE", "LVH", "RVH", "STTC", "TAB_", "LQTS")
AGED = load_descriptors("curated_by_age", LABELS)
MIDDLE = (3.0, 100.0, 700.0, 2000.0, 3500.0, 5000.0, 20000.0)


def build(*overrides: str) -> Task:
    torch.manual_seed(0)
    config = load_config("debug", None, ["model.query.dropout=0", *overrides])
    return make_task(config, LABELS, AGED)


def test_what_changes_with_age_has_a_text_for_every_band() -> None:
    general = load_descriptors("curated", LABELS)
    assert AGED.texts == general.texts
    assert AGED.digest != general.digest
    assert not general.by_age
    for label in ("NORM", "IRBBB", "LVH", "RVH", "LQTS"):
        place = LABELS.index(label)
        assert all(AGED.by_age[band][place] != AGED.texts[place] for band in range(len(BANDS))), label
    assert AGED.by_age[0][LABELS.index("LAFB")] == AGED.texts[LABELS.index("LAFB")]
    assert AGED.variant("single").by_age == ()
    assert all(
        sorted(one) == sorted(other) for one, other in zip(AGED.variant("permuted").by_age, AGED.by_age, strict=True)
    )
    assert check_descriptors(AGED) == []


@pytest.mark.parametrize("composition", ["mean", "sum", "attention"])
def test_a_record_is_composed_of_the_texts_of_its_band(composition: str) -> None:
    task = build(f"objective.axis_composition={composition}").eval()
    composer = task.side.composer  # type: ignore[union-attr]
    target = torch.zeros(2, 12)
    target[:, [LABELS.index("NORM"), LABELS.index("LVH")]] = 1
    texts = composer.project(composer.encoder.encode(composer.encoder.texts))
    row = {text: at for at, text in enumerate(composer.encoder.texts)}
    assert len(row) < 12 * 3 * 3  # each text is encoded once, however many ages share it
    for band, age in enumerate(MIDDLE):
        ages = torch.tensor([age, math.nan])
        tokens = composer(target, ages)
        for record, group in ((0, AGED.by_age[band]), (1, AGED.texts)):
            of_labels = torch.stack(
                [texts[[row[text] for text in group[LABELS.index(label)]]] for label in ("NORM", "LVH")]
            )
            if composition != "attention":
                expected = of_labels.mean(dim=0) if composition == "mean" else of_labels.sum(dim=0)
                torch.testing.assert_close(tokens[record], expected)
        assert not torch.equal(tokens[0], tokens[1])
    assert torch.equal(composer(target, None), composer(target, torch.full((2,), math.nan)))


def test_bands_begin_where_they_say() -> None:
    composer = build().eval().side.composer  # type: ignore[union-attr]
    target = torch.zeros(1, 12)
    target[:, 0] = 1
    for band, start in enumerate(STARTS_DAYS):
        at, middle = (composer(target, torch.tensor([age])) for age in (start, MIDDLE[band]))
        assert torch.equal(at, middle), BANDS[band]
        if band:
            assert not torch.equal(at, composer(target, torch.tensor([math.floor(start - 0.5)])))


@pytest.mark.parametrize("method", ["peace", "early_fusion", "late_fusion", "merl", "ked"])
def test_every_parameter_learns_and_no_output_knows_the_age(method: str) -> None:
    task = build(f"objective.method={method}", "objective.axis_dropout=0")
    ecg, mask = torch.randn(7, 12, 200), torch.ones(7, 12)
    target = torch.eye(12)[:7]
    task(ecg, mask, target, 0.5, torch.tensor(MIDDLE)).total.backward()
    assert [name for name, one in task.named_parameters() if one.requires_grad and one.grad is None] == []
    task.eval()
    young, old = (task(ecg, mask, target, 0.5, torch.full((7,), age)) for age in (3.0, 20000.0))
    alone = task.classifier(ecg, mask)
    if method != "early_fusion":
        assert torch.equal(young.logits, old.logits)
    assert torch.equal(alone, task.classifier(ecg, mask))
    general = make_task(load_config("debug"), LABELS, load_descriptors("curated", LABELS))
    assert set(task.classifier.state_dict()) == set(general.classifier.state_dict())


def test_batches_carry_ages_and_the_ablation_names_the_variant() -> None:
    ages = np.array([3.0, np.nan, 20000.0, 700.0])
    zeros = np.zeros((4, 12, 8), np.int16)
    records = Records(
        np.array(["0", "1", "2", "3"]),
        np.array(["a", "b", "c", "d"]),
        zeros,
        np.ones((4, 12), np.uint8),
        np.ones((4, 12), np.uint8),
        ages,
    )
    for batch in MemorySource(records, 2, 0).epoch(0):
        own = ages[batch.record_id.astype(int)]
        assert np.array_equal(batch.age_days, own, equal_nan=True)
        assert np.array_equal(batch.ages_on(torch.device("cpu")).numpy(), own.astype(np.float32), equal_nan=True)
    assert variant_config(load_config("debug"), "age_bands", 1).objective.descriptors == "curated_by_age"
    assert "age_bands" not in load_config("debug").ablate.methods
