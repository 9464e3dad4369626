"""Register tiles: a few vectors that stay in registers while a loop runs over its taps.

LLVM's loop vectorizer keeps an accumulator in memory where several outputs and several taps are summed at once; that
costs half of the machine's rate. These intrinsics write the vectors down instead: a tile is a tuple of `<lanes x
dtype>` values, 32 bytes each, which LLVM maps to its registers (one AVX or two NEON registers a vector). With
`NUMBA_DISABLE_JIT=1` the same names work on NumPy arrays (`numpy_tiles`).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.cpython.unsafe.tuple import tuple_setitem
from numba.extending import intrinsic, register_model

from interpolated_kernels.loops import numpy_tiles

VECTOR_BYTES, lanes_of = numpy_tiles.VECTOR_BYTES, numpy_tiles.lanes_of


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
    if isinstance(array_type, types.CPointer):
        return array
    return context.make_array(array_type)(context, builder, array).data


def _itemsize(vector: Any) -> int:
    return VECTOR_BYTES // int(vector.count)


def _suffix(vector: Any) -> str:
    return f"v{vector.count}f{8 * _itemsize(vector)}"


def _load_all(
    context: Any, builder: Any, array_type: Any, array: Any, starts: Any, count: int, offset: Any, vector: Any,
    mask: Any = None,
) -> list[Any]:  # fmt: skip
    """Return the vectors at `array[starts[k] + offset :]`, at any alignment; what is masked is not read and is 0."""
    data = _data(context, builder, array_type, array)
    vectors = []
    for k in range(count):
        pointer = builder.gep(data, [builder.add(builder.extract_value(starts, k), offset)])
        pointer = builder.bitcast(pointer, vector.as_pointer())
        if mask is None:
            vectors.append(builder.load(pointer, align=_itemsize(vector)))
        else:
            vectors.append(_masked_load(builder, pointer, mask, vector))
    return vectors


def _masked_load(builder: Any, pointer: Any, mask: Any, vector: Any) -> Any:
    kind = ir.FunctionType(vector, [pointer.type, ir.IntType(32), mask.type, vector])
    masked_load = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.{_suffix(vector)}.p0")
    nothing = ir.Constant(vector, [0.0] * vector.count)
    return builder.call(masked_load, [pointer, ir.IntType(32)(_itemsize(vector)), mask, nothing])


def _masked_store(builder: Any, value: Any, pointer: Any, mask: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [value.type, pointer.type, ir.IntType(32), mask.type])
    name = f"llvm.masked.store.{_suffix(value.type)}.p0"
    masked_store = cgutils.get_or_insert_function(builder.module, kind, name)
    builder.call(masked_store, [value, pointer, ir.IntType(32)(_itemsize(value.type)), mask])


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


def _add_weighted(builder: Any, vector: Any, tile: Any, wanted: Any, weights: Any, cells: list[Any]) -> Any:
    """Return the tile with a weight times the cells added to each wanted row; weights lie `step` apart from `at` on."""
    data, at, step = weights
    for i in wanted:
        value = builder.load(builder.gep(data, [builder.add(at, builder.mul(step, step.type(i)))]))
        weight = _broadcast(builder, value, vector)
        for j, cell in enumerate(cells):
            index = i * len(cells) + j
            new = builder.call(_multiply_add(builder, vector), [weight, cell, builder.extract_value(tile, index)])
            tile = builder.insert_value(tile, new, index)
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
        return _add_weighted(builder, vector, tile, wanted, (weight_data, at, step), cells)

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
        left = _load_all(context, builder, signature.args[1], y, y_starts, rows, y_offset, vector, wanted)
        right = _load_all(context, builder, signature.args[4], x, x_starts, columns, x_offset, vector, wanted)
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
        columns = signature.args[3].count
        shape = (signature.args[0].count // columns, columns)
        for index, pointer, mask in _places(context, builder, signature.args[1], y, shape, arguments[2:], vector):
            _masked_store(builder, builder.extract_value(tile, index), pointer, mask)
        return context.get_dummy_value()

    return signature, generate


@intrinsic(prefer_literal=True)
def add_run(typing_context, tile, rows, weights, at, x, start, offsets, tap):
    """Return the tile with `weights[at + i]` times the run at `x[start + offsets[tap] :]` added to each of its rows.

    A tile of `rows` (a constant) holds in each row a run of neighbouring values. No index is checked.
    """
    n_rows = rows.literal_value
    signature = tile(tile, rows, weights, at, x, start, offsets, tap)

    def generate(context, builder, signature, arguments):
        tile, _, weights, at, x, start, offsets, tap = arguments
        offset = builder.load(builder.gep(_data(context, builder, signature.args[6], offsets), [tap]))
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
    weight_data = _data(context, builder, signature.args[places[0]], weights)
    pointers = _run(context, builder, signature.args[places[1]], x, start, columns, vector)
    cells = [builder.load(pointer, align=_itemsize(vector)) for pointer in pointers]
    return _add_weighted(builder, vector, tile, wanted, (weight_data, at, step), cells)


def _run(context: Any, builder: Any, array_type: Any, array: Any, start: Any, columns: int, vector: Any) -> list[Any]:
    """Return pointers to the neighbouring vectors from `array[start]` on."""
    first = builder.bitcast(builder.gep(_data(context, builder, array_type, array), [start]), vector.as_pointer())
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
                builder.icmp_signed(">=", lanes, _broadcast(builder, first, numbers)),
                builder.icmp_signed("<", lanes, _broadcast(builder, last, numbers)),
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
            yield i * shape[1] + j, pointer, builder.and_(masks[j], _broadcast(builder, wanted, masks[j].type))
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
                builder.store(value, pointer, align=_itemsize(vector))
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
            _masked_store(builder, builder.extract_value(tile, index), pointer, mask)
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
            tile = builder.insert_value(tile, _masked_load(builder, pointer, mask, vector), index)
        return tile

    return signature, generate


@intrinsic
def copy_values(typing_context, target, target_start, source, source_start, count):
    """Copy `count` neighbours from `source[source_start:]` to `target[target_start:]`; no index is checked."""
    signature = types.void(target, target_start, source, source_start, count)

    def generate(context, builder, signature, arguments):
        target, target_start, source, source_start, count = arguments
        to = builder.gep(_data(context, builder, signature.args[0], target), [target_start])
        of = builder.gep(_data(context, builder, signature.args[2], source), [source_start])
        cgutils.raw_memcpy(
            builder, to, of, count, context.get_constant(types.intp, signature.args[0].dtype.bitwidth // 8)
        )
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
            tile = builder.insert_value(tile, _masked_load(builder, pointer, mask, vector), index)
        return tile

    return signature, generate


@intrinsic
def lane_sums(typing_context, tile):
    """Return the float64 sum of the lanes of every vector, by halves: lanes `i` and `i + half` until one is left."""
    signature = types.UniTuple(types.float64, tile.count)(tile)

    def generate(context, builder, signature, arguments):
        sums = cgutils.get_null_value(context.get_value_type(signature.return_type))
        for index in range(signature.args[0].count):
            vector = builder.extract_value(arguments[0], index)
            if vector.type.element != ir.DoubleType():
                vector = builder.fpext(vector, ir.VectorType(ir.DoubleType(), vector.type.count))
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

if config.DISABLE_JIT:
    zeros, add_taps, add_products = numpy_tiles.zeros, numpy_tiles.add_taps, numpy_tiles.add_products
    add_some_products, lane_sums, with_item = (
        numpy_tiles.add_some_products,
        numpy_tiles.lane_sums,
        numpy_tiles.with_item,
    )
    store, load, copy_values = numpy_tiles.store, numpy_tiles.load, numpy_tiles.copy_values
    add_run, add_line, store_run = numpy_tiles.add_run, numpy_tiles.add_line, numpy_tiles.store_run
    store_some_run, load_some_run = numpy_tiles.store_some_run, numpy_tiles.load_some_run
