"""Layers of BERT over the tokens of many texts laid end to end: nothing is spent on padding.

The texts of a label set differ in length, and a fifth of a padded batch is padding. Attention alone needs to know which
tokens belong together; all the rest of a layer looks at each token by itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class PackedTexts:
    """Where the tokens of n texts of up to L tokens lie among all T of them; from a mask (n, L), 1 for a token."""

    def __init__(self, mask_nl: Tensor) -> None:
        self.seen = mask_nl.bool()
        self.rows = self.seen.flatten().nonzero().flatten()
        # padding points to the first token: it is masked wherever it is looked at
        self.places = torch.zeros_like(mask_nl, dtype=torch.long)
        self.places[self.seen] = torch.arange(len(self.rows), device=mask_nl.device)
        self.first = self.places[:, 0]

    def pack(self, padded_nld: Tensor) -> Tensor:
        """(n, L, d) to (T, d)."""
        return padded_nld.flatten(0, 1)[self.rows]

    def layer(self, layer: Any, hidden_td: Tensor) -> Tensor:
        """What a layer makes of all tokens (T, d)."""
        found = self._attend(layer, layer.attention.self.query(hidden_td)[self.places], hidden_td)
        return _after_attention(layer, found.flatten(0, 1)[self.rows], hidden_td)

    def first_tokens(self, layer: Any, hidden_td: Tensor) -> Tensor:
        """What a layer makes of the first token of each text, (n, d): a sixth of the work of the whole layer."""
        first = hidden_td[self.first]
        queries = layer.attention.self.query(first)[:, None]
        return _after_attention(layer, self._attend(layer, queries, hidden_td)[:, 0], first)

    def _attend(self, layer: Any, queries_nqd: Tensor, hidden_td: Tensor) -> Tensor:
        attention = layer.attention.self
        keys, values = (project(hidden_td)[self.places] for project in (attention.key, attention.value))
        queries, keys, values = (
            part.unflatten(-1, (-1, attention.attention_head_size)).transpose(1, 2)
            for part in (queries_nqd, keys, values)
        )
        found = functional.scaled_dot_product_attention(queries, keys, values, self.seen[:, None, None, :])
        return found.transpose(1, 2).flatten(2)


def can_be_packed(layer: nn.Module) -> bool:
    """Whether this is the layer of BERT itself, whose parts are called here by name, and not one of its kin."""
    return type(layer).__name__ == "BertLayer"


def _after_attention(layer: Any, found: Tensor, hidden: Tensor) -> Tensor:
    attended = layer.attention.output(found, hidden)
    made: Tensor = layer.output(layer.intermediate(attended), attended)
    return made
