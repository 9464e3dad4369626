"""Register tiles: a few vectors that stay in registers while a loop runs over its taps.

LLVM's loop vectorizer keeps an accumulator in memory where several outputs and several taps are summed at once; that
costs half of the machine's rate. These intrinsics write the vectors down instead: a tile is a tuple of `<lanes x
dtype>` values, 32 bytes each, which LLVM maps to its registers (one AVX or two NEON registers a vector). With
`NUMBA_DISABLE_JIT=1` the same names work on NumPy arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.cpython.unsafe.tuple import tuple_setitem
from numba.extending import intrinsic, register_model

VECTOR_BYTES = 32


def lanes_of(dtype: Any) -> int:
    """Return how many values of a dtype stand in one vector."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


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


def _data(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    return context.make_array(array_type)(context, builder, array).data


def _itemsize(vector: Any) -> int:
    return VECTOR_BYTES // int(vector.count)


def _suffix(vector: Any) -> str:
    return f"v{vector.count}f{8 * _itemsize(vector)}"


def _load_all(
    context: Any, builder: Any, array_type: Any, array: Any, starts: Any, count: int, offset: Any, vector: Any
) -> list[Any]:
    """Return the vectors at `array[starts[k] + offset :]`, at any alignment."""
    data = _data(context, builder, array_type, array)
    vectors = []
    for k in range(count):
        pointer = builder.gep(data, [builder.add(builder.extract_value(starts, k), offset)])
        vectors.append(builder.load(builder.bitcast(pointer, vector.as_pointer()), align=_itemsize(vector)))
    return vectors


def _broadcast(builder: Any, scalar: Any, vector: Any) -> Any:
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def _multiply_add(builder: Any, vector: Any) -> Any:
    kind = ir.FunctionType(vector, [vector] * 3)
    return cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.{_suffix(vector)}")


def _add_outer(builder: Any, vector: Any, tile: Any, left: list[Any], right: list[Any]) -> Any:
    """Return the tile with `left[i] * right[j]` added to its vector `i * len(right) + j`."""
    multiply_add = _multiply_add(builder, vector)
    for i, first in enumerate(left):
        for j, second in enumerate(right):
            index = i * len(right) + j
            summed = builder.call(multiply_add, [first, second, builder.extract_value(tile, index)])
            tile = builder.insert_value(tile, summed, index)
    return tile


@intrinsic(prefer_literal=True)
def zeros(typing_context, like, count):
    """Return a tile of `count` (a constant) zero vectors of the dtype of the array `like`."""
    signature = types.UniTuple(VectorType(like.dtype), count.literal_value)(like, count)

    def generate(context, builder, signature, arguments):
        return cgutils.get_null_value(context.get_value_type(signature.return_type))

    return signature, generate


@intrinsic(prefer_literal=True)
def add_taps(typing_context, tile, low, high, weights, at, step, x, starts, offsets, tap):
    """Return the tile with `weights[at + i * step] * x[starts[j] + offsets[tap] :]` added to every vector `(i, j)`.

    That is for `low <= i < high` alone, both constants; the weights of other rows are not read. No index is checked.
    """
    wanted = range(low.literal_value, high.literal_value)
    signature = tile(tile, low, high, weights, at, step, x, starts, offsets, tap)
    columns = starts.count

    def generate(context, builder, signature, arguments):
        tile, _, _, weights, at, step, x, starts, offsets, tap = arguments
        vector = context.get_value_type(signature.return_type.dtype)
        weight_data = _data(context, builder, signature.args[3], weights)
        offset = builder.load(builder.gep(_data(context, builder, signature.args[8], offsets), [tap]))
        offset = builder.sext(offset, at.type) if offset.type.width < at.type.width else offset
        cells = _load_all(context, builder, signature.args[6], x, starts, columns, offset, vector)
        for i in wanted:
            index = builder.add(at, builder.mul(step, step.type(i)))
            value = builder.load(builder.gep(weight_data, [index]))
            weight = _broadcast(builder, value, vector)
            for j in range(columns):
                old = builder.extract_value(tile, i * columns + j)
                new = builder.call(_multiply_add(builder, vector), [weight, cells[j], old])
                tile = builder.insert_value(tile, new, i * columns + j)
        return tile

    return signature, generate


@intrinsic
def add_products(typing_context, tile, y, y_starts, y_offset, x, x_starts, x_offset):
    """Return the tile with `y[y_starts[i] + y_offset :] * x[x_starts[j] + x_offset :]` added to vector `(i, j)`."""
    signature = tile(tile, y, y_starts, y_offset, x, x_starts, x_offset)
    rows, columns = y_starts.count, x_starts.count

    def generate(context, builder, signature, arguments):
        tile, y, y_starts, y_offset, x, x_starts, x_offset = arguments
        vector = context.get_value_type(signature.return_type.dtype)
        left = _load_all(context, builder, signature.args[1], y, y_starts, rows, y_offset, vector)
        right = _load_all(context, builder, signature.args[4], x, x_starts, columns, x_offset, vector)
        return _add_outer(builder, vector, tile, left, right)

    return signature, generate


@intrinsic
def add_some_products(typing_context, tile, y, y_starts, y_offset, x, x_starts, x_offset, n_lanes):
    """Do as `add_products` for the first `n_lanes` lanes; what stands in the others does not count, be it NaN."""
    signature = tile(tile, y, y_starts, y_offset, x, x_starts, x_offset, n_lanes)
    rows, columns = y_starts.count, x_starts.count

    def generate(context, builder, signature, arguments):
        tile, y, y_starts, y_offset, x, x_starts, x_offset, n_lanes = arguments
        vector = context.get_value_type(signature.return_type.dtype)
        lanes = ir.Constant(ir.VectorType(n_lanes.type, vector.count), list(range(vector.count)))
        wanted = builder.icmp_signed("<", lanes, _broadcast(builder, n_lanes, lanes.type))
        left = _load_all(context, builder, signature.args[1], y, y_starts, rows, y_offset, vector)
        right = _load_all(context, builder, signature.args[4], x, x_starts, columns, x_offset, vector)
        nothing = ir.Constant(vector, [0.0] * vector.count)
        right = [builder.select(wanted, value, nothing) for value in right]
        return _add_outer(builder, vector, tile, left, right)

    return signature, generate


def _places(
    context: Any, builder: Any, array_type: Any, y: Any, shape: tuple[int, int], arguments: Any, vector: Any
) -> Any:
    """Yield every vector's index, pointer and mask in `y`: the first `n_lanes[j]` lanes, where `i < n_rows[j]`."""
    row_step, starts, n_rows, n_lanes = arguments
    data = _data(context, builder, array_type, y)
    lanes = ir.Constant(ir.VectorType(row_step.type, vector.count), list(range(vector.count)))
    bits = ir.VectorType(ir.IntType(1), vector.count)
    for j in range(shape[1]):
        start, rows = builder.extract_value(starts, j), builder.extract_value(n_rows, j)
        wanted_lanes = builder.icmp_signed(
            "<", lanes, _broadcast(builder, builder.extract_value(n_lanes, j), lanes.type)
        )
        for i in range(shape[0]):
            wanted_row = _broadcast(builder, builder.icmp_signed(">", rows, rows.type(i)), bits)
            pointer = builder.bitcast(builder.gep(data, [start]), vector.as_pointer())
            yield i * shape[1] + j, pointer, builder.and_(wanted_row, wanted_lanes)
            start = builder.add(start, row_step)


@intrinsic
def store(typing_context, tile, y, row_step, starts, n_rows, n_lanes):
    """Write `n_lanes[j]` lanes of every vector `(i, j)` with `i < n_rows[j]` to `y[starts[j] + i * row_step :]`."""
    signature = types.void(tile, y, row_step, starts, n_rows, n_lanes)

    def generate(context, builder, signature, arguments):
        tile, y = arguments[:2]
        vector = context.get_value_type(signature.args[0].dtype)
        mask_type = ir.VectorType(ir.IntType(1), vector.count)
        kind = ir.FunctionType(ir.VoidType(), [vector, vector.as_pointer(), ir.IntType(32), mask_type])
        masked_store = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.{_suffix(vector)}.p0")
        alignment = ir.IntType(32)(_itemsize(vector))
        columns = signature.args[3].count
        shape = (signature.args[0].count // columns, columns)
        for index, pointer, mask in _places(context, builder, signature.args[1], y, shape, arguments[2:], vector):
            builder.call(masked_store, [builder.extract_value(tile, index), pointer, alignment, mask])
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def load(typing_context, tile, y, row_step, starts, n_rows, n_lanes):
    """Return a tile like `tile` with what `store` wrote there, zeros elsewhere."""
    signature = tile(tile, y, row_step, starts, n_rows, n_lanes)

    def generate(context, builder, signature, arguments):
        tile, y = arguments[:2]
        vector = context.get_value_type(signature.args[0].dtype)
        mask_type = ir.VectorType(ir.IntType(1), vector.count)
        kind = ir.FunctionType(vector, [vector.as_pointer(), ir.IntType(32), mask_type, vector])
        masked_load = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.{_suffix(vector)}.p0")
        alignment, nothing = ir.IntType(32)(_itemsize(vector)), ir.Constant(vector, [0.0] * vector.count)
        columns = signature.args[3].count
        shape = (signature.args[0].count // columns, columns)
        for index, pointer, mask in _places(context, builder, signature.args[1], y, shape, arguments[2:], vector):
            tile = builder.insert_value(tile, builder.call(masked_load, [pointer, alignment, mask, nothing]), index)
        return tile

    return signature, generate


@intrinsic
def lane_sums(typing_context, tile):
    """Return the sum of the lanes of every vector, by halves: lanes `i` and `i + half` until one is left."""
    signature = types.UniTuple(tile.dtype.dtype, tile.count)(tile)

    def generate(context, builder, signature, arguments):
        sums = cgutils.get_null_value(context.get_value_type(signature.return_type))
        for index in range(signature.args[0].count):
            vector = builder.extract_value(arguments[0], index)
            while vector.type.count > 1:
                half = vector.type.count // 2
                parts = [
                    builder.shuffle_vector(
                        vector, vector, ir.Constant(ir.VectorType(ir.IntType(32), half), list(lanes))
                    )
                    for lanes in (range(half), range(half, 2 * half))
                ]
                vector = builder.fadd(*parts)
            sums = builder.insert_value(sums, builder.extract_element(vector, ir.IntType(32)(0)), index)
        return sums

    return signature, generate


with_item = tuple_setitem

if config.DISABLE_JIT:  # plain NumPy in the intrinsics' places: slow, and the same loops can be stepped through

    def with_item(items: Any, index: int, item: Any) -> Any:
        return (*items[:index], item, *items[index + 1 :])

    def zeros(like: Any, count: int) -> Any:
        return tuple(np.zeros(lanes_of(like.dtype), like.dtype) for _ in range(count))

    def _outer_arrays(tile: Any, left: Any, right: Any) -> Any:
        return tuple(tile[i * len(right) + j] + a * b for i, a in enumerate(left) for j, b in enumerate(right))

    def _vectors(array: Any, starts: Any, offset: int) -> Any:
        return [array[start + offset : start + offset + lanes_of(array.dtype)] for start in starts]

    def add_taps(
        tile: Any, low: int, high: int, weights: Any, at: int, step: int, x: Any, starts: Any, offsets: Any, tap: int
    ) -> Any:
        columns = len(starts)
        cells = _vectors(x, starts, offsets[tap])
        return tuple(
            vector + weights[at + index // columns * step] * cells[index % columns]
            if low <= index // columns < high
            else vector
            for index, vector in enumerate(tile)
        )

    def add_products(tile: Any, y: Any, y_starts: Any, y_offset: int, x: Any, x_starts: Any, x_offset: int) -> Any:
        return _outer_arrays(tile, _vectors(y, y_starts, y_offset), _vectors(x, x_starts, x_offset))

    def add_some_products(
        tile: Any, y: Any, y_starts: Any, y_offset: int, x: Any, x_starts: Any, x_offset: int, n_lanes: int
    ) -> Any:
        cells = [np.where(np.arange(len(v)) < n_lanes, v, v.dtype.type(0)) for v in _vectors(x, x_starts, x_offset)]
        return _outer_arrays(tile, _vectors(y, y_starts, y_offset), cells)

    def store(tile: Any, y: Any, row_step: int, starts: Any, n_rows: Any, n_lanes: Any) -> None:
        columns = len(starts)
        for index, vector in enumerate(tile):
            i, j = divmod(index, columns)
            if i < n_rows[j]:
                at = starts[j] + i * row_step
                y[at : at + n_lanes[j]] = vector[: n_lanes[j]]

    def load(tile: Any, y: Any, row_step: int, starts: Any, n_rows: Any, n_lanes: Any) -> Any:
        loaded = [np.zeros_like(vector) for vector in tile]
        for index, vector in enumerate(loaded):
            i, j = divmod(index, len(starts))
            if i < n_rows[j]:
                at = starts[j] + i * row_step
                vector[: n_lanes[j]] = y[at : at + n_lanes[j]]
        return tuple(loaded)

    def lane_sums(tile: Any) -> Any:
        return tuple(_sum_by_halves(vector) for vector in tile)

    def _sum_by_halves(vector: Any) -> Any:
        while len(vector) > 1:
            vector = vector[: len(vector) // 2] + vector[len(vector) // 2 :]
        return vector[0]
