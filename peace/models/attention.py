"""Multi-head attention whose keys and values can be made once and looked at twice.

torch's nn.MultiheadAttention projects its memory in every call and hides its weights behind a slower path; the two
passes of a training step look at the same ECG tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from peace.models.dropout import Dropout


class KeysValues(NamedTuple):
    """Keys and values of a memory of N tokens, each (B, heads, N, D / heads)."""

    keys: Tensor
    values: Tensor

    @property
    def tokens(self) -> int:
        """N."""
        return self.keys.shape[2]

    def join(self, other: KeysValues) -> KeysValues:
        """The tokens of both, these first."""
        return KeysValues(torch.cat([self.keys, other.keys], dim=2), torch.cat([self.values, other.values], dim=2))


class Attention(nn.Module):
    """Scaled dot-product attention with `heads` heads; initialised as torch's own."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.query = nn.Linear(width, width)
        self.memory = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.dropout = Dropout(dropout)
        nn.init.xavier_uniform_(self.query.weight)
        # keys and values one by one: the bound depends on the shape
        for half in self.memory.weight.chunk(2):
            nn.init.xavier_uniform_(half)
        for layer in (self.query, self.memory, self.out):
            nn.init.zeros_(layer.bias)

    def project_kv(self, memory_bnd: Tensor) -> KeysValues:
        """Keys and values of (B, N, D)."""
        keys, values = self.memory(memory_bnd).chunk(2, dim=-1)
        return KeysValues(self._split(keys), self._split(values))

    def forward(self, x_bkd: Tensor, memory: KeysValues, hidden_bn: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What (B or 1, K, D) queries find, (B, K, D), and their weights (B, heads, K, N), before dropout.

        hidden_bn: true where a token must not be seen; each record needs at least one that may be.
        """
        scores = (self._split(self.query(x_bkd)) * self.scale) @ memory.keys.transpose(-1, -2)
        if hidden_bn is not None:
            scores = scores.masked_fill(hidden_bn[:, None, None, :], float("-inf"))
        weights = scores.softmax(dim=-1)
        found = self.dropout(weights) @ memory.values
        return self.out(found.transpose(1, 2).flatten(2)), weights

    def look_twice(self, x_pbkd: Tensor, ecg: KeysValues, axes: KeysValues, hidden_ba: Tensor) -> Tensor:
        """What two sets of queries (2, B or 1, K, D) find: the first in the ECG alone, the second in the axes too.

        As two calls of `forward` would, but the ECG's keys and values are gone through once and not copied. The first
        set has no access to the axes: nothing is masked, they are not in its softmax.
        """
        count = x_pbkd.shape[2]
        queries = self._split(self.query(x_pbkd).transpose(0, 1).flatten(1, 2)) * self.scale
        scores = queries @ ecg.keys.transpose(-1, -2)
        axis_scores = queries[:, :, count:] @ axes.keys.transpose(-1, -2)
        axis_scores = axis_scores.masked_fill(hidden_ba[:, None, None, :], float("-inf"))
        alone = self.dropout(scores[:, :, :count].softmax(dim=-1))
        both = self.dropout(torch.cat([scores[:, :, count:], axis_scores], dim=-1).softmax(dim=-1))
        weights, axis_weights = both.split([ecg.tokens, axes.tokens], dim=-1)
        found = torch.cat([alone, weights], dim=2) @ ecg.values
        found = torch.cat([found[:, :, :count], found[:, :, count:] + axis_weights @ axes.values], dim=2)
        result: Tensor = self.out(found.transpose(1, 2).flatten(2)).unflatten(1, (2, count)).transpose(0, 1)
        return result

    def _split(self, x_bnd: Tensor) -> Tensor:
        result: Tensor = x_bnd.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return result
