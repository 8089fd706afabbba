"""The training loop: steps, epochs, and a state from which the next epoch comes out the same."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from peace.core.errors import DataError
from peace.training.augment import augment
from peace.training.ema import Average
from peace.training.prefetch import DeviceBatch, prefetch
from peace.training.schedule import learning_rate_factor
from peace.training.step import Stepper

if TYPE_CHECKING:
    from peace.config import TrainingConfig
    from peace.models import EcgClassifier
    from peace.objectives.gate import Gate
    from peace.training.batches import Source
    from peace.training.distributed import DistributedContext
    from peace.training.tasks import StepLosses, Task


class Diverged(DataError):
    """Loss or gradient is not finite; it says at which step, and for which records."""


@dataclass
class EpochSoFar:
    """What the steps of an epoch add up to. It is part of a checkpoint: an epoch that continues is counted whole."""

    step: int = 0
    steps: int = 0  # of a whole epoch, by which a step is found again where another number of workers continues
    sums: dict[str, float] = field(default_factory=dict)
    gates: list[float] = field(default_factory=list)
    records: int = 0
    seconds: float = 0.0
    waited: float = 0.0


class Trainer:
    """Owns the schedule, the gate and the steps of one training; the task owns model and objectives."""

    def __init__(
        self,
        task: Task,
        gate: Gate,
        config: TrainingConfig,
        source: Source,
        ranks: DistributedContext,
        device: torch.device,
        seed: int,
        wise_ft_alpha: float = 0.0,
    ) -> None:
        self.task = task.to(device)
        self.gate = gate
        self.config = config
        self.source = source
        self.ranks = ranks
        self.device = device
        self.seed = seed
        self.total_steps = source.steps * config.epochs
        averaged = config.ema_decay > 0 or wise_ft_alpha > 0
        self.average = Average(task.classifier, config.ema_decay, wise_ft_alpha) if averaged else None
        self.stepper = Stepper(task, config, ranks, device)
        self.epoch = EpochSoFar(steps=source.steps)

    @property
    def classifier(self) -> EcgClassifier:
        """What is judged and kept: the classifier, the moving average of its weights, or a mix with its start."""
        return self.task.classifier if self.average is None else self.average.classifier

    def run_epoch(self, number: int, on_step: Callable[[int, int], None]) -> dict[str, Any]:
        """Train one epoch (from 0) and give its mean losses, gate, rates; `on_step(steps done, steps in all)`.

        After `load_state` it continues behind the last step of that state. `gate_steps` is the gate of every step,
        `first_step` the number of the first of them. The random numbers of a step follow from (seed, epoch, step,
        rank): a step that is run again is the same step.
        Raises Diverged on all ranks where the loss or a gradient of one is not finite.
        """
        self.stepper.module.train()
        epoch, steps = self.epoch, self.source.steps
        earlier, started = epoch.seconds, time.perf_counter()
        batches = prefetch(iter(self.source.epoch(number, epoch.step)), self.device)
        try:
            for step in range(epoch.step, steps):
                asked = time.perf_counter()
                loaded = next(batches)
                epoch.waited += time.perf_counter() - asked
                found = self._step(loaded, number * steps + step, self._seed_step(number, step))
                for name, value in found.items():
                    epoch.sums[name] = epoch.sums.get(name, 0.0) + value
                epoch.gates.append(round(found["gate"], 6))
                epoch.records += loaded.batch.of_all * len(loaded.signal) // len(loaded.target)
                epoch.step = step + 1
                epoch.seconds = earlier + time.perf_counter() - started
                on_step(number * steps + step + 1, self.total_steps)
        finally:
            batches.close()
        self.ranks.share_statistics(self.task)
        self.epoch = EpochSoFar(steps=steps)
        metrics: dict[str, Any] = {name: value / len(epoch.gates) for name, value in epoch.sums.items()}
        metrics |= {"gate_steps": epoch.gates, "first_step": number * steps}
        metrics["samples_per_second"] = epoch.records / epoch.seconds
        metrics["data_wait_share"] = epoch.waited / epoch.seconds
        metrics["memory_mb"] = peak_memory_mb(self.device)
        return metrics

    def _step(self, loaded: DeviceBatch, done: int, generator: torch.Generator) -> dict[str, float]:
        progress = done / self.total_steps
        ecg, mask, target, ages = loaded.floats()
        ecg, mask = augment(ecg, mask, self.config.augment, generator)
        gate = self.gate.value(progress)
        losses, norm = self.stepper.backward(ecg, mask, target, gate, ages)
        parts = {"loss": losses.total.detach(), "loss_classification": losses.classification}
        parts |= {f"loss_{name}": value for name, value in losses.parts.items()}
        parts["gradient_norm"] = norm
        # one wait for the device a step; the norm is the same on all ranks
        values = dict(zip(parts, self.ranks.mean(torch.stack(list(parts.values()))).tolist(), strict=True))
        # in fp16 the scaler leaves out a step whose gradients overflow
        finite = math.isfinite(values["loss"]) and (math.isfinite(values["gradient_norm"]) or self.stepper.scales)
        if not finite:
            raise self._diverged(loaded, losses, values, done + 1)
        self.stepper.update(self._rate_factor(done))
        if self.average is not None:
            self.average.update()
        self.gate.update(values["loss_classification"], progress)
        return {**values, "gate": gate, "learning_rate": self.stepper.optimiser.param_groups[0]["lr"]}

    def _diverged(self, loaded: DeviceBatch, losses: StepLosses, values: dict[str, float], step: int) -> Diverged:
        """The error that every rank raises alike: it names the records of all."""
        names = [str(name) for name in loaded.batch.record_id]
        bad = (~losses.logits.isfinite().all(dim=1)).tolist()
        found = self.ranks.gather((names, [name for name, wrong in zip(names, bad, strict=False) if wrong]))
        record_ids = [name for own, _ in found for name in own]
        suspects = [name for _, own in found for name in own]
        message = f"loss {values['loss']:g} and gradient norm {values['gradient_norm']:g} at step {step}: diverged"
        if 0 < len(suspects) < len(record_ids):
            message += f"; outputs are not finite for {_listed(suspects)}"
        return Diverged(message + f"; records of the batch: {_listed(record_ids)}; a lower learning rate may help")

    def state(self) -> dict[str, Any]:
        """Optimiser, gate, average and the epoch so far, in plain values and tensors."""
        return {
            **self.stepper.state_dict(),
            "gate": self.gate.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "epoch_so_far": asdict(self.epoch),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a state written by `state`, after the task has taken the weights beside it."""
        self.stepper.load_state_dict(state)
        self.gate.load_state_dict(state["gate"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        epoch = EpochSoFar(**state["epoch_so_far"])
        epoch.step = round(epoch.step * self.source.steps / epoch.steps)
        epoch.steps = self.source.steps
        self.epoch = epoch

    def _rate_factor(self, done: int) -> float:
        config = self.config
        floor = config.min_learning_rate / config.learning_rate
        return learning_rate_factor(done, self.total_steps, config.warmup_steps, floor)

    def _seed_step(self, number: int, step: int) -> torch.Generator:
        drawn = np.random.SeedSequence([self.seed, number, step, self.ranks.rank]).generate_state(2)
        torch.manual_seed(int(drawn[0]))
        return torch.Generator().manual_seed(int(drawn[1]))


def peak_memory_mb(device: torch.device) -> float:
    """The most that this process has held so far: of the GPU's memory on a GPU, else of the machine's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _listed(names: list[str], most: int = 32) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
