"""The text encoder of the training: any BERT-shaped model of transformers, its first layers frozen (method 1.1).

All the text there is are a few dozen fixed strings. So they are encoded once a step, not once a record, and what the
frozen layers make of them is computed once a run and kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from peace.core.errors import ConfigError
from peace.models.packed import PackedTexts, can_be_packed
from peace.models.text_loading import load_text_model

if TYPE_CHECKING:
    from peace.config import TextConfig


class TextEncoder(nn.Module):
    """Embeds a fixed list of texts. Frozen: the embeddings and the first `frozen_layers` layers.

    There is no dropout in here: with the same few strings in every step it would only add noise to the targets.
    """

    def __init__(self, config: TextConfig, texts: Sequence[str], vocabulary: Sequence[str] = ()) -> None:
        """`vocabulary`: further texts whose words the 'tiny' encoder must know."""
        super().__init__()
        self.texts = tuple(texts)
        self.max_tokens = config.max_tokens
        self.pooling = config.pooling
        self.model, self.tokenizer = load_text_model(config, [*self.texts, *vocabulary])
        layers = self.model.encoder.layer
        if config.frozen_layers > len(layers):
            raise ConfigError(
                f"model.text.frozen_layers is {config.frozen_layers}, but '{config.name}' has {len(layers)} layers"
            )
        self.frozen_layers = config.frozen_layers
        self.width = int(self.model.config.hidden_size)
        self._freeze()
        self._prefix: _Prefix | None = None

    def forward(self) -> Tensor:
        """Embeddings (n, hidden) of the texts, with gradient to the layers that are not frozen."""
        if self._prefix is None or self._prefix.device != self._device():
            self._prefix = self._compute_prefix()
        return self._finish(self._prefix)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (n, hidden) of any texts, through all layers: the plain path, which forward equals."""
        tokens = self._tokenise(texts)
        hidden = self.model(**tokens).last_hidden_state
        return self._pool(hidden, tokens["attention_mask"])

    def token_counts(self) -> list[int]:
        """Tokens of each text, before truncation to `max_tokens`."""
        return [len(ids) for ids in self.tokenizer(list(self.texts))["input_ids"]]

    def train(self, mode: bool = True) -> TextEncoder:
        """Always in evaluation mode: no dropout (see the class)."""
        return super().train(False)

    def _freeze(self) -> None:
        layers = self.model.encoder.layer
        frozen = [self.model.embeddings, *layers[: self.frozen_layers]]
        pooler = getattr(self.model, "pooler", None)
        if pooler is not None and (self.pooling == "mean" or self.frozen_layers == len(layers)):
            frozen.append(pooler)
        for part in frozen:
            part.requires_grad_(False)

    def _compute_prefix(self) -> _Prefix:
        """Run the model to the last frozen layer, and keep what the next layer was called with."""
        tokens = self._tokenise(self.texts)
        layers = self.model.encoder.layer
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

        def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            calls.append((args, kwargs))

        device = self._device()
        # in full precision whatever the step around it does: the result serves the whole run
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            if self.frozen_layers == len(layers):
                hidden = self.model(**tokens).last_hidden_state
                return _Prefix(hidden, (), {}, tokens["attention_mask"], device)
            hook = layers[self.frozen_layers].register_forward_pre_hook(keep, with_kwargs=True)
            try:
                self.model(**tokens)
            finally:
                hook.remove()
        (hidden, *rest), kwargs = calls[0]
        return _Prefix(hidden, tuple(rest), kwargs, tokens["attention_mask"], device)

    def _finish(self, prefix: _Prefix) -> Tensor:
        layers = list(self.model.encoder.layer[self.frozen_layers :])
        if layers and all(map(can_be_packed, layers)):
            return self._finish_packed(layers, prefix)
        hidden = prefix.hidden
        for layer in layers:
            out = layer(hidden, *prefix.args, **prefix.kwargs)
            hidden = out[0] if isinstance(out, tuple) else out
        return self._pool(hidden, prefix.mask)

    def _finish_packed(self, layers: list[Any], prefix: _Prefix) -> Tensor:
        packed = prefix.packed
        hidden = packed.pack(prefix.hidden)
        for layer in layers[:-1]:
            hidden = packed.layer(layer, hidden)
        if self.pooling == "pooler":  # which looks at the first token alone
            result: Tensor = self.model.pooler(packed.first_tokens(layers[-1], hidden)[:, None])
            return result
        hidden = packed.layer(layers[-1], hidden)
        return self._pool(hidden[packed.places], prefix.mask)

    def _pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        if self.pooling == "pooler":
            result: Tensor = self.model.pooler(hidden)
            return result
        weights = mask[:, :, None].to(hidden.dtype)
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)

    def _tokenise(self, texts: Sequence[str]) -> dict[str, Tensor]:
        tokens = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        )
        return {name: tensor.to(self._device()) for name, tensor in tokens.items()}

    def _device(self) -> torch.device:
        result: torch.device = next(self.model.parameters()).device
        return result


class _Prefix:
    """What the frozen layers made of the texts, and how the library called the layer after them."""

    def __init__(
        self, hidden: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any], mask: Tensor, device: torch.device
    ) -> None:
        self.hidden, self.args, self.kwargs, self.mask, self.device = hidden, args, kwargs, mask, device
        self.packed = PackedTexts(mask)
