"""Ray Data feeding a training that is too large for a worker's memory: shards, streamed and shuffled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from peace.learning.data import Batch, shuffled_batches
from peace.places import is_remote
from peace.shards import ShardSet

COLUMNS = ["record_id", "signal", "lead_mask", "labels"]
BUFFER_BATCHES = 16  # records are shuffled within so many batches, beside the shuffle of the files


def fits_in_memory(shards: str, limit_mb: float) -> bool:
    """Whether the training split, as int16, is at most `limit_mb`."""
    found = ShardSet.open(shards)
    signal = found.recipe["signal"]
    bytes_a_record = 12 * 2 * signal["rate"] * signal["seconds"]
    return found.splits.get("train", 0) * bytes_a_record <= limit_mb * 2**20


def training_dataset(shards: str, seed: int) -> Any:
    """Ray Dataset over the training shards; their order is drawn anew for each epoch."""
    import ray.data

    found = ShardSet.open(shards)
    files = [str(file) for file in found.files("train")]
    store = found.place.fs if is_remote(found.place) else None  # type: ignore[attr-defined]
    shuffle = ray.data.FileShuffleConfig(seed=seed)
    return ray.data.read_parquet(files, columns=COLUMNS, shuffle=shuffle, filesystem=store)


class StreamSource:
    """Batches of one rank from its share of a Ray Dataset; every rank gives the same number."""

    def __init__(self, shard: Any, shards: str, batch_size: int, seed: int, world: int) -> None:
        found = ShardSet.open(shards)
        self.shard = shard
        self.targets = found.targets
        self.batch_size = max(1, batch_size // world)
        self.steps = max(1, found.splits["train"] // (self.batch_size * world))
        self.seed = seed

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, shuffled within a buffer."""
        rng = np.random.default_rng([self.seed, number])
        blocks = map(self._batch, self.shard.iter_batches(batch_size=self.batch_size, batch_format="numpy"))
        return shuffled_batches(blocks, self.batch_size, self.steps, BUFFER_BATCHES * self.batch_size, rng)

    def _batch(self, rows: dict[str, np.ndarray]) -> Batch:
        return Batch(rows["record_id"], rows["signal"], rows["lead_mask"], self.targets(rows["labels"].tolist()))
