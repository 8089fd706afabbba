"""No method reads the answer off anything but the ECG: shuffled labels teach nothing, and runs repeat themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from peace.config import load_config
from peace.descriptors import load_descriptors
from peace.objectives.gate import make_gate
from peace.training.predict import macro_auc
from peace.training.tasks import Task, make_task

LABELS = ("NORM", "LAFB", "CRBBB", "LVH", "STTC", "LQTS")
METHODS = ("peace", "ecg_only", "early_fusion", "late_fusion", "dann", "mmd", "merl", "ked")
Data = tuple[torch.Tensor, torch.Tensor]


def records(count: int, seed: int) -> Data:
    """Beats in noise; label k turns the beats of lead k upright. ECG (n, 12, 200) and labels (n, K).

    Upright or inverted, not taller: else any model that looks at the size of a record would guess better than chance.
    """
    generator = torch.Generator().manual_seed(seed)
    target = (torch.rand(count, len(LABELS), generator=generator) < 0.35).float()
    target[target.sum(dim=1) == 0, 0] = 1
    beats = (torch.arange(200) % 50 == 10).float()
    size = torch.ones(count, 12)
    size[:, : len(LABELS)] = 2 * target - 1
    ecg = size[:, :, None] * beats + 0.1 * torch.randn(count, 12, 200, generator=generator)
    return ecg, target


def trained(method: str, data: Data, steps: int = 60, seed: int = 0) -> Task:
    torch.manual_seed(seed)
    config = load_config("debug", None, [f"objective.method={method}", "model.query.dropout=0"])
    aligning = method in ("dann", "mmd")
    task = make_task(config, LABELS, load_descriptors("curated", LABELS), unlabelled=aligning)
    gate = make_gate(config.objective)
    optimiser = torch.optim.AdamW(task.parameter_groups(5e-3, 1e-3, 0.02))
    generator = torch.Generator().manual_seed(seed)
    other = records(64, 77)[0] * 1.3
    for step in range(steps):
        rows = torch.randint(len(data[0]), (32,), generator=generator)
        ecg = torch.cat([data[0][rows], other[:32]]) if aligning else data[0][rows]
        losses = task(ecg, torch.ones(len(ecg), 12), data[1][rows], gate.value(step / steps))
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
        gate.update(float(losses.classification), step / steps)
    return task.eval()


def test_auc(task: Task, data: Data) -> float:
    with torch.no_grad():
        logits = task.classifier(data[0], torch.ones(len(data[0]), 12))
    return macro_auc(torch.sigmoid(logits).numpy(), data[1].numpy().astype(np.uint8))


test_auc.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", METHODS)
def test_shuffled_labels_teach_nothing_and_true_ones_do(method: str) -> None:
    ecg, target = records(300, 1)
    test = records(300, 2)
    shuffled = []
    for seed in (3, 4):
        order = torch.randperm(len(target), generator=torch.Generator().manual_seed(seed))
        shuffled.append(test_auc(trained(method, (ecg, target[order]), 40), test))
    # what the six logits have in common makes an AUC of chance swing by 0.09 from shuffle to shuffle
    assert abs(sum(shuffled) / 2 - 0.5) < 0.15
    assert test_auc(trained(method, (ecg, target), 80), test) > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_one_seed_gives_one_model_and_another_another(method: str) -> None:
    data = records(48, 1)
    one, same, other = (trained(method, data, 4, seed).classifier.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
