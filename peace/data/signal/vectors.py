"""Loops over the samples of twelve leads, written for the compiler in vectors, whose states stay in registers.

A recursive filter cannot run ahead in time, but the leads of an ECG are independent: each instruction below works on
six leads. Compilers do not find this by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

N_LEADS = 12
LANES = 6
"""Two vectors a sample: one register each with AVX-512, a wide and a narrow one elsewhere."""

INT = ir.IntType(64)
VECTOR = ir.VectorType(ir.DoubleType(), LANES)
PARTS = range(N_LEADS // LANES)
# lets the compiler use one instruction for a product and a sum; nothing else is rearranged
_CONTRACT = ("contract",)


def loop(builder: Any, count: Any, initial: Sequence[Any], turn: Callable[[Any, Sequence[Any]], Sequence[Any]]) -> Any:
    """Emit a loop of `count` turns, at least one. `turn(index, states)` emits one and gives the states that follow.

    Returns the states after the last turn.
    """
    before, body, after = builder.block, builder.append_basic_block("turn"), builder.append_basic_block("done")
    builder.branch(body)
    builder.position_at_end(body)
    index, states = builder.phi(INT), [builder.phi(value.type) for value in initial]
    following = turn(index, states)
    for state, first, new in zip([index, *states], [INT(0), *initial], [None, *following], strict=True):
        state.add_incoming(first, before)
        state.add_incoming(builder.add(index, INT(1)) if new is None else new, body)
    builder.cbranch(builder.icmp_signed("<", builder.add(index, INT(1)), count), body, after)
    builder.position_at_end(after)
    return following


def load_row(builder: Any, data: Any, row: Any) -> list[Any]:
    """The vectors of a row of (rows, 12) numbers."""
    return [builder.load(place, align=8) for place in _places(builder, data, row)]


def store_row(builder: Any, vectors: Sequence[Any], data: Any, row: Any) -> None:
    """Put the vectors of a row where they belong."""
    for vector, place in zip(vectors, _places(builder, data, row), strict=True):
        builder.store(vector, place, align=8)


def _places(builder: Any, data: Any, row: Any) -> list[Any]:
    start = builder.mul(row, INT(N_LEADS))
    places = [builder.gep(data, [builder.add(start, INT(part * LANES))]) for part in PARTS]
    return [builder.bitcast(place, VECTOR.as_pointer()) for place in places]


def splat(builder: Any, number: Any) -> Any:
    """A vector of one number."""
    empty = ir.Constant(VECTOR, ir.Undefined)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(builder.insert_element(empty, number, ir.IntType(32)(0)), empty, lanes)


def product_and_sum(builder: Any, left: Any, right: Any, summand: Any) -> Any:
    """left * right + summand."""
    return builder.fadd(builder.fmul(left, right, flags=_CONTRACT), summand, flags=_CONTRACT)


def _sweep(context: Any, samples: Any, sections: Any, start: Any, gain: Any, begin: Any, step: Any) -> Any:
    signature = types.void(samples, sections, start, gain, begin, step)
    n_sections = len(start) // 2

    def generate(target: Any, builder: Any, _signature: Any, values: Any) -> Any:
        array = target.make_array(samples)(target, builder, values[0])
        factors = [splat(builder, number) for number in cgutils.unpack_tuple(builder, values[1])]
        steady = [splat(builder, number) for number in cgutils.unpack_tuple(builder, values[2])]
        gain, begin, step = splat(builder, values[3]), values[4], values[5]

        def turn(index: Any, states: Sequence[Any]) -> list[Any]:
            row = builder.add(begin, builder.mul(step, index))
            following, filtered = list(states), []
            for part, value in enumerate(load_row(builder, array.data, row)):
                value = builder.fmul(gain, value)
                for section in range(n_sections):
                    one, two = 2 * section * len(PARTS) + part, (2 * section + 1) * len(PARTS) + part
                    value, following[one], following[two] = _section(
                        builder, value, states[one], states[two], factors[3 * section : 3 * section + 3]
                    )
                filtered.append(value)
            store_row(builder, filtered, array.data, row)
            return following

        first = [builder.fmul(gain, value) for value in load_row(builder, array.data, begin)]
        initial = [builder.fmul(state, value) for state in steady for value in first]
        loop(builder, cgutils.unpack_tuple(builder, array.shape, 2)[0], initial, turn)
        return target.get_dummy_value()

    return signature, generate


sweep: Any = intrinsic(_sweep)
"""sweep(samples, sections, start, gain, begin, step), for compiled code: run (samples, 12) float64 times `gain` through
the sections in place, from row `begin` on, forwards or backwards (`step` 1 or -1), until each row was visited.

`sections` is a tuple of b1, -a1, -a2 of each section, whose b0 and b2 are 1; `start` is a tuple of its two states for a
constant input of 1 (transposed direct form II, as scipy.signal.sosfilt)."""


def _section(builder: Any, value: Any, one: Any, two: Any, factors: Any) -> tuple[Any, Any, Any]:
    """One section, one sample: what comes out, and the two states that follow."""
    b1, a1, a2 = factors
    out = builder.fadd(value, one)
    one = product_and_sum(builder, a1, out, product_and_sum(builder, b1, value, two))
    return out, one, product_and_sum(builder, a2, out, value)
