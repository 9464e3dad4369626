"""Runs: tiles whose rows hold neighbouring values, so that one pointer reads or writes a row.

With `NUMBA_DISABLE_JIT=1` the same names work on NumPy arrays (`numpy_tiles`).
"""

from __future__ import annotations

from typing import Any

from numba import config, types
from numba.extending import intrinsic

from interpolated_kernels.loops.compile.numba_parts import ir
from interpolated_kernels.loops.tiles import numpy_tiles
from interpolated_kernels.loops.tiles.vectors import (
    add_weighted,
    broadcast,
    count_bytes,
    load_data,
    masked_load,
    masked_store,
)


@intrinsic(prefer_literal=True)
def add_run(typing_context, tile, rows, weights, at, x, start, offsets, tap):
    """Return the tile with `weights[at + i]` times the run at `x[start + offsets[tap] :]` added to each of its rows.

    A tile of `rows` (a constant) holds in each row a run of neighbouring values. No index is checked.
    """
    n_rows = rows.literal_value
    signature = tile(tile, rows, weights, at, x, start, offsets, tap)

    def generate(context, builder, signature, arguments):
        tile, _, weights, at, x, start, offsets, tap = arguments
        offset = builder.load(builder.gep(load_data(context, builder, signature.args[6], offsets), [tap]))
        offset = builder.sext(offset, start.type) if offset.type.width < start.type.width else offset
        operands = (weights, at, at.type(1), x, builder.add(start, offset))
        return _add_rows(context, builder, signature, tile, n_rows, range(n_rows), operands, (2, 4))

    return signature, generate


@intrinsic(prefer_literal=True)
def add_line(typing_context, tile, rows, low, high, weights, at, x, start):
    """Return the tile with `weights[at - i]` times the run at `x[start:]` added to its rows `low <= i < high`.

    That is one line of input which several rows of output meet, each with another weight. All three counts are
    constants; weights of other rows are not read. No index is checked.
    """
    n_rows, wanted = rows.literal_value, range(low.literal_value, high.literal_value)
    signature = tile(tile, rows, low, high, weights, at, x, start)

    def generate(context, builder, signature, arguments):
        tile, _, _, _, weights, at, x, start = arguments
        operands = (weights, at, at.type(-1), x, start)
        return _add_rows(context, builder, signature, tile, n_rows, wanted, operands, (4, 6))

    return signature, generate


def _add_rows(
    context: Any, builder: Any, signature: Any, tile: Any, n_rows: int, wanted: Any, operands: Any, places: Any
) -> Any:
    """Return the tile with a weight times the run at `x[start:]` added to the wanted rows."""
    weights, at, step, x, start = operands
    vector = context.get_value_type(signature.return_type.dtype)
    columns = signature.return_type.count // n_rows
    weight_data = load_data(context, builder, signature.args[places[0]], weights)
    pointers = _run(context, builder, signature.args[places[1]], x, start, columns, vector)
    cells = [builder.load(pointer, align=count_bytes(vector)) for pointer in pointers]
    return add_weighted(builder, vector, tile, wanted, (weight_data, at, step), cells)


def _run(context: Any, builder: Any, array_type: Any, array: Any, start: Any, columns: int, vector: Any) -> list[Any]:
    """Return pointers to the neighbouring vectors from `array[start]` on."""
    first = builder.bitcast(builder.gep(load_data(context, builder, array_type, array), [start]), vector.as_pointer())
    return [builder.gep(first, [ir.IntType(64)(j)]) for j in range(columns)]


def _run_masks(builder: Any, first: Any, last: Any, columns: int, vector: Any) -> list[Any]:
    """Return for each vector of a run the mask of its lanes `first` to `last`, counted along the run."""
    narrow = ir.IntType(32)
    first, last = builder.trunc(first, narrow), builder.trunc(last, narrow)
    masks = []
    for j in range(columns):
        numbers = ir.VectorType(narrow, vector.count)
        lanes = ir.Constant(numbers, [j * vector.count + lane for lane in range(vector.count)])
        masks.append(
            builder.and_(
                builder.icmp_signed(">=", lanes, broadcast(builder, first, numbers)),
                builder.icmp_signed("<", lanes, broadcast(builder, last, numbers)),
            )
        )
    return masks


def _some_places(
    context: Any, builder: Any, array_type: Any, shape: tuple[int, int], arguments: Any, vector: Any
) -> Any:
    """Yield every vector's index, pointer and mask: lanes `first` to `last` of the run, rows from `first_row` on."""
    y, start, row_step, first_row, first, last = arguments
    masks = _run_masks(builder, first, last, shape[1], vector)
    for i in range(shape[0]):
        wanted = builder.icmp_signed("<=", first_row, first_row.type(i))
        for j, pointer in enumerate(_run(context, builder, array_type, y, start, shape[1], vector)):
            yield i * shape[1] + j, pointer, builder.and_(masks[j], broadcast(builder, wanted, masks[j].type))
        start = builder.add(start, row_step)


@intrinsic(prefer_literal=True)
def store_run(typing_context, tile, rows, y, start, row_step):
    """Write every row of the tile as a run to `y[start + i * row_step :]`."""
    n_rows = rows.literal_value
    signature = types.void(tile, rows, y, start, row_step)

    def generate(context, builder, signature, arguments):
        tile, _, y, start, row_step = arguments
        vector = context.get_value_type(signature.args[0].dtype)
        columns = signature.args[0].count // n_rows
        for i in range(n_rows):
            for j, pointer in enumerate(_run(context, builder, signature.args[2], y, start, columns, vector)):
                value = builder.extract_value(tile, i * columns + j)
                builder.store(value, pointer, align=count_bytes(vector))
            start = builder.add(start, row_step)
        return context.get_dummy_value()

    return signature, generate


@intrinsic(prefer_literal=True)
def store_some_run(typing_context, tile, rows, y, start, row_step, first_row, first, last):
    """Write lanes `first` to `last`, counted along the run, of rows from `first_row` on: slower than `store_run`."""
    n_rows = rows.literal_value
    signature = types.void(tile, rows, y, start, row_step, first_row, first, last)

    def generate(context, builder, signature, arguments):
        tile = arguments[0]
        vector = context.get_value_type(signature.args[0].dtype)
        shape = (n_rows, signature.args[0].count // n_rows)
        for index, pointer, mask in _some_places(context, builder, signature.args[2], shape, arguments[2:], vector):
            masked_store(builder, builder.extract_value(tile, index), pointer, mask)
        return context.get_dummy_value()

    return signature, generate


@intrinsic(prefer_literal=True)
def load_some_run(typing_context, tile, rows, y, start, row_step, first_row, first, last):
    """Return a tile like `tile` with what `store_some_run` wrote there, zeros elsewhere."""
    n_rows = rows.literal_value
    signature = tile(tile, rows, y, start, row_step, first_row, first, last)

    def generate(context, builder, signature, arguments):
        tile = arguments[0]
        vector = context.get_value_type(signature.args[0].dtype)
        shape = (n_rows, signature.args[0].count // n_rows)
        for index, pointer, mask in _some_places(context, builder, signature.args[2], shape, arguments[2:], vector):
            tile = builder.insert_value(tile, masked_load(builder, pointer, mask, vector), index)
        return tile

    return signature, generate


@intrinsic
def add_to_rows(typing_context, tile, y, starts, start):
    """Add row i of the tile, a run of neighbouring values, to `y[starts[i] + start :]`. No index is checked."""
    signature = types.void(tile, y, starts, start)
    n_rows = starts.count

    def generate(context, builder, signature, arguments):
        tile, y, starts, start = arguments
        vector = context.get_value_type(signature.args[0].dtype)
        columns = signature.args[0].count // n_rows
        for i in range(n_rows):
            at = builder.add(builder.extract_value(starts, i), start)
            for j, pointer in enumerate(_run(context, builder, signature.args[1], y, at, columns, vector)):
                held = builder.load(pointer, align=count_bytes(vector))
                value = builder.fadd(held, builder.extract_value(tile, i * columns + j))
                builder.store(value, pointer, align=count_bytes(vector))
        return context.get_dummy_value()

    return signature, generate


if config.DISABLE_JIT:
    add_run, add_line, add_to_rows = numpy_tiles.add_run, numpy_tiles.add_line, numpy_tiles.add_to_rows
    store_run, store_some_run = numpy_tiles.store_run, numpy_tiles.store_some_run
    load_some_run = numpy_tiles.load_some_run
