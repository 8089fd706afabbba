"""A cascade of second-order sections over twelve leads at once, written for the compiler in vectors.

A recursive filter can't run ahead in time, but the leads of an ECG are independent: each instruction below works on
six leads, and the states stay in registers. Compilers do not find this by themselves (three to four times slower).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

N_LEADS = 12
LANES = 6
"""Two vectors a sample: one register each with AVX-512, a wide and a narrow one elsewhere."""

_INT, _DOUBLE = ir.IntType(64), ir.DoubleType()
_VECTOR = ir.VectorType(_DOUBLE, LANES)
_STARTS = range(0, N_LEADS, LANES)
# lets the compiler use one instruction for a product and a sum; nothing else is rearranged
_CONTRACT = ("contract",)


def _sweep(context: Any, samples: Any, sections: Any, start: Any, begin: Any, step: Any) -> Any:
    signature = types.void(samples, sections, start, begin, step)
    n_sections = len(start) // 2

    def generate(target: Any, builder: Any, _signature: Any, values: Any) -> Any:
        array = target.make_array(samples)(target, builder, values[0])
        count = cgutils.unpack_tuple(builder, array.shape, 2)[0]
        factors = [_splat(builder, number) for number in cgutils.unpack_tuple(builder, values[1])]
        states = [_splat(builder, number) for number in cgutils.unpack_tuple(builder, values[2])]
        first = [builder.load(place, align=8) for place in _row(builder, array.data, values[3])]
        initial = [[builder.fmul(state, value) for value in first] for state in states]
        before, body, after = builder.block, builder.append_basic_block("sample"), builder.append_basic_block("done")
        builder.branch(body)
        builder.position_at_end(body)
        index = builder.phi(_INT)
        index.add_incoming(_INT(0), before)
        state = [[builder.phi(_VECTOR) for _ in _STARTS] for _ in states]
        for phis, vectors in zip(state, initial, strict=True):
            for phi, vector in zip(phis, vectors, strict=True):
                phi.add_incoming(vector, before)
        places = _row(builder, array.data, builder.add(values[3], builder.mul(values[4], index)))
        for part, place in enumerate(places):
            value = builder.load(place, align=8)
            for section in range(n_sections):
                one, two = state[2 * section][part], state[2 * section + 1][part]
                value, *following = _step(builder, value, one, two, factors[5 * section : 5 * section + 5])
                one.add_incoming(following[0], body)
                two.add_incoming(following[1], body)
            builder.store(value, place, align=8)
        following_index = builder.add(index, _INT(1))
        index.add_incoming(following_index, body)
        builder.cbranch(builder.icmp_signed("<", following_index, count), body, after)
        builder.position_at_end(after)
        return target.get_dummy_value()

    return signature, generate


sweep: Any = intrinsic(_sweep)
"""sweep(samples, sections, start, begin, step), for compiled code: run (samples, 12) float64 through the sections in
place, from row `begin` on, forwards or backwards (`step` 1 or -1), until each row was visited.

`sections` is a tuple of b0, b1, b2, -a1, -a2 of each section, `start` of its two states for a constant input of 1
(transposed direct form II, as scipy.signal.sosfilt)."""


def _step(builder: Any, value: Any, one: Any, two: Any, factors: Any) -> tuple[Any, Any, Any]:
    """One section, one sample: what comes out, and the two states that follow."""
    b0, b1, b2, a1, a2 = factors
    out = _product_and_sum(builder, b0, value, one)
    one = _product_and_sum(builder, a1, out, _product_and_sum(builder, b1, value, two))
    return out, one, _product_and_sum(builder, a2, out, builder.fmul(b2, value))


def _product_and_sum(builder: Any, left: Any, right: Any, summand: Any) -> Any:
    return builder.fadd(builder.fmul(left, right, flags=_CONTRACT), summand, flags=_CONTRACT)


def _splat(builder: Any, number: Any) -> Any:
    """A vector of one number."""
    empty = ir.Constant(_VECTOR, ir.Undefined)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(builder.insert_element(empty, number, ir.IntType(32)(0)), empty, lanes)


def _row(builder: Any, data: Any, row: Any) -> list[Any]:
    """Where the vectors of a row lie."""
    start = builder.mul(row, _INT(N_LEADS))
    places = [builder.gep(data, [builder.add(start, _INT(lead))]) for lead in _STARTS]
    return [builder.bitcast(place, _VECTOR.as_pointer()) for place in places]
