"""Training batches: every record exactly once an epoch on any number of ranks, in an order of (seed, epoch) alone.

Shards hold int16 microvolts; the conversion to millivolts happens on the training device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from peace.data.labels import DOUBTFUL
from peace.data.signal.units import to_mv

if TYPE_CHECKING:
    import numpy.typing as npt

    from peace.data.shards import Records


@dataclass(frozen=True)
class Batch:
    """Records of one step on one rank; the last U of them, mostly none, are unlabelled ones of another cohort."""

    record_id: np.ndarray
    signal: np.ndarray  # int16 (B + U, 12, T), microvolts
    lead_mask: np.ndarray  # uint8 (B + U, 12)
    target: np.ndarray  # uint8 (B, K); DOUBTFUL where a label is neither there nor absent
    age_days: np.ndarray  # float (B), NaN where unknown; for the text side alone
    of_all: int  # labelled records of this step on all ranks together

    def on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(ecg in mV as float (B, 12, T), lead mask as float, target as float, NaN where doubtful) on `device`."""
        ecg = to_mv(torch.from_numpy(np.ascontiguousarray(self.signal)).to(device))
        mask = torch.from_numpy(np.ascontiguousarray(self.lead_mask)).to(device).float()
        return ecg, mask, as_floats(torch.from_numpy(np.ascontiguousarray(self.target)).to(device))

    def ages_on(self, device: torch.device) -> torch.Tensor:
        """Ages in days (B,) as float on `device`, NaN where unknown."""
        return torch.from_numpy(np.ascontiguousarray(self.age_days, np.float32)).to(device)


def as_floats(target_bk: torch.Tensor) -> torch.Tensor:
    """Targets (B, K) as the losses take them: 1, 0, or NaN where a label is doubtful."""
    return target_bk.float().masked_fill(target_bk == DOUBTFUL, float("nan"))


class Source(Protocol):
    """Where a rank's batches come from; all ranks give the same number of them.

    `sizes` (steps, world) are the labelled records of each step on each rank; they are the same in every epoch.
    """

    steps: int
    sizes: npt.NDArray[np.int64]

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from step `first_step` on; those before are not read."""
        ...


def split_batches(records: int, batch_size: int, world: int) -> npt.NDArray[np.int64]:
    """How many records each rank takes in each step of an epoch: (steps, world), together `records`.

    Batches of all ranks together differ by one record at most, shares of a batch too. No share is empty: with
    fewer records a step than ranks the batches are larger than asked. Raises ValueError for fewer records than ranks.
    """
    if records < world:
        raise ValueError(f"{records} records cannot be dealt out to {world} workers")
    steps = max(1, min(-(-records // batch_size), records // world))
    batches = records // steps + (np.arange(steps) < records % steps)
    return batches[:, None] // world + (np.arange(world) < (batches % world)[:, None])


class MemorySource:
    """Records held in memory by every rank: batches of all ranks are cut from one permutation, and dealt out.

    So a step sees the same records whatever the number of ranks.
    """

    def __init__(self, records: Records, batch_size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.records = records
        self.seed = seed
        self.rank = rank
        self.sizes = split_batches(len(records.record_id), batch_size, world)
        self.steps = len(self.sizes)

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch]:
        """Batches in the order of (seed, epoch)."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.records.record_id))
        # rank by rank within a step, step by step
        ends = self.sizes.cumsum().reshape(self.sizes.shape)
        for step in range(first_step, self.steps):
            end = ends[step, self.rank]
            own = order[end - self.sizes[step, self.rank] : end]
            yield take(self.records, own, int(self.sizes[step].sum()))


class BesideUnlabelled:
    """The batches of a source, each with as many unlabelled records of another cohort behind it.

    Those are drawn from a permutation that follows from (seed, epoch) and is begun again where it ends. Labels that the
    records may have are not looked at.
    """

    def __init__(self, source: Source, records: Records, seed: int, rank: int = 0) -> None:
        if len(records.record_id) == 0:
            raise ValueError("there is no unlabelled record")
        self.source = source
        self.records = records
        self.seed = seed
        self.rank = rank
        self.sizes = source.sizes
        self.steps = source.steps

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch."""
        order = np.random.default_rng([self.seed, number, 1]).permutation(len(self.records.record_id))
        ends = self.sizes.cumsum().reshape(self.sizes.shape)
        for step, batch in enumerate(self.source.epoch(number, first_step), first_step):
            end = ends[step, self.rank]
            index = order[np.arange(end - len(batch.target), end) % len(order)]
            yield Batch(
                np.concatenate([batch.record_id, self.records.record_id[index]]),
                np.concatenate([batch.signal, self.records.signal[index]]),
                np.concatenate([batch.lead_mask, self.records.lead_mask[index]]),
                batch.target,
                batch.age_days,
                batch.of_all,
            )


class Repeated:
    """A small set gone over several times an epoch: each record as often as any other."""

    def __init__(self, source: Source, passes: int) -> None:
        self.source = source
        self.passes = passes
        self.steps = source.steps * passes
        self.sizes = np.tile(source.sizes, (passes, 1))

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch]:
        """So many epochs of the source, one after the other."""
        first, within = divmod(first_step, self.source.steps)
        for passed in range(first, self.passes):
            yield from self.source.epoch(number * self.passes + passed, within if passed == first else 0)


def repeated(source: Source, epochs: int, min_steps: int) -> Source:
    """The source, gone over as often within each of the epochs as it takes for so many steps in all."""
    passes = -(-min_steps // (epochs * source.steps))
    return Repeated(source, passes) if passes > 1 else source


def take(records: Records, index: np.ndarray, of_all: int | None = None) -> Batch:
    """The batch of the records at `index`."""
    whole = len(index) if of_all is None else of_all
    signal, lead_mask = records.signal[index], records.lead_mask[index]
    return Batch(records.record_id[index], signal, lead_mask, records.target[index], records.age_days[index], whole)
