"""Batches: every record once an epoch, in an order that (seed, epoch) alone decides, on any number of ranks."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peace.core.errors import ConfigError
from peace.data.shards import Records
from peace.training.batches import BesideUnlabelled, MemorySource, repeated
from peace.training.few_shot import sample_shots
from peace.training.schedule import learning_rate_factor


def records(count: int, labels: int = 3) -> Records:
    rng = np.random.default_rng(count)
    return Records(
        record_id=np.array([f"r{number:04d}" for number in range(count)]),
        patient_id=np.array([f"p{number // 2:04d}" for number in range(count)]),
        signal=np.zeros((count, 12, 8), dtype=np.int16),
        lead_mask=np.ones((count, 12), dtype=np.uint8),
        target=(rng.random((count, labels)) < [0.6, 0.2, 0.05][:labels]).astype(np.uint8),
        age_days=np.full(count, np.nan),
    )


def epoch_ids(count: int, batch: int, world: int, seed: int, number: int) -> list[list[list[str]]]:
    sources = [MemorySource(records(count), batch, seed, rank, world) for rank in range(world)]
    return [[found.record_id.tolist() for found in source.epoch(number)] for source in sources]


@given(count=st.integers(4, 200), batch=st.integers(1, 64), world=st.integers(1, 4))
def test_every_record_exactly_once_and_equal_steps(count: int, batch: int, world: int) -> None:
    ranks = epoch_ids(count, batch, world, seed=1, number=0)
    assert len({len(rank) for rank in ranks}) == 1
    seen = [record for rank in ranks for found in rank for record in found]
    assert sorted(seen) == sorted(records(count).record_id)
    steps = [[len(rank[step]) for rank in ranks] for step in range(len(ranks[0]))]
    assert min(map(min, steps)) > 0
    assert all(max(step) - min(step) <= 1 for step in steps)
    if batch >= 2 * world:
        assert max(map(sum, steps)) <= batch
    # a step sees the same records whatever the number of ranks
    if batch >= 2 * world:
        alone = epoch_ids(count, batch, 1, seed=1, number=0)[0]
        assert [[name for rank in ranks for name in rank[step]] for step in range(len(steps))] == alone


@given(count=st.integers(4, 100), batch=st.integers(1, 30), world=st.integers(1, 4), first=st.integers(0, 20))
def test_an_epoch_goes_on_from_any_step(count: int, batch: int, world: int, first: int) -> None:
    source = BesideUnlabelled(MemorySource(records(count), batch, 1, world - 1, world), records(7), 1, world - 1)
    whole = [found.record_id.tolist() for found in source.epoch(3)]
    assert [found.record_id.tolist() for found in source.epoch(3, first)] == whole[first:]


@given(count=st.integers(4, 60), batch=st.integers(1, 30), world=st.integers(1, 4), least=st.integers(0, 60))
def test_a_small_set_is_gone_over_until_there_are_enough_steps(count: int, batch: int, world: int, least: int) -> None:
    epochs, names = 3, sorted(records(count).record_id)
    sources = [repeated(MemorySource(records(count), batch, 1, rank, world), epochs, least) for rank in range(world)]
    steps, single = sources[0].steps, MemorySource(records(count), batch, 1, 0, world).steps
    assert least <= epochs * steps < least + epochs * single or steps == single
    dealt = [[found.record_id.tolist() for found in source.epoch(2)] for source in sources]
    assert {len(rank) for rank in dealt} == {steps} == {len(sources[0].sizes)}
    seen = [name for rank in dealt for step in rank for name in step]
    assert sorted(seen) == sorted(names * (steps // single))
    for first in range(steps):
        assert [found.record_id.tolist() for found in sources[0].epoch(2, first)] == dealt[0][first:]
    passes = [dealt[0][start : start + single] for start in range(0, steps, single)]
    assert len(names) < 20 or len(passes) < 2 or passes[0] != passes[1]


def test_order_follows_from_seed_and_epoch() -> None:
    assert epoch_ids(50, 8, 1, 7, 3) == epoch_ids(50, 8, 1, 7, 3)
    assert epoch_ids(50, 8, 1, 7, 3) != epoch_ids(50, 8, 1, 7, 4)
    assert epoch_ids(50, 8, 1, 7, 3) != epoch_ids(50, 8, 1, 8, 3)


def test_shots_serve_each_label_and_take_all_of_rare_ones() -> None:
    rows = records(400)
    chosen = sample_shots(rows.target, rows.record_id, 20, seed=3)
    have, got = rows.target.sum(0), rows.target[chosen].sum(0)
    assert (got >= np.minimum(have, 20)).all()
    assert len(chosen) <= 60
    assert not (rows.target[chosen].sum(1) == 0).any()


def test_shots_do_not_depend_on_row_order_and_nest() -> None:
    rows = records(300)
    back = np.arange(300)[::-1]
    here = set(rows.record_id[sample_shots(rows.target, rows.record_id, 10, seed=1)])
    there = set(rows.record_id[back][sample_shots(rows.target[back], rows.record_id[back], 10, seed=1)])
    assert here == there
    single = records(300, labels=1)
    few = set(sample_shots(single.target, single.record_id, 5, seed=1))
    assert few < set(sample_shots(single.target, single.record_id, 50, seed=1))


def test_zero_shots_are_refused() -> None:
    rows = records(10)
    with pytest.raises(ConfigError, match="at least 1"):
        sample_shots(rows.target, rows.record_id, 0, seed=1)


def test_learning_rate_warms_up_then_falls_to_the_floor() -> None:
    factors = [learning_rate_factor(step, 100, 10, 0.01) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9] == pytest.approx(1.0)
    assert factors[-1] == pytest.approx(0.01)
    assert all(a >= b for a, b in itertools.pairwise(factors[10:]))


def test_unlabelled_records_stand_behind_each_batch_and_bring_no_labels() -> None:
    source, other = MemorySource(records(10), 4, 0), records(7)
    other.target[:] = 9
    other.record_id[:] = [f"u{number}" for number in range(7)]
    beside = BesideUnlabelled(source, other, 0)
    seen: list[str] = []
    for plain, batch in zip(source.epoch(2), beside.epoch(2), strict=True):
        size = len(plain.record_id)
        assert list(batch.record_id[:size]) == list(plain.record_id)
        assert np.array_equal(batch.target, plain.target)
        assert len(batch.signal) == len(batch.lead_mask) == 2 * size
        seen += batch.record_id[size:].tolist()
    # each once before any comes again
    assert sorted(seen[:7]) == sorted(other.record_id)
    assert seen == [name for batch in beside.epoch(2) for name in batch.record_id[len(batch.target) :]]
    assert seen != [name for batch in beside.epoch(3) for name in batch.record_id[len(batch.target) :]]
