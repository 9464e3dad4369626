"""Register tiles: a few vectors that stay in registers while a loop runs over its taps.

LLVM's loop vectorizer keeps an accumulator in memory where several outputs and several taps are summed at once; that
costs half of the machine's rate. These intrinsics write the vectors down instead: a tile is a tuple of `<lanes x
dtype>` values, each as wide as the processor's registers (`tile_sizes`). With `NUMBA_DISABLE_JIT=1` the same names work
on NumPy arrays (`numpy_tiles`).
"""

from __future__ import annotations

from typing import Any

from numba import config, types
from numba.extending import intrinsic

from interpolated_kernels.loops.compile.numba_parts import cgutils, ir, to_fixed_tuple, tuple_setitem
from interpolated_kernels.loops.tiles import numpy_tiles
from interpolated_kernels.loops.tiles.vectors import (
    VectorType,
    add_lanes,
    add_outer,
    add_weighted,
    broadcast,
    load_data,
    load_vectors,
    masked_load,
    masked_store,
)
from interpolated_kernels.tile_sizes import VECTOR_BYTES


@intrinsic
def lanes_in(typing_context, like):
    """Return how many values of the array (or pointer) `like` a vector has: a constant, to unroll a loop by."""
    signature = types.intp(like)

    def generate(context, builder, signature, arguments):
        return context.get_constant(types.intp, VECTOR_BYTES * 8 // signature.args[0].dtype.bitwidth)

    return signature, generate


@intrinsic(prefer_literal=True)
def zeros(typing_context, like, count):
    """Return a tile of `count` (a constant) zero vectors of the dtype of the array `like`."""
    signature = types.UniTuple(VectorType(like.dtype), count.literal_value)(like, count)

    def generate(context, builder, signature, arguments):
        return cgutils.get_null_value(context.get_value_type(signature.return_type))

    return signature, generate


@intrinsic
def load_cells(typing_context, x, starts, offsets, tap):
    """Return the vectors at `x[starts[j] + offsets[tap] :]`, which a tap meets. No index is checked."""
    signature = types.UniTuple(VectorType(x.dtype), starts.count)(x, starts, offsets, tap)

    def generate(context, builder, signature, arguments):
        x, starts, offsets, tap = arguments
        x_type, _, offsets_type, _ = signature.args
        offset = builder.load(builder.gep(load_data(context, builder, offsets_type, offsets), [tap]))
        whole = starts.type.element
        offset = builder.sext(offset, whole) if offset.type.width < whole.width else offset
        vector = context.get_value_type(signature.return_type.dtype)
        cells = load_vectors(builder, load_data(context, builder, x_type, x), starts, offset, vector)
        return cgutils.pack_array(builder, cells)

    return signature, generate


@intrinsic(prefer_literal=True)
def add_taps(typing_context, tile, low, high, weights, start, step, cells):
    """Return the tile with `weights[start + i * step] * cells[j]` added to every vector `(i, j)`.

    That is for `low <= i < high` alone, both constants; the weights of other rows are not read. No index is checked.
    """
    wanted = range(low.literal_value, high.literal_value)
    signature = tile(tile, low, high, weights, start, step, cells)
    columns = cells.count

    def generate(context, builder, signature, arguments):
        tile, _, _, weights, start, step, cells = arguments
        vector = context.get_value_type(signature.return_type.dtype)
        weight_data = load_data(context, builder, signature.args[3], weights)
        vectors = [builder.extract_value(cells, j) for j in range(columns)]
        return add_weighted(builder, vector, tile, wanted, (weight_data, start, step), vectors)

    return signature, generate


@intrinsic
def add_products(typing_context, tile, y, y_starts, y_offset, x, x_starts, x_offset):
    """Return the tile with `y[y_starts[i] + y_offset :] * x[x_starts[j] + x_offset :]` added to vector `(i, j)`."""
    signature = tile(tile, y, y_starts, y_offset, x, x_starts, x_offset)

    def generate(context, builder, signature, arguments):
        tile, y, y_starts, y_offset, x, x_starts, x_offset = arguments
        vector = context.get_value_type(signature.return_type.dtype)
        y_data, x_data = (load_data(context, builder, signature.args[at], array) for at, array in ((1, y), (4, x)))
        left = load_vectors(builder, y_data, y_starts, y_offset, vector)
        right = load_vectors(builder, x_data, x_starts, x_offset, vector)
        return add_outer(builder, vector, tile, left, right)

    return signature, generate


@intrinsic
def add_some_products(typing_context, tile, y, y_starts, y_offset, x, x_starts, x_offset, n_lanes):
    """Do as `add_products` for the first `n_lanes` lanes; what stands in the others does not count, be it NaN."""
    signature = tile(tile, y, y_starts, y_offset, x, x_starts, x_offset, n_lanes)

    def generate(context, builder, signature, arguments):
        tile, y, y_starts, y_offset, x, x_starts, x_offset, n_lanes = arguments
        vector = context.get_value_type(signature.return_type.dtype)
        y_data, x_data = (load_data(context, builder, signature.args[at], array) for at, array in ((1, y), (4, x)))
        lanes = ir.Constant(ir.VectorType(n_lanes.type, vector.count), list(range(vector.count)))
        wanted = builder.icmp_signed("<", lanes, broadcast(builder, n_lanes, lanes.type))
        left = load_vectors(builder, y_data, y_starts, y_offset, vector, wanted)
        right = load_vectors(builder, x_data, x_starts, x_offset, vector, wanted)
        return add_outer(builder, vector, tile, left, right)

    return signature, generate


def _places(
    context: Any, builder: Any, array_type: Any, y: Any, shape: tuple[int, int], arguments: Any, vector: Any
) -> Any:
    """Yield every vector's index, pointer and mask in `y`: the first `n_lanes[j]` lanes, where `i < n_rows[j]`."""
    row_step, starts, n_rows, n_lanes = arguments
    data = load_data(context, builder, array_type, y)
    lanes = ir.Constant(ir.VectorType(row_step.type, vector.count), list(range(vector.count)))
    bits = ir.VectorType(ir.IntType(1), vector.count)
    for j in range(shape[1]):
        start, rows = builder.extract_value(starts, j), builder.extract_value(n_rows, j)
        wanted_lanes = builder.icmp_signed(
            "<", lanes, broadcast(builder, builder.extract_value(n_lanes, j), lanes.type)
        )
        for i in range(shape[0]):
            wanted_row = broadcast(builder, builder.icmp_signed(">", rows, rows.type(i)), bits)
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
        columns = signature.args[3].count
        shape = (signature.args[0].count // columns, columns)
        for index, pointer, mask in _places(context, builder, signature.args[1], y, shape, arguments[2:], vector):
            masked_store(builder, builder.extract_value(tile, index), pointer, mask)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def load(typing_context, tile, y, row_step, starts, n_rows, n_lanes):
    """Return a tile like `tile` with what `store` wrote there, zeros elsewhere."""
    signature = tile(tile, y, row_step, starts, n_rows, n_lanes)

    def generate(context, builder, signature, arguments):
        tile, y = arguments[:2]
        vector = context.get_value_type(signature.args[0].dtype)
        columns = signature.args[3].count
        shape = (signature.args[0].count // columns, columns)
        for index, pointer, mask in _places(context, builder, signature.args[1], y, shape, arguments[2:], vector):
            tile = builder.insert_value(tile, masked_load(builder, pointer, mask, vector), index)
        return tile

    return signature, generate


@intrinsic
def lane_sums(typing_context, tile):
    """Return the sum of the lanes of every vector as float64, by halves: lanes `i` and `i + half` until one is left."""
    signature = types.UniTuple(types.float64, tile.count)(tile)

    def generate(context, builder, signature, arguments):
        vectors = [builder.extract_value(arguments[0], index) for index in range(signature.args[0].count)]
        return cgutils.pack_array(builder, add_lanes(builder, vectors))

    return signature, generate


with_item = tuple_setitem

as_tuple = to_fixed_tuple
"""The values of a short array as a tuple of a constant length: a row of a table becomes a NamedTuple so."""

if config.DISABLE_JIT:
    zeros, lanes_in, lane_sums = numpy_tiles.zeros, numpy_tiles.lanes_in, numpy_tiles.lane_sums
    load_cells, add_taps = numpy_tiles.load_cells, numpy_tiles.add_taps
    add_products, add_some_products = numpy_tiles.add_products, numpy_tiles.add_some_products
    store, load, with_item = numpy_tiles.store, numpy_tiles.load, numpy_tiles.with_item
    as_tuple = numpy_tiles.as_tuple
