"""Training tasks in half precision, with frozen parts, as a linear probe, and with reversed gradients."""

from __future__ import annotations

import pytest
import torch
from training_tasks import LABELS, NO_TEXT, batch, beside, build, fit

from peace.core.errors import ConfigError
from peace.descriptors import Descriptors, load_descriptors


@pytest.fixture(scope="module")
def descriptors() -> Descriptors:
    return load_descriptors("curated", LABELS)


def test_half_precision_trains_to_nearly_the_same_losses(descriptors: Descriptors) -> None:
    task = build(descriptors, "objective.axis_dropout=0")
    full = task(*batch(), 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        half = task(*batch(), 1.0)
    half.total.backward()
    torch.testing.assert_close(half.classification, full.classification, rtol=0.05, atol=0.05)
    for name in ("knowledge", "contrastive"):
        torch.testing.assert_close(half.parts[name], full.parts[name], rtol=0.05, atol=0.05)
    assert half.total.dtype == half.logits.dtype == torch.float32


def test_frozen_stages_do_not_move_while_the_rest_does(descriptors: Descriptors) -> None:
    task = build(descriptors)
    task.freeze_stages(1)
    before = {name: value.clone() for name, value in task.classifier.state_dict().items()}
    fit(task, 5)
    after = task.classifier.state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if name.startswith(("encoder.stem", "encoder.stages.0"))} <= same
    assert not {name for name in before if name.startswith("encoder.stages.1") and "weight" in name} & same


def test_a_linear_probe_moves_its_one_layer_alone(descriptors: Descriptors) -> None:
    task = build(descriptors, *NO_TEXT, "model.readout=linear")
    task.classifier.freeze_features()
    before = {name: value.clone() for name, value in task.classifier.state_dict().items()}
    fit(task, 5)
    after = task.classifier.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"linear.weight", "linear.bias"}
    with pytest.raises(ConfigError, match="linear probe"):
        task.classifier.attention(*batch(1)[:2])


def test_a_text_method_wants_label_queries(descriptors: Descriptors) -> None:
    with pytest.raises(ConfigError, match="readout=query"):
        build(descriptors, "model.readout=linear")
    with pytest.raises(ConfigError, match="ecg_only"):
        build(descriptors, "objective.knowledge_weight=0", "objective.contrastive_weight=0")


def test_reversed_gradients_part_the_domain_classifier_from_the_encoder(descriptors: Descriptors) -> None:
    """The classifier goes down its loss at any gate; the encoder goes up it, as far as the gate is open."""

    def gradients(gate: float) -> tuple[torch.Tensor, torch.Tensor]:
        task = build(descriptors, "objective.method=dann", "objective.domain_weight=1")
        tokens = task.classifier.tokens(*beside("dann", batch(8))[:2])
        pooled = tokens.mean(dim=1).detach().requires_grad_()
        task.domain_loss(pooled[:8], pooled[8:], gate).backward()
        return pooled.grad, task.side[0].weight.grad

    (shut, own), (half, same) = gradients(0.0), gradients(0.5)
    whole, _ = gradients(1.0)
    assert not shut.any()
    assert own.abs().sum() > 0
    assert torch.equal(own, same)
    torch.testing.assert_close(2 * half, whole)
    # against the plain gradient: the other way round
    task = build(descriptors, "objective.method=dann")
    pooled = task.classifier.tokens(*beside("dann", batch(8))[:2]).mean(dim=1).detach().requires_grad_()
    said = task.side(pooled).squeeze(-1)
    domain = torch.arange(16) >= 8
    torch.nn.functional.binary_cross_entropy_with_logits(said, domain.float()).backward()
    torch.testing.assert_close(whole, -pooled.grad)
