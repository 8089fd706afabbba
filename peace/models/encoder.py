"""The ECG encoder: a 1-D residual network of the xresnet family (KED's encoder is xresnet1d101; method 1.2)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from peace.core.errors import ConfigError
from peace.models.norm import Norm, normalisation, statistics_kept

if TYPE_CHECKING:
    from peace.config import EncoderConfig


class EcgEncoder(nn.Module):
    """Twelve leads in, a sequence of tokens out; no pooling and no classification head.

    The stem halves the rate twice and each stage after the first halves it again: stride 32 with four stages, so
    1000 samples become 32 tokens and 5000 become 157.
    """

    def __init__(self, config: EncoderConfig, leads: int = 12) -> None:
        super().__init__()
        channels = (leads, *config.stem)
        self.stem = nn.Sequential(
            *(
                _convolution(before, after, config.kernel, config.norm, stride=2 if position == 0 else 1)
                for position, (before, after) in enumerate(zip(channels, config.stem, strict=False))
            ),
            nn.MaxPool1d(3, stride=2, padding=1),
        )
        before = config.stem[-1]
        self.stages = nn.ModuleList()
        for number, (blocks, width) in enumerate(zip(config.blocks, config.widths, strict=True)):
            stride = 1 if number == 0 else 2
            self.stages.append(_stage(before, width, blocks, stride, config))
            before = width * config.expansion
        self.out_channels = before
        self.frozen_stages = 0
        self.recompute = False  # blocks keep their input alone, and are run again in the backward pass

    def forward(self, ecg_bct: Tensor) -> Tensor:
        """(B, leads, T) to (B, out_channels, N) with N = T / stride, rounded up."""
        x = self.stem(ecg_bct)
        for stage in self.stages:
            for block in cast(nn.Sequential, stage):
                x = self._recomputed(block, x) if self.recompute and x.requires_grad else block(x)
        result: Tensor = x
        return result

    def freeze_stages(self, count: int) -> None:
        """Keep the stem and the first `count` stages as they are, their running statistics too; 0 frees everything.

        Raises ConfigError where there are fewer stages.
        """
        if count > len(self.stages):
            raise ConfigError(f"cannot freeze {count} stages: the ECG encoder has {len(self.stages)}")
        self.frozen_stages = count
        for part, frozen in self._parts():
            part.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> EcgEncoder:
        """Frozen stages stay in evaluation mode, or their running statistics would drift to the new cohort."""
        super().train(mode)
        for part, frozen in self._parts():
            if frozen:
                part.eval()
        return self

    def _recomputed(self, block: nn.Module, x: Tensor) -> Tensor:
        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), statistics_kept(block)

        # no random numbers in here that would have to be drawn again
        out: Tensor = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)
        return out

    def _parts(self) -> list[tuple[nn.Module, bool]]:
        stages = [(stage, number < self.frozen_stages) for number, stage in enumerate(self.stages)]
        return [(self.stem, self.frozen_stages > 0), *stages]


class ResidualBlock(nn.Module):
    """Two convolutions (expansion 1) or a bottleneck of three; the shortcut averages before it projects."""

    def __init__(self, before: int, width: int, stride: int, config: EncoderConfig) -> None:
        super().__init__()
        after = width * config.expansion
        kernel, norm = config.kernel, config.norm
        if config.expansion == 1:
            layers = [
                _convolution(before, width, kernel, norm, stride),
                _convolution(width, after, kernel, norm, last=True),
            ]
        else:
            layers = [
                _convolution(before, width, 1, norm),
                _convolution(width, width, kernel, norm, stride),
                _convolution(width, after, 1, norm, last=True),
            ]
        self.path = nn.Sequential(*layers)
        shortcut: list[nn.Module] = []
        if stride > 1:
            shortcut.append(nn.AvgPool1d(stride, ceil_mode=True))
        if before != after:
            shortcut.append(_convolution(before, after, 1, norm, activate=False))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, N) to (B, width * expansion, N / stride)."""
        return torch.relu(self.path(x) + self.shortcut(x))


def _stage(before: int, width: int, blocks: int, stride: int, config: EncoderConfig) -> nn.Sequential:
    after = width * config.expansion
    first = ResidualBlock(before, width, stride, config)
    return nn.Sequential(first, *(ResidualBlock(after, width, 1, config) for _ in range(blocks - 1)))


def _convolution(
    before: int, after: int, kernel: int, norm: Norm, stride: int = 1, activate: bool = True, last: bool = False
) -> nn.Sequential:
    """Convolution, normalisation, ReLU. `last` of a block: no ReLU, and the block starts as its shortcut alone."""
    convolution = nn.Conv1d(before, after, kernel, stride, padding=(kernel - 1) // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight)
    normalise = normalisation(norm, after)
    nn.init.constant_(cast(Tensor, normalise.weight), 0.0 if last else 1.0)
    layers: list[nn.Module] = [convolution, normalise]
    if activate and not last:
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)
