"""The training loop: steps, epochs, and a state from which the next epoch comes out the same."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable
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

    def run_epoch(self, number: int, on_step: Callable[[int, int], None]) -> dict[str, Any]:
        """Train one epoch (from 0) and give its mean losses, gate, rates; `on_step(steps done, steps in all)`.

        `gate_steps` is the gate of every step, `first_step` the number of the first of them.
        The random numbers of an epoch follow from (seed, epoch, rank): a resumed epoch is the same epoch.
        Raises DataError where the loss or a gradient is not finite, naming the step and its records.
        """
        generator = self._seed_epoch(number)
        self.module.train()
        sums: dict[str, float] = defaultdict(float)
        gates = []
        started = time.perf_counter()
        waited = 0.0
        records = 0
        batches = iter(self.source.epoch(number))
        for step in range(self.source.steps):
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            done = number * self.source.steps + step
            found = self._step(batch, done, generator)
            for name, value in found.items():
                sums[name] += value
            gates.append(round(found["gate"], 6))
            records += len(batch.record_id)
            on_step(done + 1, self.total_steps)
        seconds = time.perf_counter() - started
        metrics: dict[str, Any] = {name: value / self.source.steps for name, value in sums.items()}
        metrics |= {"gate_steps": gates, "first_step": number * self.source.steps}
        metrics["samples_per_second"] = records * self.ranks.world / seconds
        metrics["data_wait_share"] = waited / seconds
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
        """Optimiser and gate, in plain values and tensors."""
        return {"optimiser": self.optimiser.state_dict(), "gate": self.gate.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a state written by `state`."""
        self.optimiser.load_state_dict(state["optimiser"])
        self.gate.load_state_dict(state["gate"])

    def _set_rates(self, done: int) -> None:
        config = self.config
        floor = config.min_learning_rate / config.learning_rate
        factor = learning_rate_factor(done, self.total_steps, config.warmup_steps, floor)
        for group, peak in zip(self.optimiser.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor

    def _seed_epoch(self, number: int) -> torch.Generator:
        drawn = np.random.SeedSequence([self.seed, number, self.ranks.rank]).generate_state(2)
        torch.manual_seed(int(drawn[0]))
        return torch.Generator().manual_seed(int(drawn[1]))
