"""The label query network: each label asks the ECG tokens for its own evidence (method 1.1, 1.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from peace.config import QueryConfig


class LabelQueryNetwork(nn.Module):
    """Transformer decoder whose queries are the labels and whose memory is the ECG tokens.

    A query is a fixed part (a buffer: random at first, set from the label's name where there is a text encoder) plus a
    learnable offset. Both are in the state, so that inference needs no text encoder.
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
            nn.Linear(width, config.head), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(config.head, 1)
        )

    def set_queries(self, embeddings_kd: Tensor) -> None:
        """Take (K, D) text embeddings of the label names as the fixed part; see `fit_queries`."""
        self.queries.copy_(fit_queries(embeddings_kd, self.queries.shape[1]))

    def forward(
        self, tokens_bnd: Tensor, axes_bad: Tensor | None = None, hidden_axes_ba: Tensor | None = None
    ) -> Tensor:
        """Logits (B, K) from ECG tokens (B, N, D).

        axes_bad: axis tokens (B, A, D), in the knowledge pass of the training only. hidden_axes_ba: true where an axis
        token must not be seen.
        """
        logits, _ = self.attend(tokens_bnd, axes_bad, hidden_axes_ba)
        return logits

    def attend(
        self,
        tokens_bnd: Tensor,
        axes_bad: Tensor | None = None,
        hidden_axes_ba: Tensor | None = None,
        maps: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As forward, and where `maps` is true the cross-attention weights (B, depth, heads, K, N)."""
        memory, hidden = tokens_bnd, None
        if axes_bad is not None:
            memory = torch.cat([tokens_bnd, axes_bad], dim=1)
            if hidden_axes_ba is not None:
                seen = hidden_axes_ba.new_zeros(tokens_bnd.shape[:2])
                hidden = torch.cat([seen, hidden_axes_ba], dim=1)
        memory = self.memory_norm(memory)
        x = (self.queries + self.offset).expand(len(tokens_bnd), -1, -1)
        weights = []
        for layer in self.layers:
            x, weight = layer(x, memory, hidden, maps)
            weights.append(weight)
        logits = self.head(self.final_norm(x)).squeeze(-1)
        return logits, torch.stack(weights, dim=1) if maps else None


class QueryLayer(nn.Module):
    """Pre-norm decoder layer: the labels look at each other, then at the ECG, then a feed-forward network."""

    def __init__(self, config: QueryConfig, width: int) -> None:
        super().__init__()
        self.self_norm, self.cross_norm, self.feed_norm = (nn.LayerNorm(width) for _ in range(3))
        self.self_attention = nn.MultiheadAttention(width, config.heads, config.dropout, batch_first=True)
        self.cross_attention = nn.MultiheadAttention(width, config.heads, config.dropout, batch_first=True)
        self.feed = nn.Sequential(
            nn.Linear(width, config.feedforward),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.feedforward, width),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, memory: Tensor, hidden: Tensor | None, maps: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """(B, K, D) queries and (B, N, D) memory to (B, K, D), and the weights (B, heads, K, N) where asked for."""
        own = self.self_norm(x)
        x = x + self.dropout(self.self_attention(own, own, own, need_weights=False)[0])
        found, weights = self.cross_attention(
            self.cross_norm(x), memory, memory, hidden, need_weights=maps, average_attn_weights=False
        )
        x = x + self.dropout(found)
        return x + self.dropout(self.feed(self.feed_norm(x))), weights


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
