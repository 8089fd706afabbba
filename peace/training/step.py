"""One step: forward, backward and update, in the precision and in the parts that the configuration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from peace.core.errors import ConfigError
from peace.models.norm import SyncBatchNorm, statistics_kept

if TYPE_CHECKING:
    from peace.config import TrainingConfig
    from peace.training.distributed import DistributedContext
    from peace.training.tasks import StepLosses, Task

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Stepper:
    """Owns optimiser and scaler of a training. Raises ConfigError for options that do not go together."""

    def __init__(self, task: Task, config: TrainingConfig, ranks: DistributedContext, device: torch.device) -> None:
        self._check(task, config, device)
        self.task = task
        self.config = config
        self.ranks = ranks
        self.device = device
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = config.tf32
        encoder = task.classifier.encoder
        encoder.recompute = config.activation_checkpointing
        if config.compile_encoder:
            encoder.compile()
        groups = task.parameter_groups(config.learning_rate, config.text_learning_rate, config.weight_decay)
        self.optimiser = torch.optim.AdamW(groups, fused=True)
        self.peaks = [group["lr"] for group in self.optimiser.param_groups]
        self.parameters = [parameter for group in groups for parameter in group["params"]]
        self.scales = config.precision == "fp16"
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.scales)
        # in parts, gradients are exchanged once at their end
        wrapped = ranks.world > 1 and not config.micro_batch_size
        self.module: nn.Module = DistributedDataParallel(task, gradient_as_bucket_view=True) if wrapped else task

    def backward(
        self, ecg: Tensor, mask: Tensor, target: Tensor, gate: float, ages: Tensor
    ) -> tuple[StepLosses, Tensor]:
        """Losses, with their gradients on the parameters, and the norm of those before clipping."""
        self.optimiser.zero_grad(set_to_none=True)
        if self.config.micro_batch_size:
            losses = self._backward_in_parts(ecg, mask, target, gate, ages)
        else:
            with self._autocast():
                losses = self.module(ecg, mask, target, gate, ages)
            self.scaler.scale(losses.total).backward()
        self.scaler.unscale_(self.optimiser)
        return losses, nn.utils.clip_grad_norm_(self.parameters, self.config.gradient_clip)

    def update(self, factor: float) -> None:
        """Change the weights, at `factor` of the peak learning rates."""
        for group, peak in zip(self.optimiser.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        self.scaler.step(self.optimiser)
        self.scaler.update()

    def _backward_in_parts(self, ecg: Tensor, mask: Tensor, target: Tensor, gate: float, ages: Tensor) -> StepLosses:
        """Tokens of the whole batch in parts without gradient, the losses on all of them, then each part once more.

        The losses see the whole batch, so the contrast does too, and no random number is drawn in the encoder: what
        comes out are the gradients of the batch in one go, at the memory of one part (Gao et al. 2021, GradCache).
        """
        classifier, size = self.task.classifier, self.config.micro_batch_size
        parts = list(zip(ecg.split(size), mask.split(size), strict=True))
        with self._autocast():
            with torch.no_grad(), statistics_kept(classifier):
                tokens = torch.cat([classifier.tokens(*part) for part in parts])
            tokens.requires_grad_()
            losses = self.task.losses(tokens, target, gate, ages)
        self.scaler.scale(losses.total).backward()
        assert tokens.grad is not None
        for part, gradient in zip(parts, tokens.grad.split(size), strict=True):
            with self._autocast():
                again = classifier.tokens(*part)
            if again.requires_grad:
                again.backward(gradient)
        self.ranks.mean_gradients(self.parameters)
        return losses

    def state_dict(self) -> dict[str, Any]:
        """Optimiser and scaler."""
        return {"optimiser": self.optimiser.state_dict(), "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state written by `state_dict`."""
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])

    def _autocast(self) -> torch.autocast:
        kind = HALF.get(self.config.precision)
        return torch.autocast(self.device.type, kind or torch.bfloat16, enabled=kind is not None)

    @staticmethod
    def _check(task: Task, config: TrainingConfig, device: torch.device) -> None:
        if config.precision == "fp16" and device.type != "cuda":
            raise ConfigError("precision=fp16 needs a GPU (ray.gpu=true): on CPUs there is bf16")
        if config.compile_encoder and config.activation_checkpointing:
            raise ConfigError("compile_encoder and activation_checkpointing do not go together: choose one")
        synchronised = any(isinstance(layer, SyncBatchNorm) for layer in task.modules())
        if config.micro_batch_size and synchronised:
            raise ConfigError(
                "model.encoder.norm=sync_batch wants the statistics of a whole batch, micro_batch_size encodes it in "
                "parts: use norm=group, or norm=batch, whose statistics are then those of a part"
            )
