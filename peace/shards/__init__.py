"""Shards: conditioned recordings as Parquet, with everything needed to use them written beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peace.lazy import lazily
from peace.shards.calibration import amplitude_factor
from peace.shards.reading import Records, ShardSet
from peace.shards.schema import FORMAT, SPLITS, schema

if TYPE_CHECKING:
    from peace.shards.account import finish
    from peace.shards.build import Recipe, build_part, finished_part

__all__ = [
    "FORMAT",
    "SPLITS",
    "Recipe",
    "Records",
    "ShardSet",
    "amplitude_factor",
    "build_part",
    "finish",
    "finished_part",
    "schema",
]

__getattr__ = lazily(
    __name__, {"finish": "account", "Recipe": "build", "build_part": "build", "finished_part": "build"}
)
