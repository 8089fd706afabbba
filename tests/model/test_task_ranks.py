"""Two workers with unlike parts of a batch take the step that one worker with the whole batch takes."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel
from training_pieces import make_trainer

from peace.config import load_config
from peace.descriptors import load_descriptors
from peace.objectives.gather import gather_rows
from peace.training.distributed import DistributedContext
from peace.training.tasks import Task, make_task, merl
from peace.training.trainer import Diverged

LABELS = ("NORM", "LVH", "RVH", "STTC", "TAB_")
RECORDS = 10
SHARES = (slice(0, 3), slice(3, RECORDS))  # unlike numbers of records

ALIGNING = ("dann", "mmd")
KINDS: dict[str, list[str]] = {
    "label_set": [],
    "label_specific": ["objective.reading=label_specific"],
    "jaccard": ["objective.reading=jaccard"],
    "attention": ["objective.axis_composition=attention"],
    "sync_batch": ["model.encoder.norm=sync_batch"],
    **{name: [f"objective.method={name}"] for name in ("ecg_only", "early_fusion", "late_fusion", "merl", "ked")},
    **{name: [f"objective.method={name}"] for name in ALIGNING},
}


def task(kind: str) -> Task:
    # statistics over the batch of one worker and random hiding differ with the share by nature, so they are left out
    off = ["model.encoder.norm=group", "model.query.dropout=0", "objective.axis_dropout=0", "objective.text_dropout=0"]
    merl.VIEW_DROPOUT = 0.0
    torch.manual_seed(0)
    config = load_config("debug", None, [*off, *KINDS[kind]])
    return make_task(config, LABELS, load_descriptors("curated", LABELS), unlabelled=True)


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    target = (torch.rand(RECORDS, len(LABELS), generator=generator) < 0.4).float()
    target[:3, 1] = 0
    target[3:, 1] = 1  # a label that only the second worker sees
    return torch.randn(RECORDS, 12, 200, generator=generator), torch.ones(RECORDS, 12), target


def inputs(kind: str, rows: slice) -> tuple[torch.Tensor, ...]:
    """Some rows of the batch; behind them as many unlabelled records, where cohorts are aligned."""
    ecg, mask, target = (part[rows] for part in batch())
    if kind in ALIGNING:
        ecg = torch.cat([ecg, 2 * ecg.flip(2)])
        mask = torch.cat([mask, mask])
    return ecg, mask, target


def worker(rank: int, port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    found = {}
    for kind in KINDS:
        module = task(kind)
        parallel = DistributedDataParallel(module)  # held: its hooks on the gradients go with it
        losses = parallel(*inputs(kind, SHARES[rank]), 0.8)
        losses.total.backward()
        gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
        parts = {"total": losses.total.detach(), "classification": losses.classification, **losses.parts}
        found[kind] = {"parts": parts, "gradients": gradients, "buffers": dict(module.named_buffers())}
    found["epochs"] = two_epochs(DistributedContext(rank, 2), [])
    found["epochs in parts"] = two_epochs(DistributedContext(rank, 2), ["pretrain.micro_batch_size=2"])
    found["diverged"] = {"message": message_of_divergence(rank)}
    # uneven: three rows here, seven there
    rows = torch.arange(20.0).reshape(10, 2).requires_grad_()
    gathered = gather_rows(rows[SHARES[rank]])
    (gathered**2).sum().backward()
    found["uneven"] = {"rows": gathered.detach(), "gradient": rows.grad}
    torch.save(found, Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


def two_epochs(ranks: DistributedContext, options: list[str]) -> dict[str, Any]:
    """Weights and last losses of 23 records, eight a step."""
    off = ["model.encoder.norm=group", "model.query.dropout=0", "objective.axis_dropout=0", *options]
    trainer = make_trainer(off, ranks, count=23)
    metrics = [trainer.run_epoch(number, lambda done, total: None) for number in range(2)][1]
    return {"weights": trainer.task.state_dict(), "loss": metrics["loss"], "norm": metrics["gradient_norm"]}


def message_of_divergence(rank: int) -> str:
    """What is raised where the second worker alone meets a NaN, in the second step."""
    trainer = make_trainer([], DistributedContext(rank, 2))
    calls = 0

    def spoil(module: torch.nn.Module, args: Any, out: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return out * float("nan") if rank == 1 and calls == 2 else out

    trainer.task.classifier.encoder.register_forward_hook(spoil)
    with pytest.raises(Diverged) as failed:
        trainer.run_epoch(0, lambda done, total: None)
    return str(failed.value)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, torch.Tensor]]]:
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(worker, (port, str(folder)), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("kind", KINDS)
def test_two_workers_with_parts_of_a_batch_equal_one(found: list[dict[str, dict[str, Any]]], kind: str) -> None:
    module = task(kind)
    losses = module(*inputs(kind, slice(None)), 0.8)
    losses.total.backward()
    whole = {"total": losses.total.detach(), "classification": losses.classification, **losses.parts}
    for name, value in whole.items():
        mean = (found[0][kind]["parts"][name] + found[1][kind]["parts"][name]) / 2
        torch.testing.assert_close(mean, value, rtol=1e-5, atol=1e-6)
    buffers = dict(module.named_buffers())
    for rank in found:
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                close(rank[kind]["gradients"][name], parameter.grad, name)
        for name, value in rank[kind]["buffers"].items():
            close(value, buffers[name], name)


@pytest.mark.parametrize("name", ["epochs", "epochs in parts"])
def test_two_epochs_end_at_the_same_weights_on_one_worker_and_on_two(
    found: list[dict[str, dict[str, Any]]], name: str
) -> None:
    one = two_epochs(DistributedContext(), [])
    for rank in found:
        assert rank[name]["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert rank[name]["norm"] == pytest.approx(one["norm"], rel=1e-3)
        for key, value in rank[name]["weights"].items():
            torch.testing.assert_close(value, one["weights"][key], rtol=1e-3, atol=1e-4)


def test_a_nan_of_one_worker_stops_both_alike(found: list[dict[str, dict[str, Any]]]) -> None:
    one, other = (rank["diverged"]["message"] for rank in found)
    assert one == other
    whole = list(make_trainer().source.epoch(0))[1]
    assert "at step 2" in one
    assert all(name in one for name in whole.record_id)


def close(value: torch.Tensor, expected: torch.Tensor | None, name: str) -> None:
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5, msg=lambda text: f"{name}: {text}")


def test_workers_with_unlike_numbers_of_rows_share_them_all(
    found: list[dict[str, dict[str, torch.Tensor]]],
) -> None:
    rows = torch.arange(20.0).reshape(10, 2)
    for rank, own in enumerate(SHARES):
        uneven = found[rank]["uneven"]
        assert torch.equal(uneven["rows"], rows)
        expected = torch.zeros_like(rows)
        expected[own] = 2 * 2 * rows[own]  # each of the two workers computed the sum
        assert torch.equal(uneven["gradient"], expected)
