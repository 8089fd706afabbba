"""The losses against slow, obvious formulations, at the edges, and the gate's course."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from peace.config import GateConfig, ObjectiveConfig
from peace.objectives.classification import classification_loss
from peace.objectives.domain import maximum_mean_discrepancy, reverse_gradient
from peace.objectives.gate import CurriculumGate, make_gate
from peace.objectives.lsbc import LabelContrast, contrast
from peace.objectives.pairs import PairContrast

READINGS = ("label_specific", "label_set", "jaccard")


def slow_contrast(similarity: torch.Tensor, target: torch.Tensor, reading: str) -> float:
    """LSBC in plain loops, from method 1.3."""
    both = [slow_direction(similarity, target, reading), slow_direction(similarity.T, target, reading)]
    return sum(both) / 2


def slow_direction(similarity: torch.Tensor, target: torch.Tensor, reading: str) -> float:
    size, labels = target.shape
    sets = [{k for k in range(labels) if target[i, k]} for i in range(size)]
    if reading == "label_specific":
        groups = []
        for k in range(labels):
            rows = [i for i in range(size) if k in sets[i]]
            if rows:
                groups.append(mean([slow_row(similarity, i, {j: 1.0 for j in rows}) for i in rows]))
        return mean(groups)
    rows = []
    for i in range(size):
        weights = {}
        for j in range(size):
            union = sets[i] | sets[j]
            shared = len(sets[i] & sets[j])
            if shared:
                weights[j] = shared / len(union) if reading == "jaccard" else 1.0
        if weights:
            rows.append(slow_row(similarity, i, weights))
    return mean(rows)


def slow_row(similarity: torch.Tensor, i: int, weights: dict[int, float]) -> float:
    total = math.fsum(math.exp(float(value)) for value in similarity[i])
    mass = sum(weights.values())
    return -sum(weight / mass * math.log(math.exp(float(similarity[i, j])) / total) for j, weight in weights.items())


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def targets() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    mixed = (torch.rand(9, 5, generator=generator) < 0.35).double()
    mixed[:, 3] = 0  # a label nobody has
    mixed[:, 4] = 0
    mixed[2, 4] = 1  # a label of one record
    mixed[8] = 0  # a record without a label
    return {
        "mixed": mixed,
        "all positive": torch.ones(6, 3).double(),
        "none": torch.zeros(4, 3).double(),
        "one record": torch.tensor([[0.0, 1.0, 1.0]]).double(),
        "one record without label": torch.zeros(1, 3).double(),
        "each its own": torch.eye(5).double(),
    }


@pytest.mark.parametrize("name", list(targets()))
@pytest.mark.parametrize("reading", READINGS)
def test_contrast_equals_the_slow_reference(reading: str, name: str) -> None:
    target = targets()[name]
    generator = torch.Generator().manual_seed(1)
    similarity = 3 * torch.randn(len(target), len(target), generator=generator, dtype=torch.float64)
    similarity.requires_grad_()
    loss = contrast(similarity, target, reading)
    assert loss.item() == pytest.approx(slow_contrast(similarity.detach(), target, reading), abs=1e-9)
    loss.backward()
    assert torch.isfinite(similarity.grad).all()


def test_with_a_label_each_all_readings_are_plain_contrast() -> None:
    similarity, target = torch.randn(6, 6), torch.eye(6)
    plain = functional.cross_entropy(similarity, torch.arange(6)) / 2
    plain = plain + functional.cross_entropy(similarity.T, torch.arange(6)) / 2
    for reading in READINGS:
        torch.testing.assert_close(contrast(similarity, target, reading), plain)


@pytest.mark.parametrize("reading", READINGS)
def test_neither_order_of_records_nor_length_of_features_matters(reading: str) -> None:
    torch.manual_seed(0)
    target = (torch.rand(8, 4) < 0.4).float()
    ecg, text = torch.randn(8, 16), torch.randn(8, 16)
    loss = LabelContrast(reading, 0.1)
    expected = loss(ecg, text, target)
    order = torch.randperm(8)
    torch.testing.assert_close(loss(ecg[order], text[order], target[order]), expected)
    torch.testing.assert_close(loss(ecg * 7, text * torch.rand(8, 1).add(0.5), target), expected)
    assert not torch.isclose(loss(ecg, text.roll(1, 0), target), expected)


@pytest.mark.parametrize("reading", READINGS)
def test_alignment_within_labels_lowers_the_loss(reading: str) -> None:
    torch.manual_seed(0)
    target = torch.eye(4).repeat(3, 1)
    meaning = torch.randn(4, 16).repeat(3, 1)
    loss = LabelContrast(reading, 0.1)
    assert loss(meaning, meaning, target) < loss(meaning.roll(1, 0), meaning, target)


def test_the_temperature_is_learned_and_leaves_its_limit_again() -> None:
    loss = LabelContrast("label_set", 0.1)
    assert [name for name, _ in loss.named_parameters()] == ["log_temperature"]
    assert loss.temperature.item() == pytest.approx(0.1)
    target = torch.eye(4)
    features = torch.randn(4, 8)
    loss(features, torch.randn(4, 8), target).backward()
    assert loss.log_temperature.grad.abs() > 0
    with torch.no_grad():
        loss.log_temperature.fill_(-20.0)
    assert loss.temperature.item() == pytest.approx(0.01)
    loss.zero_grad()
    loss(features, -features, target).backward()  # the worst alignment wants a warmer softmax
    assert loss.log_temperature.grad < 0
    torch.optim.SGD(loss.parameters(), lr=1e-3).step()
    assert loss.temperature.item() > 0.01


def test_classification_is_keds_two_way_softmax() -> None:
    torch.manual_seed(0)
    pairs, target = torch.randn(6, 3, 2), (torch.rand(6, 3) < 0.5).long()
    two_way = functional.cross_entropy(pairs.flatten(0, 1), target.flatten())
    torch.testing.assert_close(classification_loss(pairs[..., 1] - pairs[..., 0], target), two_way)


def course(config: GateConfig, losses: list[float]) -> list[float]:
    gate, values = CurriculumGate(config), []
    for step, loss in enumerate(losses):
        values.append(gate.value(step / len(losses)))
        gate.update(loss, step / len(losses))
    return values


@pytest.mark.parametrize("form", ["power", "sigmoid"])
def test_the_gate_is_shut_early_and_opens_as_loss_falls_and_training_proceeds(form: str) -> None:
    config = GateConfig(form=form)
    falling = course(config, [0.7 * 0.99**step for step in range(500)])
    flat = course(config, [0.7] * 500)
    rising = course(config, [0.3 + 0.002 * step for step in range(500)])
    assert falling[0] < 0.05
    assert max(falling[:25]) < 0.06
    assert falling[-1] > 0.6
    assert all(after >= before - 1e-9 for before, after in pairwise(falling))
    assert rising[-1] < flat[-1] < falling[-1]
    assert all(0 <= value <= 1 for value in falling + flat + rising)


def test_the_gates_closed_forms() -> None:
    power = CurriculumGate(GateConfig(gamma=2, beta=0.5, decay=0.5, warmup=0.1))
    power.update(1.0, 0.0)
    power.update(2.0, 0.1)  # smoothed (0.25 * 1 + 0.5 * 2) / 0.75 = 5/3, and that is L0
    assert power.baseline == pytest.approx(5 / 3)
    power.update(0.5, 0.2)  # (0.125 + 0.5 + 0.25) / 0.875 = 1
    assert power.smoothed == pytest.approx(1.0)
    assert power.value(0.6) == pytest.approx(0.36 * math.exp(-0.5 * 0.6))
    sigmoid = CurriculumGate(GateConfig(form="sigmoid", slope=4, midpoint=0.5, floor=0.5))
    sigmoid.load_state_dict(power.state_dict())
    assert sigmoid.value(0.75) == pytest.approx(1 / (1 + math.exp(-1)) * (1 - 0.5 * 0.6))


def test_the_fixed_gate_is_a_constant() -> None:
    assert set(course(GateConfig(form="fixed", value=1.0), [0.7, 0.1, 3.0])) == {1.0}
    assert set(course(GateConfig(form="fixed", value=0.25), [0.7, 0.1, 3.0])) == {0.25}


def test_a_gate_goes_on_from_its_state() -> None:
    losses = [1.0, 0.8, 0.9, 0.5, 0.4, 0.3]
    whole = CurriculumGate(GateConfig(warmup=0.2))
    for step, loss in enumerate(losses):
        if step == 3:
            resumed = CurriculumGate(GateConfig(warmup=0.2))
            resumed.load_state_dict(whole.state_dict())
        if step >= 3:
            resumed.update(loss, step / 6)
        whole.update(loss, step / 6)
    assert resumed.value(0.9) == whole.value(0.9)
    assert resumed.state_dict() == whole.state_dict()


def test_a_loss_that_is_not_finite_does_not_shut_the_gate() -> None:
    gate = CurriculumGate(GateConfig())
    gate.update(0.7, 0.5)
    before = gate.value(0.6)
    gate.update(float("nan"), 0.5)
    gate.update(float("inf"), 0.5)
    assert gate.value(0.6) == before > 0


def slow_discrepancy(source: torch.Tensor, target: torch.Tensor) -> float:
    """Squared MMD in plain loops: five Gaussian kernels round the mean squared distance between different records."""
    both = [*source.tolist(), *target.tolist()]

    def distance(one: list[float], other: list[float]) -> float:
        return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))

    pairs = [(i, j) for i in range(len(both)) for j in range(len(both)) if i != j]
    bandwidth = sum(distance(both[i], both[j]) for i, j in pairs) / len(pairs)

    def kernel(one: list[float], other: list[float]) -> float:
        return mean([math.exp(-distance(one, other) / (bandwidth * factor)) for factor in (0.25, 0.5, 1, 2, 4)])

    def between(ones: list[list[float]], others: list[list[float]]) -> float:
        return mean([kernel(one, other) for one in ones for other in others])

    one, other = source.tolist(), target.tolist()
    return between(one, one) + between(other, other) - 2 * between(one, other)


def test_the_discrepancy_equals_the_slow_reference_and_tells_cohorts_apart() -> None:
    torch.manual_seed(0)
    source, target = torch.randn(7, 4), torch.randn(5, 4) + 1
    assert maximum_mean_discrepancy(source, target).item() == pytest.approx(slow_discrepancy(source, target), abs=1e-5)
    assert maximum_mean_discrepancy(source, source).item() == pytest.approx(0, abs=1e-6)
    far = maximum_mean_discrepancy(source, target + 3)
    near = maximum_mean_discrepancy(source, target)
    assert far > near > 0
    # scaling all features changes nothing: the loss cannot be fooled that way
    torch.testing.assert_close(maximum_mean_discrepancy(100 * source, 100 * target), near)


@pytest.mark.parametrize("sizes", [(1, 1), (3, 1), (2, 4)])
def test_the_discrepancy_of_few_or_equal_records_is_finite(sizes: tuple[int, int]) -> None:
    for features in (torch.zeros(sum(sizes), 4), torch.randn(sum(sizes), 4)):
        features.requires_grad_()
        loss = maximum_mean_discrepancy(features[: sizes[0]], features[sizes[0] :])
        loss.backward()
        assert loss >= 0
        assert torch.isfinite(features.grad).all()


def test_descending_the_discrepancy_brings_cohorts_together() -> None:
    torch.manual_seed(0)
    source, target = torch.randn(32, 4), torch.randn(32, 4) + 2
    moved = target.clone().requires_grad_()
    optimiser = torch.optim.Adam([moved], 0.05)
    for _ in range(100):
        optimiser.zero_grad()
        maximum_mean_discrepancy(source, moved).backward()
        optimiser.step()
    assert (moved.mean(0) - source.mean(0)).norm() < 0.4 * (target.mean(0) - source.mean(0)).norm()


def test_reversal_keeps_values_and_turns_gradients() -> None:
    x = torch.randn(4, 3, requires_grad=True)
    assert torch.equal(reverse_gradient(x, 0.3), x)
    (reverse_gradient(x, 0.3) * torch.arange(3.0)).sum().backward()
    torch.testing.assert_close(x.grad, -0.3 * torch.arange(3.0).expand(4, 3))


def test_the_rise_of_the_alignment_is_ganins() -> None:
    ramp = make_gate(ObjectiveConfig(method="dann"))
    assert [round(ramp.value(p), 4) for p in (0.0, 0.1, 0.5, 1.0)] == [0.0, 0.4621, 0.9866, 0.9999]
    ramp.load_state_dict(ramp.state_dict())
    assert {make_gate(ObjectiveConfig(method=name)).value(0.0) for name in ("ked", "merl", "ecg_only")} == {1.0}
    assert make_gate(ObjectiveConfig()).value(0.0) == 0.0


def test_the_pair_contrast_is_plain_cross_entropy_of_the_diagonal() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(5, 8), torch.randn(5, 8)
    rows = []
    for a, b in ((one, other), (other, one)):
        for i in range(5):
            values = [float(functional.cosine_similarity(a[i], b[j], dim=0)) / 0.1 for j in range(5)]
            rows.append(math.log(sum(map(math.exp, values))) - values[i])
    loss = PairContrast(0.1)
    assert loss(one, other).item() == pytest.approx(mean(rows), rel=1e-5)
    assert loss(one[:1], other[:1]).item() == 0
