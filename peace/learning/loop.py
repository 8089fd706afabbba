"""The training loop: steps, epochs, and a state from which the next epoch comes out the same."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from peace.config import TrainingConfig
from peace.errors import DataError
from peace.learning.augment import augment
from peace.learning.data import Batch, Source
from peace.learning.ranks import Ranks
from peace.learning.schedule import learning_rate_factor

if TYPE_CHECKING:
    from peace.learning.tasks import Task
    from peace.objectives.gate import Gate


@dataclass
class EpochSoFar:
    """What the steps of an epoch add up to. It is part of a checkpoint: an epoch that goes on is counted whole."""

    step: int = 0
    steps: int = 0  # of a whole epoch, by which a step is found again where another number of workers goes on
    sums: dict[str, float] = field(default_factory=dict)
    gates: list[float] = field(default_factory=list)
    records: int = 0
    seconds: float = 0.0
    waited: float = 0.0


class Trainer:
    """Owns the optimiser, the schedule and the gate of one training; the task owns model and objectives."""

    def __init__(
        self,
        task: Task,
        gate: Gate,
        config: TrainingConfig,
        source: Source,
        ranks: Ranks,
        device: torch.device,
        seed: int,
    ) -> None:
        self.task = task.to(device)
        self.gate = gate
        self.config = config
        self.source = source
        self.ranks = ranks
        self.device = device
        self.seed = seed
        self.total_steps = source.steps * config.epochs
        groups = task.parameter_groups(config.learning_rate, config.text_learning_rate, config.weight_decay)
        self.optimiser = torch.optim.AdamW(groups)
        self.peaks = [group["lr"] for group in self.optimiser.param_groups]
        parallel = ranks.world > 1
        self.module = DistributedDataParallel(self.task) if parallel else self.task
        self.epoch = EpochSoFar(steps=source.steps)

    def run_epoch(self, number: int, on_step: Callable[[int, int], None]) -> dict[str, Any]:
        """Train one epoch (from 0) and give its mean losses, gate, rates; `on_step(steps done, steps in all)`.

        After `load_state` it goes on behind the last step of that state. `gate_steps` is the gate of every step,
        `first_step` the number of the first of them. The random numbers of a step follow from (seed, epoch, step,
        rank): a step that is run again is the same step.
        Raises DataError where the loss or a gradient is not finite, naming the step and its records.
        """
        self.module.train()
        epoch, steps = self.epoch, self.source.steps
        earlier, started = epoch.seconds, time.perf_counter()
        batches = iter(self.source.epoch(number, epoch.step))
        for step in range(epoch.step, steps):
            asked = time.perf_counter()
            batch = next(batches)
            epoch.waited += time.perf_counter() - asked
            found = self._step(batch, number * steps + step, self._seed_step(number, step))
            for name, value in found.items():
                epoch.sums[name] = epoch.sums.get(name, 0.0) + value
            epoch.gates.append(round(found["gate"], 6))
            epoch.records += len(batch.record_id)
            epoch.step = step + 1
            epoch.seconds = earlier + time.perf_counter() - started
            on_step(number * steps + step + 1, self.total_steps)
        self.epoch = EpochSoFar(steps=steps)
        metrics: dict[str, Any] = {name: value / len(epoch.gates) for name, value in epoch.sums.items()}
        metrics |= {"gate_steps": epoch.gates, "first_step": number * steps}
        metrics["samples_per_second"] = epoch.records * self.ranks.world / epoch.seconds
        metrics["data_wait_share"] = epoch.waited / epoch.seconds
        return metrics

    def _step(self, batch: Batch, done: int, generator: torch.Generator) -> dict[str, float]:
        progress = done / self.total_steps
        self._set_rates(done)
        ecg, mask, target = batch.on(self.device)
        ecg, mask = augment(ecg, mask, self.config.augment, generator)
        gate = self.gate.value(progress)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            losses = self.module(ecg, mask, target, gate, batch.ages_on(self.device))
        self.optimiser.zero_grad(set_to_none=True)
        losses.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.task.parameters(), self.config.gradient_clip)
        parts = {"loss": losses.total.detach(), "loss_classification": losses.classification}
        parts |= {f"loss_{name}": value for name, value in losses.parts.items()}
        values = dict(zip(parts, self.ranks.mean(torch.stack(list(parts.values()))).tolist(), strict=True))
        total = values["loss"]
        if not (math.isfinite(total) and math.isfinite(norm.item())):
            raise DataError(
                f"loss {total} and gradient norm {norm.item()} at step {done + 1}: training has diverged; "
                f"records of the batch: {', '.join(map(str, batch.record_id[:8]))}...; a lower learning rate may help"
            )
        self.optimiser.step()
        self.gate.update(values["loss_classification"], progress)
        return {
            **values,
            "gate": gate,
            "gradient_norm": norm.item(),
            "learning_rate": self.optimiser.param_groups[0]["lr"],
        }

    def state(self) -> dict[str, Any]:
        """Optimiser, gate and the epoch so far, in plain values and tensors."""
        return {
            "optimiser": self.optimiser.state_dict(),
            "gate": self.gate.state_dict(),
            "epoch_so_far": asdict(self.epoch),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a state written by `state`."""
        self.optimiser.load_state_dict(state["optimiser"])
        self.gate.load_state_dict(state["gate"])
        epoch = EpochSoFar(**state["epoch_so_far"])
        epoch.step = round(epoch.step * self.source.steps / epoch.steps)
        epoch.steps = self.source.steps
        self.epoch = epoch

    def _set_rates(self, done: int) -> None:
        config = self.config
        floor = config.min_learning_rate / config.learning_rate
        factor = learning_rate_factor(done, self.total_steps, config.warmup_steps, floor)
        for group, peak in zip(self.optimiser.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor

    def _seed_step(self, number: int, step: int) -> torch.Generator:
        drawn = np.random.SeedSequence([self.seed, number, step, self.ranks.rank]).generate_state(2)
        torch.manual_seed(int(drawn[0]))
        return torch.Generator().manual_seed(int(drawn[1]))
