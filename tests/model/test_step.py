"""Options of a step: each trains and resumes to the same weights; parts of a batch give the gradients of the whole."""

from __future__ import annotations

import io
import math
import shutil
from typing import Any

import pytest
import torch
from training_pieces import ALIGNING, make_trainer

from peace.core.errors import ConfigError
from peace.training.trainer import Diverged, Trainer

METHODS = ("peace", "ecg_only", "early_fusion", "late_fusion", "merl", "ked", *ALIGNING)
AUGMENTED = [f"pretrain.augment.{name}=0.1" for name in ("lead_dropout", "gain", "noise_mv", "shift")]
OPTIONS = {
    "fp32": [],
    "bf16": ["pretrain.precision=bf16"],
    "tf32": ["pretrain.tf32=true"],
    "activation checkpointing": ["pretrain.activation_checkpointing=true"],
    "moving average": ["pretrain.ema_decay=0.9"],
    "micro batches": ["pretrain.micro_batch_size=3"],
    "sync batch": ["model.encoder.norm=sync_batch"],
}


def gone_on(trainer: Trainer, overrides: list[str], wise_ft_alpha: float = 0.0) -> Trainer:
    """A fresh trainer that has taken up what a checkpoint would hold of `trainer`."""
    stream = io.BytesIO()
    task = trainer.task
    torch.save([trainer.classifier.state_dict(), task.training_state(), trainer.state()], stream)
    stream.seek(0)
    weights, side, state = torch.load(stream, weights_only=True)
    other = make_trainer(overrides, wise_ft_alpha=wise_ft_alpha)
    other.task.classifier.load_state_dict(weights)
    other.task.load_training_state(side)
    other.load_state(state)
    return other


def run(trainer: Trainer, epoch: int) -> dict[str, Any]:
    return trainer.run_epoch(epoch, lambda done, total: None)


@pytest.mark.parametrize(
    ("name", "share"), [*((name, 0.0) for name in OPTIONS), ("fp32", 0.4), ("moving average", 0.4)]
)
def test_each_option_trains_and_goes_on_to_the_same_weights(name: str, share: float) -> None:
    overrides = [*OPTIONS[name], *AUGMENTED, "pretrain.learning_rate=5e-3"]
    trainer = make_trainer(overrides, wise_ft_alpha=share)
    first = run(trainer, 0)
    other = gone_on(trainer, overrides, share)
    for found in (run(trainer, 1), run(other, 1)):
        assert found["loss_classification"] < first["loss_classification"]
        assert found["memory_mb"] > 0
        assert 0 <= found["data_wait_share"] < 1
    for which in ("classifier", "task"):
        expected = getattr(trainer, which).state_dict()
        for key, value in getattr(other, which).state_dict().items():
            assert torch.equal(value, expected[key]), key


@pytest.mark.heavy
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
def test_a_compiled_encoder_trains_as_the_plain_one() -> None:
    losses = [run(make_trainer(options), 0)["loss"] for options in ([], ["pretrain.compile_encoder=true"])]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_the_average_is_what_is_judged_and_follows_the_weights() -> None:
    trainer = make_trainer(["pretrain.ema_decay=0.9"])
    before = trainer.classifier.encoder.stem[0][0].weight.clone()
    run(trainer, 0)
    live, kept = (model.encoder.stem[0][0].weight for model in (trainer.task.classifier, trainer.classifier))
    assert 0 < (kept - before).norm() < (live - before).norm()
    statistics = dict(trainer.task.classifier.named_buffers())
    assert all(torch.equal(value, statistics[name]) for name, value in trainer.classifier.named_buffers())


def test_so_much_of_the_start_is_in_what_is_judged() -> None:
    trainer = make_trainer(wise_ft_alpha=0.25)
    before = {name: value.clone() for name, value in trainer.task.classifier.state_dict().items()}
    run(trainer, 0)
    live, kept = trainer.task.classifier.state_dict(), trainer.classifier.state_dict()
    assert any(not torch.equal(live[name], before[name]) for name in live if name.endswith("running_mean"))
    for name, value in kept.items():
        expected = live[name] if not value.is_floating_point() else 0.25 * before[name] + 0.75 * live[name]
        torch.testing.assert_close(value, expected, msg=name)


def gradients(overrides: list[str]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    trainer = make_trainer([*overrides, "pretrain.gradient_clip=1e9"])
    trainer.stepper.module.train()
    batch = next(iter(trainer.source.epoch(0)))
    ecg, mask, target = batch.on(trainer.device)
    torch.manual_seed(5)
    losses, _ = trainer.stepper.backward(ecg, mask, target, 0.8, batch.ages_on(trainer.device))
    return losses.total.detach(), {n: p.grad for n, p in trainer.task.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("method", METHODS)
def test_parts_of_a_batch_give_the_gradients_of_the_whole(method: str) -> None:
    """With dropout, and with a norm that looks at each record by itself."""
    common = [f"objective.method={method}", "model.encoder.norm=group", "model.query.dropout=0.1"]
    loss, whole = gradients(common)
    for size in (1, 3):
        in_parts, parts = gradients([*common, f"pretrain.micro_batch_size={size}"])
        torch.testing.assert_close(in_parts, loss, rtol=1e-5, atol=1e-6)
        assert set(parts) == set(whole)
        for name, gradient in whole.items():
            torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-5)


def test_recomputed_blocks_give_the_same_gradients_and_statistics() -> None:
    plain = make_trainer(["pretrain.epochs=1"])
    recomputed = make_trainer(["pretrain.epochs=1", "pretrain.activation_checkpointing=true"])
    for trainer in (plain, recomputed):
        run(trainer, 0)
    for name, value in plain.task.state_dict().items():
        assert torch.equal(value, recomputed.task.state_dict()[name]) or "num_batches" in name, name


def test_running_statistics_see_each_part_once() -> None:
    """Or the two passes over a part would make them forget twice as fast."""
    trainer = make_trainer(["pretrain.micro_batch_size=8", "pretrain.learning_rate=1e-12", "pretrain.epochs=1"])
    whole = make_trainer(["pretrain.learning_rate=1e-12", "pretrain.epochs=1"])
    for found in (trainer, whole):
        run(found, 0)
    for name, value in whole.task.classifier.named_buffers():
        if "num_batches" not in name:
            torch.testing.assert_close(trainer.task.classifier.get_buffer(name), value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["pretrain.precision=fp16"], "bf16"),
        (["pretrain.micro_batch_size=2", "model.encoder.norm=sync_batch"], "norm=group"),
        (["pretrain.compile_encoder=true", "pretrain.activation_checkpointing=true"], "choose one"),
    ],
)
def test_options_that_do_not_go_are_refused(options: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_trainer(options)


def test_a_loss_that_is_not_finite_stops_with_step_and_records() -> None:
    trainer = make_trainer(["model.encoder.norm=group", "objective.method=ecg_only"])
    steps = 0

    def spoil(module: torch.nn.Module, args: Any, out: torch.Tensor) -> torch.Tensor:
        nonlocal steps
        steps += 1
        return out if steps < 2 else torch.cat([out[:1] * math.nan, out[1:]])

    trainer.task.classifier.encoder.register_forward_hook(spoil)
    before = {name: value.clone() for name, value in trainer.task.state_dict().items()}
    batch = list(trainer.source.epoch(0))[1]
    with pytest.raises(Diverged, match=f"at step 2: .*not finite for {batch.record_id[0]};") as failed:
        run(trainer, 0)
    assert all(name in str(failed.value) for name in batch.record_id)
    assert all(torch.isfinite(value).all() for value in trainer.task.state_dict().values())
    assert any(not torch.equal(value, before[name]) for name, value in trainer.task.state_dict().items())
