"""Shards: conditioned recordings as Parquet, with everything needed to use them written beside."""

from peace.shards.account import finish
from peace.shards.build import Recipe, build_part, finished_part
from peace.shards.calibration import amplitude_factor
from peace.shards.reading import Records, ShardSet
from peace.shards.schema import FORMAT, SPLITS, schema

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
