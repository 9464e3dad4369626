"""NumPy in the place of the register tiles, for `NUMBA_DISABLE_JIT=1`: slow, and the loops can be stepped through."""

# ruff: noqa: D103  # each function is documented in `register` or `runs`, under the same name

from __future__ import annotations

from typing import Any

import numpy as np

from interpolated_kernels.tile_sizes import count_lanes


def lanes_in(like: Any) -> int:
    return count_lanes(like.dtype)


def power_of_two(shifted: float) -> float:
    return float(2.0 ** (shifted - 1.5 * 2.0**52))


def as_tuple(array: Any, length: int) -> Any:
    return tuple(array[:length])


def with_item(items: Any, index: int, item: Any) -> Any:
    return (*items[:index], item, *items[index + 1 :])


def zeros(like: Any, count: int) -> Any:
    return tuple(np.zeros(count_lanes(like.dtype), like.dtype) for _ in range(count))


def _outer_arrays(tile: Any, left: Any, right: Any) -> Any:
    return tuple(tile[i * len(right) + j] + a * b for i, a in enumerate(left) for j, b in enumerate(right))


def _vectors(array: Any, starts: Any, offset: int) -> Any:
    return [array[start + offset : start + offset + count_lanes(array.dtype)] for start in starts]


def load_cells(x: Any, starts: Any, offsets: Any, tap: int) -> Any:
    return tuple(_vectors(x, starts, offsets[tap]))


def add_taps(tile: Any, low: int, high: int, weights: Any, start: int, step: int, cells: Any) -> Any:
    columns = len(cells)
    return tuple(
        vector + weights[start + index // columns * step] * cells[index % columns]
        if low <= index // columns < high
        else vector
        for index, vector in enumerate(tile)
    )


def add_products(tile: Any, y: Any, y_starts: Any, y_offset: int, x: Any, x_starts: Any, x_offset: int) -> Any:
    return _outer_arrays(tile, _vectors(y, y_starts, y_offset), _vectors(x, x_starts, x_offset))


def add_some_products(
    tile: Any, y: Any, y_starts: Any, y_offset: int, x: Any, x_starts: Any, x_offset: int, n_lanes: int
) -> Any:
    left, right = (
        [_first(v, n_lanes) for v in _vectors(a, starts, offset)]
        for a, starts, offset in ((y, y_starts, y_offset), (x, x_starts, x_offset))
    )
    return _outer_arrays(tile, left, right)


def _first(vector: Any, n_lanes: int) -> Any:
    whole = np.zeros(count_lanes(vector.dtype), vector.dtype)
    whole[:n_lanes] = vector[:n_lanes]
    return whole


def store(tile: Any, y: Any, row_step: int, starts: Any, n_rows: Any, n_lanes: Any) -> None:
    columns = len(starts)
    for index, vector in enumerate(tile):
        i, j = divmod(index, columns)
        if i < n_rows[j]:
            at = starts[j] + i * row_step
            y[at : at + n_lanes[j]] = vector[: n_lanes[j]]


def add_run(tile: Any, rows: int, weights: Any, at: int, x: Any, start: int, offsets: Any, tap: int) -> Any:
    columns, lanes = len(tile) // rows, count_lanes(x.dtype)
    starts = [start + offsets[tap] + j * lanes for j in range(columns)]
    cells = [x[at : at + lanes] for at in starts]
    return tuple(vector + weights[at + index // columns] * cells[index % columns] for index, vector in enumerate(tile))


def add_line(tile: Any, rows: int, low: int, high: int, weights: Any, at: int, x: Any, start: int) -> Any:
    columns, lanes = len(tile) // rows, count_lanes(x.dtype)
    return tuple(
        vector + weights[at - index // columns] * x[start + index % columns * lanes :][:lanes]
        if low <= index // columns < high
        else vector
        for index, vector in enumerate(tile)
    )


def _runs(tile: Any, rows: int, start: int, row_step: int, first_row: int, first: int, last: int) -> Any:
    columns = len(tile) // rows
    for index, vector in enumerate(tile):
        i, j = divmod(index, columns)
        if i < first_row:
            continue
        low, high = (min(max(lane - j * len(vector), 0), len(vector)) for lane in (first, last))
        at = start + i * row_step + j * len(vector)
        yield vector, slice(low, high), slice(at + low, at + high)


def store_run(tile: Any, rows: int, y: Any, start: int, row_step: int) -> None:
    store_some_run(tile, rows, y, start, row_step, 0, 0, len(tile) * len(tile[0]))


def store_some_run(
    tile: Any, rows: int, y: Any, start: int, row_step: int, first_row: int, first: int, last: int
) -> None:
    for vector, lanes, cells in _runs(tile, rows, start, row_step, first_row, first, last):
        y[cells] = vector[lanes]


def load_some_run(
    tile: Any, rows: int, y: Any, start: int, row_step: int, first_row: int, first: int, last: int
) -> Any:
    loaded = tuple(np.zeros_like(vector) for vector in tile)
    for vector, lanes, cells in _runs(loaded, rows, start, row_step, first_row, first, last):
        vector[lanes] = y[cells]
    return loaded


def add_to_rows(tile: Any, y: Any, starts: Any, start: int) -> None:
    columns = len(tile) // len(starts)
    for index, vector in enumerate(tile):
        at = starts[index // columns] + start + index % columns * len(vector)
        y[at : at + len(vector)] += vector


def clear_values(target: Any, start: int, count: int) -> None:
    target[start : start + count] = 0


def prefetch(array: Any, start: int, count: int) -> None:
    pass


def copy_values(target: Any, target_start: int, source: Any, source_start: int, count: int) -> None:
    target[target_start : target_start + count] = source[source_start : source_start + count]


def copy_spaced_vector(step: int, target: Any, at: int, source: Any, first: int) -> None:
    lanes = lanes_in(target)
    target[at : at + lanes] = source[first : first + step * (lanes - 1) + 1 : step]


def load(tile: Any, y: Any, row_step: int, starts: Any, n_rows: Any, n_lanes: Any) -> Any:
    loaded = [np.zeros_like(vector) for vector in tile]
    for index, vector in enumerate(loaded):
        i, j = divmod(index, len(starts))
        if i < n_rows[j]:
            at = starts[j] + i * row_step
            vector[: n_lanes[j]] = y[at : at + n_lanes[j]]
    return tuple(loaded)


def lane_sums(tile: Any) -> Any:
    return tuple(np.float64(_sum_by_halves(vector)) for vector in tile)


def _sum_by_halves(vector: Any) -> Any:
    while len(vector) > 1:
        vector = vector[: len(vector) // 2] + vector[len(vector) // 2 :]
    return vector[0]
