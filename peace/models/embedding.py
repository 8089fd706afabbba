"""Texts as vectors of the configured text encoder, for comparing texts with each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from peace.config import TextConfig
from peace.descriptors.embedding import Embed
from peace.models.text import TextEncoder


def embedder(config: TextConfig, vocabulary: Sequence[str] = ()) -> Embed:
    """A function from n texts to unit vectors (n, hidden). Raises DataError where the encoder is not available.

    `vocabulary` are texts whose words the 'tiny' encoder must know; others need none.
    """
    encoder = TextEncoder(config, list(vocabulary) or ["nothing"])

    def embed(texts: Sequence[str]) -> NDArray[np.float64]:
        with torch.no_grad():
            vectors = encoder.encode(texts).double().numpy()
        result: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
        return result

    return embed
