"""The label query network: each label asks the ECG tokens for its own evidence (method 1.1, 1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from peace.models.attention import Attention, KeysValues
from peace.models.dropout import Dropout

if TYPE_CHECKING:
    from peace.config import QueryConfig


class LabelQueryNetwork(nn.Module):
    """Transformer decoder whose queries are the labels and whose memory is the ECG tokens.

    A query is a fixed part (a buffer: random at first, set from the label's name where there is a text encoder) plus a
    learnable offset. Both are in the state, so that inference needs no text encoder.

    `project_kv` and `answer` are apart so that the two passes of a training step share what they can: the tokens' keys
    and values in every layer.
    """

    queries: Tensor

    def __init__(self, config: QueryConfig, width: int, labels: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("queries", torch.randn(labels, width, generator=generator))
        self.offset = nn.Parameter(torch.zeros(labels, width))
        self.memory_norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(QueryLayer(config, width) for _ in range(config.depth))
        self.final_norm = nn.LayerNorm(width)
        self.head = nn.Sequential(
            nn.Linear(width, config.head), nn.GELU(), Dropout(config.dropout), nn.Linear(config.head, 1)
        )

    def set_queries(self, embeddings_kd: Tensor) -> None:
        """Take (K, D) text embeddings of the label names as the fixed part; see `fit_queries`."""
        self.queries.copy_(fit_queries(embeddings_kd, self.queries.shape[1]))

    def forward(self, tokens_bnd: Tensor) -> Tensor:
        """Logits (B, K) from tokens (B, N, D)."""
        return self.decode(self.project_kv(tokens_bnd))

    def project_kv(self, tokens_bnd: Tensor) -> list[KeysValues]:
        """Keys and values of tokens (B, N, D), one pair a layer."""
        memory = self.memory_norm(tokens_bnd)
        return [layer.cross_attention.project_kv(memory) for layer in self._layers()]

    def decode(
        self,
        ecg: list[KeysValues],
        axes: list[KeysValues] | None = None,
        hidden_axes_ba: Tensor | None = None,
        maps: list[Tensor] | None = None,
    ) -> Tensor:
        """Logits (B, K) from what `project_kv` made of the ECG tokens.

        axes: the same of axis tokens (B, A, D), in the knowledge pass of the training only. hidden_axes_ba: true where
        an axis token must not be seen. maps: a list that takes the weights (B, heads, K, N) of each layer.
        """
        hidden = None
        if axes is not None:
            seen, ecg = ecg[0].tokens, [own.join(other) for own, other in zip(ecg, axes, strict=True)]
            if hidden_axes_ba is not None:
                tokens = hidden_axes_ba.new_zeros(len(hidden_axes_ba), seen)
                hidden = torch.cat([tokens, hidden_axes_ba], dim=1)
        # one row for the whole batch until the first look at the ECG tells the records apart
        x = (self.queries + self.offset)[None]
        for layer, memory in zip(self._layers(), ecg, strict=True):
            x, weights = layer(x, memory, hidden)
            if maps is not None:
                maps.append(weights)
        result: Tensor = self.head(self.final_norm(x)).squeeze(-1)
        return result

    def decode_paired(
        self, ecg: list[KeysValues], axes: list[KeysValues], hidden_axes_ba: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits (B, K) of the ECG alone, and logits of a second pass that sees the axis tokens too; see `answer`.

        The passes go side by side, so that each layer's weights and the ECG's keys and values are gone through once.
        """
        x = (self.queries + self.offset).expand(2, 1, -1, -1)
        for layer, memory, other in zip(self._layers(), ecg, axes, strict=True):
            x = layer.twice(x, memory, other, hidden_axes_ba)
        alone, knowing = self.head(self.final_norm(x)).squeeze(-1)
        return alone, knowing

    def _layers(self) -> list[QueryLayer]:
        return cast(list[QueryLayer], list(self.layers))


class QueryLayer(nn.Module):
    """Pre-norm decoder layer: the labels look at each other, then at the ECG, then a feed-forward network."""

    def __init__(self, config: QueryConfig, width: int) -> None:
        super().__init__()
        self.self_norm, self.cross_norm, self.feed_norm = (nn.LayerNorm(width) for _ in range(3))
        self.self_attention = Attention(width, config.heads, config.dropout)
        self.cross_attention = Attention(width, config.heads, config.dropout)
        self.feed = nn.Sequential(
            nn.Linear(width, config.feedforward),
            nn.GELU(),
            Dropout(config.dropout),
            nn.Linear(config.feedforward, width),
        )
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, memory: KeysValues, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B or 1, K, D) queries to (B, K, D), and the weights (B, heads, K, N) with which they looked."""
        x = self._among_themselves(x)
        found, weights = self.cross_attention(self.cross_norm(x), memory, hidden)
        x = x + self.dropout(found)
        return x + self.dropout(self.feed(self.feed_norm(x))), weights

    def twice(self, x: Tensor, ecg: KeysValues, axes: KeysValues, hidden_ba: Tensor) -> Tensor:
        """(2, B or 1, K, D) queries of two passes to (2, B, K, D); the second pass sees the axes too."""
        x = self._among_themselves(x.flatten(0, 1)).unflatten(0, (2, -1))
        x = x + self.dropout(self.cross_attention.look_twice(self.cross_norm(x), ecg, axes, hidden_ba))
        result: Tensor = x + self.dropout(self.feed(self.feed_norm(x)))
        return result

    def _among_themselves(self, x: Tensor) -> Tensor:
        own = self.self_norm(x)
        result: Tensor = x + self.dropout(self.self_attention(own, self.self_attention.project_kv(own))[0])
        return result


def fit_queries(embeddings_kd: Tensor, width: int) -> Tensor:
    """(K, D) embeddings to (K, width) queries of unit scale; our choice.

    Where the widths differ, a fixed random projection (always the same one) keeps the angles between labels. What all
    labels share is taken out first: names of diagnoses are near-parallel in a BERT's space, and the shared part would
    drown what tells them apart.
    """
    x = embeddings_kd.detach().float()
    if len(x) > 1:
        x = x - x.mean(dim=0)
    if x.shape[1] != width:
        generator = torch.Generator().manual_seed(0)
        x = x @ torch.randn(x.shape[1], width, generator=generator).to(x.device)
    return x / x.pow(2).mean(dim=1, keepdim=True).sqrt().clamp(min=1e-6)
