"""What register tiles are made of: the type of a vector, and the instructions that work on it, as LLVM takes them."""

from __future__ import annotations

import itertools
from typing import Any

from numba import config, types
from numba.extending import intrinsic, register_model

from interpolated_kernels.loops.compile.numba_parts import cgutils, ir, models
from interpolated_kernels.loops.tiles import numpy_tiles
from interpolated_kernels.tile_sizes import VECTOR_BYTES


class VectorType(types.Type):
    """The numba type of one vector of floats."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.lanes = VECTOR_BYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype}, {self.lanes})")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: VectorType) -> None:
        element = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.lanes))


@intrinsic
def power_of_two(typing_context, shifted):
    """Return `2 ** k` for `shifted = 1.5 * 2 ** 52 + k`, whose last bits are those of the whole number k."""

    def generate(context, builder, signature, arguments):
        whole = ir.IntType(64)
        bits = builder.add(builder.bitcast(arguments[0], whole), whole(1023))
        return builder.bitcast(builder.shl(bits, whole(52)), ir.DoubleType())

    return types.float64(shifted), generate


def load_data(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    """Return the pointer to an array's values; a pointer is one already."""
    if isinstance(array_type, types.CPointer):
        return array
    return context.make_array(array_type)(context, builder, array).data


def count_bytes(vector: Any) -> int:
    """Return the bytes of one value of a vector's type, its alignment."""
    return VECTOR_BYTES // int(vector.count)


def _suffix(vector: Any) -> str:
    return f"v{vector.count}f{8 * count_bytes(vector)}"


def load_vectors(builder: Any, data: Any, starts: Any, offset: Any, vector: Any, mask: Any = None) -> list[Any]:
    """Return the vectors at `data[starts[k] + offset :]`, at any alignment; what is masked is not read and is 0."""
    vectors = []
    for k in range(starts.type.count):
        pointer = builder.gep(data, [builder.add(builder.extract_value(starts, k), offset)])
        pointer = builder.bitcast(pointer, vector.as_pointer())
        if mask is None:
            vectors.append(builder.load(pointer, align=count_bytes(vector)))
        else:
            vectors.append(masked_load(builder, pointer, mask, vector))
    return vectors


def masked_load(builder: Any, pointer: Any, mask: Any, vector: Any) -> Any:
    """Return a vector at any alignment; what is masked is not read and is 0."""
    kind = ir.FunctionType(vector, [pointer.type, ir.IntType(32), mask.type, vector])
    masked_load = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.{_suffix(vector)}.p0")
    nothing = ir.Constant(vector, [0.0] * vector.count)
    return builder.call(masked_load, [pointer, ir.IntType(32)(count_bytes(vector)), mask, nothing])


def masked_store(builder: Any, value: Any, pointer: Any, mask: Any) -> None:
    """Write the wanted lanes of a vector."""
    kind = ir.FunctionType(ir.VoidType(), [value.type, pointer.type, ir.IntType(32), mask.type])
    name = f"llvm.masked.store.{_suffix(value.type)}.p0"
    masked_store = cgutils.get_or_insert_function(builder.module, kind, name)
    builder.call(masked_store, [value, pointer, ir.IntType(32)(count_bytes(value.type)), mask])


def broadcast(builder: Any, scalar: Any, vector: Any) -> Any:
    """Return a vector of one value."""
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def _multiply_add(builder: Any, vector: Any) -> Any:
    kind = ir.FunctionType(vector, [vector] * 3)
    return cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.{_suffix(vector)}")


def add_outer(builder: Any, vector: Any, tile: Any, left: list[Any], right: list[Any]) -> Any:
    """Return the tile with `left[i] * right[j]` added to its vector `i * len(right) + j`."""
    multiply_add = _multiply_add(builder, vector)
    for i, first in enumerate(left):
        for j, second in enumerate(right):
            index = i * len(right) + j
            summed = builder.call(multiply_add, [first, second, builder.extract_value(tile, index)])
            tile = builder.insert_value(tile, summed, index)
    return tile


def add_weighted(builder: Any, vector: Any, tile: Any, wanted: Any, weights: Any, cells: list[Any]) -> Any:
    """Return the tile with a weight times the cells added to each wanted row; weights lie `step` apart from `at` on."""
    data, at, step = weights
    for i in wanted:
        value = builder.load(builder.gep(data, [builder.add(at, builder.mul(step, step.type(i)))]))
        weight = broadcast(builder, value, vector)
        for j, cell in enumerate(cells):
            index = i * len(cells) + j
            new = builder.call(_multiply_add(builder, vector), [weight, cell, builder.extract_value(tile, index)])
            tile = builder.insert_value(tile, new, index)
    return tile


def add_lanes(builder: Any, vectors: list[Any]) -> list[Any]:
    """Return the sum of every vector's lanes as a double: its halves are added until one lane is left.

    The halves of two vectors become one vector, so that all sums take about as many additions as there are vectors.
    """
    lanes = vectors[0].type.count
    held = [(vector, [index]) for index, vector in enumerate(vectors)]
    while len(held[0][1]) < lanes:
        held = [_add_halves(builder, *pair) for pair in itertools.zip_longest(held[::2], held[1::2])]
    sums = {}
    for vector, owners in held:
        if vector.type.element != ir.DoubleType():
            vector = builder.fpext(vector, ir.VectorType(ir.DoubleType(), lanes))
        for lane, owner in enumerate(owners):
            sums[owner] = builder.extract_element(vector, ir.IntType(32)(lane))
    return [sums[index] for index in range(len(vectors))]


def _add_halves(builder: Any, left: Any, right: Any) -> Any:
    """Return two vectors' pieces with their halves added, side by side, and whose each one is; `right` may be missing.

    A vector holds as many pieces as it has owners; the new pieces are half as long.
    """
    (first, firsts), (second, seconds) = left, right or (ir.Constant(left[0].type, ir.Undefined), [None] * len(left[1]))
    lanes = first.type.count
    length = lanes // len(firsts)
    halves = []
    for begin in (0, length // 2):
        places = [
            start + lane
            for piece in range(0, lanes, length)
            for start in (piece + begin, lanes + piece + begin)
            for lane in range(length // 2)
        ]
        mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), places)
        halves.append(builder.shuffle_vector(first, second, mask))
    return builder.fadd(*halves), [owner for pair in zip(firsts, seconds, strict=True) for owner in pair]


if config.DISABLE_JIT:
    power_of_two = numpy_tiles.power_of_two
