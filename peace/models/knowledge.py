"""The text side of the training: from the descriptors of a record's labels to axis tokens and one fused embedding.

Built from the labels of the record itself, so nothing of it may reach an output that is graded (method 1.5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from peace.models.text import TextEncoder

if TYPE_CHECKING:
    from peace.config import TextConfig
    from peace.descriptors import Descriptors

Composition = Literal["mean", "sum", "attention"]
Fusion = Literal["mlp", "mean"]


class KnowledgeComposer(nn.Module):
    """Embeds the descriptors once a step, and composes them for each record over its positive labels (method 1.6).

    Where the descriptors have age bands, a record of known age is composed of the texts of its band (our choice).
    """

    band_starts: Tensor
    rows_gka: Tensor

    def __init__(self, config: TextConfig, descriptors: Descriptors, width: int, composition: Composition) -> None:
        super().__init__()
        self.shape = (len(descriptors.texts), len(descriptors.texts[0]))
        self.composition = composition
        self.names = descriptors.names
        self.aged = bool(descriptors.by_age)
        groups = [descriptors.texts, *descriptors.by_age]
        texts = [text for group in groups for label in group for text in label]
        if self.aged:
            from peace.descriptors.bands import STARTS_DAYS

            texts = list(dict.fromkeys(texts))  # most texts are common to all ages: each is encoded once
            row = {text: number for number, text in enumerate(texts)}
            rows = [[[row[text] for text in label] for label in group] for group in groups]
            self.register_buffer("rows_gka", torch.tensor(rows), persistent=False)
            self.register_buffer("band_starts", torch.tensor(STARTS_DAYS[1:]), persistent=False)
        self.encoder = TextEncoder(config, texts, vocabulary=self.names)
        hidden = self.encoder.width
        self.project = nn.Sequential(nn.Linear(hidden, width), nn.GELU(), nn.Linear(width, width), nn.LayerNorm(width))
        if composition == "attention":
            self.score = nn.Linear(width, 1)

    def name_embeddings(self) -> Tensor:
        """What the text encoder makes of the label names: (K, hidden), without gradient."""
        with torch.no_grad():
            return self.encoder.encode(self.names)

    def forward(self, target_bk: Tensor, age_days_b: Tensor | None = None) -> Tensor:
        """Axis tokens (B, A, width) of records with multi-hot labels (B, K); zero for a record without labels.

        Ages (B,) in days, NaN where unknown, count where the descriptors have age bands.
        """
        texts = self.project(self.encoder())
        target_bk = target_bk.nan_to_num()  # a record's text has its labels, not what is doubtful
        if self.aged:
            return self._at_age(texts, target_bk.to(texts.dtype), age_days_b)
        return self._compose(texts.unflatten(0, self.shape), target_bk.to(texts.dtype))

    def _at_age(self, texts_nd: Tensor, target_bk: Tensor, age_days_b: Tensor | None) -> Tensor:
        """Each group of records, the general one and the age bands, composed of its own texts."""
        if age_days_b is None:
            age_days_b = target_bk.new_full((len(target_bk),), float("nan"))
        known = torch.bucketize(age_days_b.nan_to_num(0.0), self.band_starts, right=True) + 1
        group_b = torch.where(age_days_b.isnan(), 0, known)
        texts_gkad = texts_nd[self.rows_gka]
        tokens = [self._compose(texts_gkad[group], target_bk) for group in range(len(texts_gkad))]
        return torch.stack(tokens)[group_b, torch.arange(len(group_b), device=group_b.device)]

    def _compose(self, texts_kad: Tensor, target_bk: Tensor) -> Tensor:
        return torch.einsum("bka,kad->bad", self._weights(texts_kad, target_bk), texts_kad)

    def _weights(self, texts_kad: Tensor, target_bk: Tensor) -> Tensor:
        if self.composition == "attention":
            score_bka = self.score(texts_kad).squeeze(-1)[None] + torch.zeros_like(target_bk)[:, :, None]
            absent = target_bk[:, :, None] == 0
            # a finite floor instead of -inf: a record without labels would give NaN
            weights = score_bka.masked_fill(absent, -1e4).softmax(dim=1)
            result: Tensor = weights.masked_fill(absent, 0.0)
            return result
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
