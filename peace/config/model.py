"""Sizes of the network."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from peace.config.base import Section


class EncoderConfig(Section):
    """1-D residual ECG encoder, xresnet1d family; the defaults are xresnet1d101 (method: KED's encoder)."""

    blocks: tuple[int, ...] = (3, 4, 23, 3)
    widths: tuple[int, ...] = (64, 128, 128, 192)
    expansion: int = Field(4, gt=0, description="output channels of a bottleneck = width x expansion; 1 = basic block")
    stem: tuple[int, ...] = (32, 32, 64)
    kernel: int = Field(5, gt=0, description="samples, odd")
    norm: Literal["batch", "sync_batch", "group"] = Field(
        "batch", description="statistics over the batch of a worker, over that of all workers, or over none"
    )

    @model_validator(mode="after")
    def _consistent(self) -> EncoderConfig:
        if len(self.blocks) != len(self.widths) or not self.blocks or not self.stem:
            raise ValueError("blocks and widths need one number a stage, and the stem at least one")
        if min(*self.blocks, *self.widths, *self.stem) < 1 or self.kernel % 2 == 0:
            raise ValueError("blocks, widths and stem must be positive, the kernel odd")
        return self


class TextConfig(Section):
    """Text encoder: training only."""

    name: str = Field(
        "emilyalsentzer/Bio_ClinicalBERT",
        description="hub id, local folder, 'minilm' (embedded sentence encoder) or 'tiny' (random, for tests)",
    )
    frozen_layers: int = Field(
        10, ge=0, description="embeddings and so many first layers stay frozen (paper: 10 of 12)"
    )
    max_tokens: int = Field(64, gt=0)
    pooling: Literal["pooler", "mean"] = Field("pooler", description="KED uses BERT's pooler; sentence encoders mean")


class QueryConfig(Section):
    """Label query network: one query a label, cross-attending over ECG tokens."""

    depth: int = Field(7, gt=0)
    heads: int = Field(4, gt=0)
    feedforward: int = 1024
    dropout: float = Field(0.1, ge=0, lt=1)
    head: int = Field(2048, description="hidden width of the logit head")


class ModelConfig(Section):
    """Sizes of the network. `width` is the common width of tokens, queries and text."""

    width: int = 768
    encoder: EncoderConfig = EncoderConfig()
    text: TextConfig = TextConfig()
    query: QueryConfig = QueryConfig()
    readout: Literal["query", "linear"] = Field(
        "query", description="label query network, or one linear layer on the mean token: the linear probe's"
    )

    @model_validator(mode="after")
    def _divisible(self) -> ModelConfig:
        if self.width < 1 or self.query.heads < 1 or self.width % self.query.heads:
            raise ValueError(f"width {self.width} must be a multiple of query.heads {self.query.heads}")
        return self
