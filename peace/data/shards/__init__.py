"""Shards: conditioned recordings as Parquet, with everything needed to use them written beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peace.core.lazy import lazily
from peace.data.shards.calibration import amplitude_factor
from peace.data.shards.reader import Records, ShardSet
from peace.data.shards.schema import FORMAT, SPLITS, schema

if TYPE_CHECKING:
    from peace.data.shards.build import Recipe, build_part, finished_part
    from peace.data.shards.manifest import finish

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
    __name__, {"finish": "manifest", "Recipe": "build", "build_part": "build", "finished_part": "build"}
)
