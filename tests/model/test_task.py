"""The training task as a whole: it learns in every configuration, and nothing of the text side can leak."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_tasks import (
    CONFIGURATIONS,
    LABELS,
    METHODS,
    NO_TEXT,
    assert_learned,
    batch,
    beside,
    build,
    configure,
    fit,
)

from peace.checkpoint import CheckpointMeta, load_classifier, save_checkpoint
from peace.config import load_config
from peace.core.errors import ConfigError, DataError
from peace.descriptors import Descriptors, load_descriptors
from peace.training.tasks import make_task

META = CheckpointMeta(list(LABELS), "peace12", "", {}, {}, "synthetic", "full")


@pytest.fixture(scope="module")
def descriptors() -> Descriptors:
    return load_descriptors("curated", LABELS)


@pytest.mark.parametrize("name", list(CONFIGURATIONS))
def test_every_configuration_overfits_32_records(descriptors: Descriptors, name: str) -> None:
    task = build(descriptors, *CONFIGURATIONS[name])
    data = batch()
    first = task(*beside(name, data), 0.5).classification
    losses = fit(task, 180, data=beside(name, data))
    assert first > 0.5
    assert losses.classification < 0.02
    assert_learned(task, data)


@pytest.mark.parametrize("name", list(CONFIGURATIONS))
def test_every_parameter_gets_a_gradient_in_every_step(descriptors: Descriptors, name: str) -> None:
    """So that DDP needs no search for unused parameters; also with the gate shut and one record."""
    task = build(descriptors, *CONFIGURATIONS[name])
    for size, gate in ((8, 0.0), (1, 1.0)):
        task.zero_grad(set_to_none=True)
        task(*beside(name, batch(size)), gate).total.backward()
        wanted = {parameter_name for parameter_name, p in task.named_parameters() if p.requires_grad}
        got = {parameter_name for parameter_name, p in task.named_parameters() if p.grad is not None}
        assert got == wanted
        assert all(torch.isfinite(p.grad).all() for p in task.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", list(CONFIGURATIONS))
def test_the_groups_hold_every_trainable_parameter_once(descriptors: Descriptors, name: str) -> None:
    task = build(descriptors, *CONFIGURATIONS[name])
    groups = task.parameter_groups(1e-3, 1e-5, 0.02)
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(held) == len(set(held))
    assert set(held) == {id(parameter) for parameter in task.parameters() if parameter.requires_grad}
    for group in groups:
        assert group["lr"] == (1e-5 if group["name"].startswith("text") else 1e-3)
        assert (group["weight_decay"] == 0) == group["name"].endswith("undecayed")
        assert all((parameter.ndim > 1) == (group["weight_decay"] > 0) for parameter in group["params"])
    trained_text = {"full", "pooler"} & {name}
    assert {"text"} <= {group["name"] for group in groups} if trained_text else True


def test_total_is_the_weighted_sum_of_its_parts(descriptors: Descriptors) -> None:
    task = build(descriptors, "objective.knowledge_weight=0.3", "objective.contrastive_weight=0.7")
    losses = task(*batch(), 0.4)
    expected = losses.classification + 0.3 * losses.parts["knowledge"] + 0.4 * 0.7 * losses.parts["contrastive"]
    torch.testing.assert_close(losses.total.detach(), expected)
    bare = build(None, *NO_TEXT)(*batch(), 1.0)
    assert torch.equal(bare.total.detach(), bare.classification)
    assert bare.parts == {}


@pytest.mark.parametrize("name", ["full", "linear probe", *METHODS])
def test_deleting_the_text_side_leaves_the_outputs_bit_equal(
    descriptors: Descriptors, name: str, tmp_path: Path
) -> None:
    task = build(descriptors, *CONFIGURATIONS[name])
    fit(task, 3, data=beside(name, batch()))
    task.eval()
    ecg, mask, _ = batch(5, seed=1)
    expected = task.classifier(ecg, mask)
    save_checkpoint(tmp_path / "checkpoint", task.classifier, configure(*CONFIGURATIONS[name]), META)
    task.side = None
    assert torch.equal(task.classifier(ecg, mask), expected)
    del task
    bare, _ = load_classifier(tmp_path)
    assert torch.equal(bare(ecg, mask), expected)
    held = load_file(tmp_path / "checkpoint" / "model.safetensors")
    assert not [key for key in held if key.startswith("side") or "composer" in key or "text" in key]


def test_the_classifiers_state_has_nothing_of_the_side(descriptors: Descriptors) -> None:
    with_text, without = build(descriptors), build(None, *NO_TEXT)
    assert with_text.classifier.state_dict().keys() == without.classifier.state_dict().keys()
    text = [parameter for parameter in with_text.side.parameters()]
    assert text
    own = {id(parameter) for parameter in with_text.classifier.parameters()}
    assert not own & {id(parameter) for parameter in text}


def test_one_seed_gives_one_classifier_with_or_without_text(descriptors: Descriptors) -> None:
    with_text, without = build(descriptors), build(None, *NO_TEXT)
    for (name, one), other in zip(
        with_text.classifier.named_parameters(), without.classifier.parameters(), strict=True
    ):
        assert torch.equal(one, other), name


def test_label_names_set_the_queries(descriptors: Descriptors) -> None:
    with_text, without = build(descriptors), build(None, *NO_TEXT)
    queries = with_text.classifier.query.queries
    assert not torch.allclose(queries, without.classifier.query.queries)
    order = LABELS[::-1]
    torch.manual_seed(0)
    turned = make_task(configure(), order, load_descriptors("curated", order))
    torch.testing.assert_close(turned.classifier.query.queries, queries.flip(0), rtol=1e-4, atol=1e-4)


def test_graded_logits_do_not_depend_on_the_labels_given(descriptors: Descriptors) -> None:
    """In training as in evaluation mode: the pass with axis tokens gives no logits."""
    task = build(descriptors, "objective.axis_dropout=0")
    ecg, mask, target = batch(8)
    for mode in (True, False):
        task.train(mode)
        told = task(ecg, mask, target, 1.0)
        lied = task(ecg, mask, 1 - target, 1.0)
        assert torch.equal(told.logits, lied.logits)
        assert not torch.isclose(told.parts["knowledge"], lied.parts["knowledge"])
        assert not told.logits.requires_grad


def test_the_ecg_path_learns_although_axis_tokens_give_the_answer_away(descriptors: Descriptors) -> None:
    task = build(descriptors, "objective.knowledge_weight=5", "objective.axis_dropout=0")
    data = batch()
    losses = fit(task, 110, data=data)
    assert losses.parts["knowledge"] < 0.05
    assert losses.classification < 0.05
    assert_learned(task, data)
    # and the other way round: tokens of the wrong labels mislead only the knowledge pass
    with torch.no_grad():
        wrong = task(data[0], data[1], data[2].roll(1, 0), 1.0)
    torch.testing.assert_close(wrong.logits, task.classifier(data[0], data[1]))


def test_the_ecg_path_learns_with_axis_tokens_of_other_records(descriptors: Descriptors) -> None:
    task = build(descriptors)
    composer = task.side.composer
    inner = composer.forward
    composer.forward = lambda target, ages: inner(target.roll(1, 0))
    data = batch()
    assert fit(task, 110, data=data).classification < 0.02
    assert_learned(task, data)


def test_axis_tokens_are_only_of_positive_labels(descriptors: Descriptors) -> None:
    for composition in ("mean", "sum", "attention"):
        task = build(descriptors, f"objective.axis_composition={composition}").eval()
        composer = task.side.composer
        alone = composer(torch.eye(12))
        pair = torch.zeros(2, 12)
        pair[0, [3, 7]] = 1
        tokens = composer(pair)
        both = alone[3] + alone[7]
        if composition == "mean":
            torch.testing.assert_close(tokens[0], both / 2)
        elif composition == "sum":
            torch.testing.assert_close(tokens[0], both)
        else:
            share = ((tokens[0] - alone[7]) / (alone[3] - alone[7])).median(dim=1).values
            assert ((share > 0) & (share < 1)).all()
            expected = share[:, None] * alone[3] + (1 - share[:, None]) * alone[7]
            torch.testing.assert_close(tokens[0], expected, rtol=1e-3, atol=1e-4)
        assert torch.equal(tokens[1], torch.zeros_like(tokens[1]))


def test_the_composer_equals_encoding_every_record_by_itself(descriptors: Descriptors) -> None:
    task = build(descriptors).eval()
    composer = task.side.composer
    target = batch(6)[2]
    for record, tokens in zip(target, composer(target), strict=True):
        own = [descriptors.texts[k] for k in range(12) if record[k]]
        for axis in range(3):
            naive = composer.project(composer.encoder.encode([texts[axis] for texts in own])).mean(dim=0)
            torch.testing.assert_close(tokens[axis], naive, rtol=1e-4, atol=1e-5)


def test_axis_dropout_hides_tokens_in_training_only(descriptors: Descriptors) -> None:
    task = build(descriptors, "objective.axis_dropout=0.9")
    side, axes = task.side, torch.zeros(200, 3, 32)
    torch.manual_seed(0)
    assert 0.85 < side.train().memory(axes)[1].float().mean() < 0.95
    assert not side.eval().memory(axes)[1].any()


def test_a_single_record_trains_and_scores(descriptors: Descriptors) -> None:
    task = build(descriptors)
    losses = task(*batch(1), 1.0)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    task.eval()
    assert task.classifier(*batch(1)[:2]).shape == (1, 12)


def test_a_record_without_labels_trains(descriptors: Descriptors) -> None:
    task = build(descriptors)
    ecg, mask, target = batch(4)
    losses = task(ecg, mask, torch.zeros_like(target), 1.0)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert losses.parts["contrastive"] == 0


def test_the_temperature_and_the_trained_text_layers_learn(descriptors: Descriptors) -> None:
    task = build(descriptors)
    before = {name: p.detach().clone() for name, p in task.side.named_parameters()}
    fit(task, 3)
    moved = {name for name, p in task.side.named_parameters() if not torch.equal(p, before[name])}
    assert "contrast.log_temperature" in moved
    assert any("layer.1." in name for name in moved)
    assert not any("layer.0." in name or "embeddings" in name for name in moved)


def test_the_same_seed_trains_to_the_same_numbers(descriptors: Descriptors) -> None:
    def trained() -> dict[str, torch.Tensor]:
        torch.manual_seed(11)
        task = make_task(load_config("debug"), LABELS, descriptors)
        fit(task, 4)
        return {**task.classifier.state_dict(), **task.training_state()}

    one, other = trained(), trained()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_side_goes_on_from_its_state(descriptors: Descriptors) -> None:
    task = build(descriptors)
    fit(task, 3)
    state = task.training_state()
    assert not any("layer.0." in name for name in state), "the frozen part has no place in a checkpoint"
    other = build(descriptors, seed=9)
    other.classifier.load_state_dict(task.classifier.state_dict())
    other.load_training_state(state)
    task.eval(), other.eval()
    one, two = task(*batch()), other(*batch())
    assert torch.equal(one.total, two.total)
    assert torch.equal(one.logits, two.logits)
    assert one.parts == two.parts


def test_a_side_of_another_configuration_is_refused(descriptors: Descriptors) -> None:
    state = build(descriptors).training_state()
    for override in ("model.width=16", "model.text.frozen_layers=0", "model.text.frozen_layers=2"):
        with pytest.raises(DataError, match="another configuration"):
            build(descriptors, override).load_training_state(state)
    # fewer objectives are another matter: what they do not need may go
    build(descriptors, "objective.contrastive_weight=0").load_training_state(state)
    build(None, *NO_TEXT).load_training_state(state)


def test_no_text_loads_no_text_encoder() -> None:
    task = build(None, *NO_TEXT, "model.text.name=/no/such/folder")
    assert task.side is None
    assert task.training_state() == {}


def test_descriptors_of_other_labels_are_refused(descriptors: Descriptors) -> None:
    for wrong in (None, load_descriptors("curated", LABELS[::-1])):
        with pytest.raises(ConfigError, match="same order"):
            build(wrong)
