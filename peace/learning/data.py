"""Training batches: every record once an epoch, in an order that follows from (seed, epoch) alone.

Shards hold int16 microvolts; the conversion to millivolts happens on the training device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from peace.shards import Records

MILLIVOLT_PER_STEP = 1e-3  # shards are quantised at 1 microvolt


@dataclass(frozen=True)
class Batch:
    """Records of one step on one rank; the last U of them, mostly none, are unlabelled ones of another cohort."""

    record_id: np.ndarray
    signal: np.ndarray  # int16 (B + U, 12, T), microvolts
    lead_mask: np.ndarray  # uint8 (B + U, 12)
    target: np.ndarray  # uint8 (B, K)

    def on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(ecg in mV as float (B, 12, T), lead mask as float, target as float) on `device`."""
        ecg = torch.from_numpy(np.ascontiguousarray(self.signal)).to(device).float().mul_(MILLIVOLT_PER_STEP)
        mask = torch.from_numpy(np.ascontiguousarray(self.lead_mask)).to(device).float()
        target = torch.from_numpy(np.ascontiguousarray(self.target)).to(device).float()
        return ecg, mask, target


class Source(Protocol):
    """Where a rank's batches come from; all ranks give the same number of them."""

    steps: int

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch."""
        ...


class MemorySource:
    """Records held in memory by every rank: global batches drawn from one permutation, dealt out to the ranks.

    The batches of an epoch differ in size by one record per rank at the most, so there is no short last batch.
    With several ranks the permutation is wrapped to a multiple of their number: up to world - 1 records come twice.
    """

    def __init__(self, records: Records, batch_size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        if len(records.record_id) < world:
            raise ValueError(f"{len(records.record_id)} records cannot be dealt out to {world} workers")
        self.records = records
        self.seed = seed
        self.rank = rank
        self.world = world
        rows = -(-len(records.record_id) // world)
        self.steps = max(1, -(-rows // max(1, batch_size // world)))

    def epoch(self, number: int) -> Iterator[Batch]:
        """Batches in the order of (seed, epoch)."""
        count = len(self.records.record_id)
        order = np.random.default_rng([self.seed, number]).permutation(count)
        rows = np.resize(order, (-(-count // self.world), self.world))
        for part in np.array_split(rows[:, self.rank], self.steps):
            yield take(self.records, part)


class BesideUnlabelled:
    """The batches of a source, each with as many unlabelled records of another cohort behind it.

    Those are drawn from a permutation that follows from (seed, epoch) and is begun again where it ends. Labels that the
    records may have are not looked at.
    """

    def __init__(self, source: Source, records: Records, seed: int, rank: int = 0, world: int = 1) -> None:
        if len(records.record_id) < world:
            raise ValueError(f"{len(records.record_id)} unlabelled records cannot be dealt out to {world} workers")
        self.source = source
        self.records = records
        self.seed = seed
        self.rank = rank
        self.world = world
        self.steps = source.steps

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch."""
        order = np.random.default_rng([self.seed, number, 1]).permutation(len(self.records.record_id))
        mine = order[self.rank :: self.world]
        given = 0
        for batch in self.source.epoch(number):
            index = mine[np.arange(given, given + len(batch.target)) % len(mine)]
            given += len(index)
            yield Batch(
                np.concatenate([batch.record_id, self.records.record_id[index]]),
                np.concatenate([batch.signal, self.records.signal[index]]),
                np.concatenate([batch.lead_mask, self.records.lead_mask[index]]),
                batch.target,
            )


def take(records: Records, index: np.ndarray) -> Batch:
    """The batch of the records at `index`."""
    return Batch(records.record_id[index], records.signal[index], records.lead_mask[index], records.target[index])


def shuffled_batches(
    blocks: Iterable[Batch], batch_size: int, steps: int, buffer: int, rng: np.random.Generator
) -> Iterator[Batch]:
    """Exactly `steps` batches of `batch_size` from a stream of blocks, shuffled within a buffer of `buffer` records.

    A stream that runs dry early is gone on with records already seen, so that all ranks take equally many steps.
    """
    pool: list[tuple[np.ndarray, ...]] = []
    given = 0
    last: list[tuple[np.ndarray, ...]] = []

    def draw() -> Batch:
        nonlocal pool, last
        picked = set(rng.permutation(len(pool))[:batch_size].tolist())
        last = [pool[place] for place in sorted(picked)]
        pool = [row for place, row in enumerate(pool) if place not in picked]
        return _stack(last)

    for block in blocks:
        pool.extend(zip(block.record_id, block.signal, block.lead_mask, block.target, strict=True))
        while len(pool) >= buffer + batch_size and given < steps:
            yield draw()
            given += 1
    while given < steps and pool:
        if len(pool) < batch_size:
            pool.extend(last[: batch_size - len(pool)])
        yield draw()
        given += 1
    while given < steps and last:
        yield _stack(last)
        given += 1


def _stack(rows: list[tuple[np.ndarray, ...]]) -> Batch:
    record_id, signal, lead_mask, target = zip(*rows, strict=True)
    return Batch(np.array(record_id), np.stack(signal), np.stack(lead_mask), np.stack(target))
