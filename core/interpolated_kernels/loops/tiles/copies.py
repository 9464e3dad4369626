"""Plain memory, without tiles: values are copied, those that are evenly spaced too, cleared or fetched.

With `NUMBA_DISABLE_JIT=1` the same names work on NumPy arrays (`numpy_tiles`).
"""

from __future__ import annotations

from typing import Any

from numba import config, types
from numba.extending import intrinsic

from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.numba_parts import cgutils, ir
from interpolated_kernels.loops.tiles import numpy_tiles
from interpolated_kernels.loops.tiles.register import lanes_in
from interpolated_kernels.loops.tiles.vectors import count_bytes, load_data
from interpolated_kernels.tile_sizes import VECTOR_BYTES

_LINE_BYTES = 64


@intrinsic
def copy_values(typing_context, target, target_start, source, source_start, count):
    """Copy `count` neighbours from `source[source_start:]` to `target[target_start:]`; no index is checked."""
    signature = types.void(target, target_start, source, source_start, count)

    def generate(context, builder, signature, arguments):
        target, target_start, source, source_start, count = arguments
        to = builder.gep(load_data(context, builder, signature.args[0], target), [target_start])
        of = builder.gep(load_data(context, builder, signature.args[2], source), [source_start])
        cgutils.raw_memcpy(
            builder, to, of, count, context.get_constant(types.intp, signature.args[0].dtype.bitwidth // 8)
        )
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def clear_values(typing_context, target, start, count):
    """Write `count` zeros to `target[start:]`; no index is checked."""
    signature = types.void(target, start, count)

    def generate(context, builder, signature, arguments):
        target, start, count = arguments
        first = builder.gep(load_data(context, builder, signature.args[0], target), [start])
        size = builder.mul(count, count.type(signature.args[0].dtype.bitwidth // 8))
        cgutils.memset(builder, first, size, 0)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def prefetch(typing_context, array, start, count):
    """Ask for the cache lines of `array[start : start + count]`, which need not exist: nothing is read."""
    signature = types.void(array, start, count)

    def generate(context, builder, signature, arguments):
        array, start, count = arguments
        byte, narrow = ir.IntType(8).as_pointer(), ir.IntType(32)
        first = builder.gep(load_data(context, builder, signature.args[0], array), [start])
        step = count.type(_LINE_BYTES // (signature.args[0].dtype.bitwidth // 8))
        kind = ir.FunctionType(ir.VoidType(), [byte, narrow, narrow, narrow])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        with cgutils.for_range_slice(builder, count.type(0), count, step, count.type) as (offset, _):
            builder.call(fetch, [builder.bitcast(builder.gep(first, [offset]), byte), narrow(0), narrow(3), narrow(1)])
        return context.get_dummy_value()

    return signature, generate


@jit(inner=True)
def copy_spaced(target, at, source, first, step, count):
    """Copy `count` values that are `step` apart, from `source[first]` on, to neighbours in `target[at:]`."""
    lanes = lanes_in(target)
    if count >= lanes and 1 <= step <= 4:  # vectors, of which the last is pushed back
        for index in range(0, count, lanes):
            begin = min(index, count - lanes)
            if step == 1:
                copy_spaced_vector(1, target, at + begin, source, first + begin)
            elif step == 2:
                copy_spaced_vector(2, target, at + begin, source, first + 2 * begin)
            elif step == 3:
                copy_spaced_vector(3, target, at + begin, source, first + 3 * begin)
            else:
                copy_spaced_vector(4, target, at + begin, source, first + 4 * begin)
    else:
        for index in range(count):
            target[at + index] = source[first + index * step]


@intrinsic(prefer_literal=True)
def copy_spaced_vector(typing_context, step, target, at, source, first):
    """Copy a vector of values that are `step` (a constant) apart, reading nothing beyond its last; none is checked.

    Whole vectors are loaded, the last one pushed back to end with the last value, and their lanes picked.
    """
    spacing = step.literal_value
    signature = types.void(step, target, at, source, first)

    def generate(context, builder, signature, arguments):
        _, target, at, source, first = arguments
        lanes = VECTOR_BYTES * 8 // signature.args[1].dtype.bitwidth
        vector = ir.VectorType(context.get_value_type(signature.args[1].dtype), lanes)
        begins = [load * lanes for load in range(spacing - 1)] + [(spacing - 1) * (lanes - 1)]
        data = load_data(context, builder, signature.args[3], source)
        picked = ir.Constant(vector, ir.Undefined)
        for load, begin in enumerate(begins):
            pointer = builder.gep(data, [builder.add(first, first.type(begin))])
            loaded = builder.load(builder.bitcast(pointer, vector.as_pointer()), align=count_bytes(vector))
            places = [spacing * lane - begin if spacing * lane // lanes == load else None for lane in range(lanes)]
            picked = _pick(builder, picked, loaded, places)
        pointer = builder.gep(load_data(context, builder, signature.args[1], target), [at])
        builder.store(picked, builder.bitcast(pointer, vector.as_pointer()), align=count_bytes(vector))
        return context.get_dummy_value()

    return signature, generate


def _pick(builder: Any, held: Any, loaded: Any, places: list[int | None]) -> Any:
    """Return the held vector with the loaded one's value at `places[lane]` in every lane that has a place."""
    lanes = [lane if place is None else len(places) + place for lane, place in enumerate(places)]
    return builder.shuffle_vector(held, loaded, ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes))


if config.DISABLE_JIT:
    copy_values, clear_values = numpy_tiles.copy_values, numpy_tiles.clear_values
    copy_spaced_vector, prefetch = numpy_tiles.copy_spaced_vector, numpy_tiles.prefetch
