"""The text side of the training: from the descriptors of a record's labels to axis tokens and one fused embedding.

Built from the labels of the record itself, so nothing of it may reach an output that is graded (method 1.5).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from peace.config import TextConfig
from peace.descriptors import Descriptors
from peace.models.text import TextEncoder

Composition = Literal["mean", "sum", "attention"]
Fusion = Literal["mlp", "mean"]


class KnowledgeComposer(nn.Module):
    """Embeds the descriptors once a step, and composes them for each record over its positive labels (method 1.6)."""

    def __init__(self, config: TextConfig, descriptors: Descriptors, width: int, composition: Composition) -> None:
        super().__init__()
        self.shape = (len(descriptors.texts), len(descriptors.texts[0]))
        self.composition = composition
        self.names = descriptors.names
        texts = [text for label in descriptors.texts for text in label]
        self.encoder = TextEncoder(config, texts, vocabulary=self.names)
        hidden = self.encoder.width
        self.project = nn.Sequential(nn.Linear(hidden, width), nn.GELU(), nn.Linear(width, width), nn.LayerNorm(width))
        if composition == "attention":
            self.score = nn.Linear(width, 1)

    def name_embeddings(self) -> Tensor:
        """What the text encoder makes of the label names: (K, hidden), without gradient."""
        with torch.no_grad():
            return self.encoder.encode(self.names)

    def forward(self, target_bk: Tensor) -> Tensor:
        """Axis tokens (B, A, width) of records with multi-hot labels (B, K); zero for a record without labels."""
        texts_kad = self.project(self.encoder()).unflatten(0, self.shape)
        weights_bka = self._weights(texts_kad, target_bk.to(texts_kad.dtype))
        return torch.einsum("bka,kad->bad", weights_bka, texts_kad)

    def _weights(self, texts_kad: Tensor, target_bk: Tensor) -> Tensor:
        if self.composition == "attention":
            score_bka = self.score(texts_kad).squeeze(-1)[None] + torch.zeros_like(target_bk)[:, :, None]
            absent = target_bk[:, :, None] == 0
            # a finite floor instead of -inf: a record without labels would give NaN
            weights = score_bka.masked_fill(absent, -1e4).softmax(dim=1)
            return weights.masked_fill(absent, 0.0)
        if self.composition == "mean":
            target_bk = target_bk / target_bk.sum(dim=1, keepdim=True).clamp(min=1)
        return target_bk[:, :, None].expand(-1, -1, texts_kad.shape[1])


class Fuse(nn.Module):
    """One embedding of the axis tokens: an MLP over all of them, or their mean."""

    def __init__(self, axes: int, width: int, fusion: Fusion) -> None:
        super().__init__()
        self.mlp: nn.Module | None = None
        if fusion == "mlp":
            self.mlp = nn.Sequential(nn.Linear(axes * width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, axes_bad: Tensor) -> Tensor:
        """(B, A, width) to (B, width)."""
        return axes_bad.mean(dim=1) if self.mlp is None else self.mlp(axes_bad.flatten(1))
