"""One look at a recording of twelve leads for its quality: every figure that takes all samples, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from peace.data.signal.kernel import compiled
from peace.data.signal.vectors import (
    INT,
    LANES,
    N_LEADS,
    PARTS,
    VECTOR,
    load_row,
    loop,
    product_and_sum,
    splat,
    store_row,
)

LOWEST, HIGHEST, JUMP, MISSING, RAILED, TOTAL, COSINE, SINE = range(8)
"""The rows of `survey`'s figures, each with one value a lead."""
N_FIGURES = 8


def _gauge(context: Any, samples: Any, begin: Any, end: Any, rail: Any, probe: Any, found: Any) -> Any:
    signature = types.void(samples, begin, end, rail, probe, found)

    def generate(target: Any, builder: Any, _signature: Any, values: Any) -> Any:
        data, weights, results = (
            target.make_array(kind)(target, builder, value)
            for kind, value in ((samples, values[0]), (probe, values[4]), (found, values[5]))
        )
        begin, count, rail = values[1], builder.sub(values[2], values[1]), splat(builder, values[3])
        n_weights = cgutils.unpack_tuple(builder, weights.shape, 2)[1]
        earlier = builder.select(builder.icmp_signed(">", begin, INT(0)), builder.sub(begin, INT(1)), begin)

        def turn(index: Any, states: Sequence[Any]) -> list[Any]:
            row = builder.add(begin, index)
            weight = [builder.gep(weights.data, [place]) for place in (row, builder.add(row, n_weights))]
            cosine, sine = (splat(builder, builder.load(place)) for place in weight)
            per_part = [
                _seen(builder, value, states[part :: len(PARTS)], rail, cosine, sine)
                for part, value in enumerate(load_row(builder, data.data, row))
            ]
            return [vector for figures in zip(*per_part, strict=True) for vector in figures]

        before = [load_row(builder, results.data, INT(figure)) for figure in range(N_FIGURES)]
        before.append(load_row(builder, data.data, earlier))
        after = loop(builder, count, [vector for vectors in before for vector in vectors], turn)
        for figure in range(N_FIGURES):
            start = figure * len(PARTS)
            store_row(builder, after[start : start + len(PARTS)], results.data, INT(figure))
        return target.get_dummy_value()

    return signature, generate


gauge: Any = intrinsic(_gauge)
"""gauge(samples, begin, end, rail, probe, found), for compiled code: bring the rows of `found` (8, 12) up to date with
rows `begin` to `end` (one at least) of (samples, 12) in mV; `probe` (2, samples) weighs COSINE and SINE."""


def _seen(builder: Any, value: Any, state: Sequence[Any], rail: Any, cosine: Any, sine: Any) -> list[Any]:
    """The figures after one more sample, and that sample; missing values (NaN) count as 0 in sums."""
    lowest, highest, jump, missing, railed, total, wave, other_wave, before = state
    zero, one = ir.Constant(VECTOR, [0.0] * LANES), ir.Constant(VECTOR, [1.0] * LANES)
    change = _size(builder, builder.fsub(value, before))
    known = builder.fcmp_ordered("ord", value, value)
    at_rail = builder.fcmp_ordered(">=", _size(builder, value), rail)
    sound = builder.select(known, value, zero)
    return [
        builder.select(builder.fcmp_ordered("<", value, lowest), value, lowest),
        builder.select(builder.fcmp_ordered(">", value, highest), value, highest),
        builder.select(builder.fcmp_ordered(">", change, jump), change, jump),
        builder.fadd(missing, builder.select(known, zero, one)),
        builder.fadd(railed, builder.select(at_rail, one, zero)),
        builder.fadd(total, sound),
        product_and_sum(builder, cosine, sound, wave),
        product_and_sum(builder, sine, sound, other_wave),
        value,
    ]


def _size(builder: Any, value: Any) -> Any:
    """Absolute values: without the bit of the sign."""
    bits = ir.VectorType(INT, LANES)
    positive = ir.Constant(bits, [2**63 - 1] * LANES)
    return builder.bitcast(builder.and_(builder.bitcast(value, bits), positive), VECTOR)


@compiled
def _compare(samples: Any, begin: int, end: int, state: Any) -> None:
    """Bring up to date with rows `begin` to `end`: sum and number of squares of I + III - II, the largest departure of
    an augmented lead, and the sums of products and squares of every second change of I and of V5 + V6."""
    squares, known, departure, both, first, last = state
    for time in range(begin, end):
        one, two = samples[time, 0], samples[time, 1]
        error = one + samples[time, 2] - two
        if error == error:
            squares += error * error
            known += 1.0
        right, left = abs(samples[time, 3] + (one + two) * 0.5), abs(samples[time, 4] - one + two * 0.5)
        foot = abs(samples[time, 5] - two + one * 0.5)
        # not max(): it is slower, and keeps what is missing (NaN)
        departure = right if right > departure else departure
        departure = left if left > departure else departure
        departure = foot if foot > departure else departure
    for time in range(begin, end - 1, 2):
        change = samples[time + 1, 0] - samples[time, 0]
        lateral = samples[time + 1, 10] + samples[time + 1, 11] - samples[time, 10] - samples[time, 11]
        both += change * lateral
        first += change * change
        last += lateral * lateral
    state[:] = squares, known, departure, both, first, last


@compiled
def survey(samples: Any, rail: float, block: int, probe: Any) -> Any:
    """One look at C-ordered (samples, 12) in mV, missing values (NaN) counting as 0 in sums.

    Returns the figures (8, 12): lowest, highest, largest change from one sample to the next, missing samples, samples
    at or beyond the rail, the sum of the last block, and the sums weighted by each row of `probe` (2, samples); the
    standard deviation (12,) of the means of whole blocks of `block` samples, NaN for less than two; the peak to peak
    (12,) that a quarter of the blocks exceed, which neither a slow baseline nor a single artefact moves; and how the
    leads contradict each other (3,): the mean square of I + III - II, the largest departure of aVR, aVL and aVF from
    what I and II make them, and the correlation of I with V5 + V6 by every second change from one sample to the next.
    """
    n_samples = len(samples)
    n_blocks = n_samples // block
    found, sums, heights = np.zeros((N_FIGURES, N_LEADS)), np.empty((N_LEADS, n_blocks)), np.empty((N_LEADS, n_blocks))
    lowest, highest, state = np.full(N_LEADS, np.inf), np.full(N_LEADS, -np.inf), np.zeros(6)
    for start in range(0, n_samples, block):
        found[TOTAL], found[LOWEST], found[HIGHEST] = 0.0, np.inf, -np.inf
        gauge(samples, start, min(start + block, n_samples), rail, probe, found)
        _compare(samples, start, min(start + block, n_samples), state)  # while the block is at hand
        for lead in range(N_LEADS):
            lowest[lead] = min(lowest[lead], found[LOWEST, lead])
            highest[lead] = max(highest[lead], found[HIGHEST, lead])
            if start + block <= n_samples:
                heights[lead, start // block] = found[HIGHEST, lead] - found[LOWEST, lead]
                sums[lead, start // block] = found[TOTAL, lead]
    found[LOWEST], found[HIGHEST] = lowest, highest
    spread, height = np.full(N_LEADS, np.nan), highest - lowest
    for lead in range(N_LEADS if n_blocks > 1 else 0):
        spread[lead] = sums[lead].std() / block
        height[lead] = np.sort(heights[lead])[3 * n_blocks // 4]
    squares, known, departure, both, first, last = state
    power = np.sqrt(first * last)
    alike = both / power if power > 0 else np.nan
    return found, spread, height, (squares / known if known else np.nan, departure, alike)
