"""Images of two axes, transformed side by side: where planes of tiles are read, and where planes are written.

A plane is one image of a tile: a channel of x, a filter of y's gradient, a dense kernel. Tiles come in batches, so that
there are planes for all lanes of a vector; what a plane holds does not depend on what stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.paths.fourier.exact import Task
from interpolated_kernels.paths.fourier.memory import count_batch
from interpolated_kernels.paths.fourier.spectra import KernelSpectra, TiledProblem
from interpolated_kernels.paths.fourier.tiles import AxisTiles, FilterBlock, count_numbers
from interpolated_kernels.tile_sizes import count_lanes

_SCALE_OF_SPECTRA = 2.0
Entry = TypeVar("Entry")


def cut(entries: Sequence[Entry], count: int) -> list[Sequence[Entry]]:
    """Return runs of so many entries."""
    return [entries[first : first + count] for first in range(0, len(entries), count)]


@dataclass(frozen=True, eq=False)
class Reader:
    """How planes are read from an array `(..., rows, columns)`: tables of the cells that each axis' tiles show."""

    tables: Any
    runs: IntArray
    """Of every tile of columns: the first cell that shows something, how many do (-1: no run), what the first shows."""
    lengths: tuple[int, ...]
    cells_of_image: int

    def transform(
        self, array: FloatArray, images: IntArray, tiles: IntArray, work: FloatArray, room: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the spectra of some tiles `(n, 2)` of images, by their numbers, and a bound on each one's entries.

        The spectra lie in `room`, from `make_room`, where it is given.
        """
        runs = self.runs[tiles[:, 1]]
        places = np.concatenate([(images * self.cells_of_image)[:, None], tiles * self.lengths, runs], axis=1)
        spectra = self.make_room(len(images), array.dtype) if room is None else room
        sizes = np.empty(len(images), array.dtype)
        loops.transform_planes(
            self.tables, places, np.ascontiguousarray(array).reshape(-1), work, sizes, spectra.reshape(-1)
        )
        return spectra[: len(images)], sizes

    def make_room(self, n_images: int, dtype: Any) -> FloatArray:
        """Return room for the spectra of so many images: whole vectors of them."""
        lanes = count_lanes(dtype)
        return np.empty((-(-n_images // lanes) * lanes, count_numbers(self.lengths, dtype)), dtype)


def _find_runs(table: IntArray) -> IntArray:
    """Return, for every row of a table, the first entry that is not -1, how many are (-1: not a run), and the entry."""
    found = np.zeros((len(table), 3), np.int64)
    for tile, shown in enumerate(table):
        there = np.flatnonzero(shown >= 0)
        if there.size:
            cells = shown[there[0] : there[-1] + 1]
            is_run = bool((np.diff(cells) == 1).all()) and bool((cells >= 0).all())
            found[tile] = there[0], len(cells) if is_run else -1, cells[0]
    return found


def make_reader(axes: Sequence[IntArray], spatial: Sequence[int], dtype: Any) -> Reader:
    """Return the reader of images of a spatial shape, from tables `(tiles, cells of a tile)` of each axis."""
    rows, columns = axes
    shown_rows = np.flatnonzero((rows >= 0).any(axis=0))
    n_rows = int(shown_rows[-1]) + 1 if shown_rows.size else 0
    lengths = rows.shape[1], columns.shape[1]
    tables = loops.Sources(loops.describe_plane(lengths), rows.ravel(), columns.ravel(), n_rows, spatial[1])
    return Reader(loops.pack_tables(tables, dtype), _find_runs(columns), lengths, spatial[0] * spatial[1])


def _spread(count: int, first: int, step: int, cells: int) -> IntArray:
    """Return a table's row for `count` cells from `first` on, `step` apart, with nothing between and behind them."""
    places = np.arange(cells)
    return np.where((places % step == 0) & (places // step < count), first + places // step, -1)


def _tabulate_outputs(axis: AxisTiles) -> IntArray:
    tiles = map(axis.find_outputs, range(axis.count))
    return np.stack([_spread(tile.stop - tile.start, tile.start, axis.stride, axis.cells) for tile in tiles])


Kept = tuple[tuple[int, int], tuple[int, int]]
"""What is kept of a plane: how many rows, and every which; the length of the target's rows, and every which column."""


@dataclass(frozen=True, eq=False)
class Writer:
    """How planes are made of spectra, and written."""

    tables: Any

    def write(self, places: IntArray, first: FloatArray, second: FloatArray, work: FloatArray, out: FloatArray) -> None:
        """Write planes: a row of places is the first term's spectra, where cells go, and how many rows and columns."""
        loops.transform_planes_back(self.tables, places, first.reshape(-1), second.reshape(-1), work, out.reshape(-1))


@dataclass(frozen=True, eq=False)
class Planes:
    """The readers of a problem's arrays, and what its writers share."""

    tiled: TiledProblem
    x: Reader
    y: Reader
    kernels: Reader
    unit: FloatArray
    """The true spectrum of a one in the first cell: sums of products are twice-two already."""

    def count_batch(self, n_images: int) -> int:
        """Return how many tiles of so many images pass together."""
        problem, tiles = self.tiled.problem, self.tiled.tiles
        bytes_of_image = count_numbers(tiles.shape, problem.dtype) * np.dtype(problem.dtype).itemsize
        return count_batch(n_images * bytes_of_image, tiles, loops.get_num_threads())

    @property
    def run(self) -> int:
        """The real parts that stand together in a spectrum, and as many imaginary parts behind them."""
        rows, columns = self.tiled.tiles.shape
        return count_numbers((rows, columns), self.tiled.problem.dtype) // (columns // 2 + 1) // 2

    def make_workspace(self) -> FloatArray:
        """Return a thread's workspace."""
        work: FloatArray = loops.make_workspace(self.tiled.tiles.shape, np.dtype(self.tiled.problem.dtype))
        return work

    def make_writer(self, sum_of: tuple[int, int, int], sign: float, kept: Kept) -> Writer:
        """Return a writer of planes that are sums of products: so many terms, and steps from one term's spectra on.

        `sign` is -1 where the second spectrum is to be conjugate.
        """
        (rows, row_step), (columns, column_step) = kept
        factors = np.array([sign, 1 / (_SCALE_OF_SPECTRA**2 * self.tiled.tiles.n_cells)])
        n_rows = (rows - 1) * row_step + 1
        plane = loops.describe_plane(self.tiled.tiles.shape)
        targets = loops.Targets(plane, *sum_of, n_rows, row_step, column_step, columns, factors)
        return Writer(loops.pack_tables(targets, np.dtype(self.tiled.problem.dtype)))

    def transform_x(self, x: FloatArray, tasks: Sequence[Task], block: FilterBlock, work: FloatArray) -> Any:
        """Return a block's channels' spectra `(tiles, channels, numbers)` and bounds `(tiles,)`."""
        return _transform(self.x, x, tasks, block.channels, work)

    def transform_y(self, y: FloatArray, tasks: Sequence[Task], block: FilterBlock, work: FloatArray) -> Any:
        """Return a block's filters' spectra `(tiles, filters, numbers)` and bounds `(tiles,)`."""
        return _transform(self.y, y, tasks, block.filters, work)

    def transform_kernels(self, dense: FloatArray, block: FilterBlock) -> KernelSpectra:
        """Return the spectra of a block's dense kernels, which are finite."""
        problem = self.tiled.problem
        per_filter, lanes = problem.channels_per_group, count_lanes(dense.dtype)
        images = range(block.filters.start * per_filter, block.filters.stop * per_filter)
        is_worth_it = self.tiled.tiles.are_worth_threads(len(images))
        parts = cut(range(len(images)), lanes if is_worth_it else len(images))
        spectra, sizes = self.kernels.make_room(len(images), dense.dtype), np.empty(len(images), dense.dtype)

        def run(part: Sequence[int], workers: int) -> None:
            numbers, work = np.array(part), self.make_workspace()
            tiles, room = np.zeros((len(numbers), 2), np.int64), spectra[numbers[0] :]
            _, sizes[numbers] = self.kernels.transform(dense, images[0] + numbers, tiles, work, room)

        loops.run_in_threads(run, parts, splits=False, is_worth_it=is_worth_it)
        shape = block.n_filters, per_filter, spectra.shape[1]
        return KernelSpectra(spectra[: len(images)].reshape(shape), _SCALE_OF_SPECTRA * float(sizes.max()))


def _transform(reader: Reader, array: FloatArray, tasks: Sequence[Task], rows: slice, work: FloatArray) -> Any:
    count = rows.stop - rows.start
    samples = np.array([sample for sample, _ in tasks])
    tiles = np.array([tile for _, tile in tasks])
    images = (samples[:, None] * array.shape[1] + np.arange(rows.start, rows.stop)).ravel()
    spectra, sizes = reader.transform(array, images, np.repeat(tiles, count, axis=0), work)
    bounds = _SCALE_OF_SPECTRA * sizes.reshape(-1, count).max(axis=1).astype(np.float64)
    return spectra.reshape(len(tasks), count, -1), bounds


def make_planes(tiled: TiledProblem) -> Planes:
    """Return the readers of a problem whose tiles are of two axes."""
    problem, tiles = tiled.problem, tiled.tiles
    dtype = np.dtype(problem.dtype)
    shown = [np.stack([axis.find_cells(tile) for tile in range(axis.count)]) for axis in tiles.axes]
    outputs = [_tabulate_outputs(axis) for axis in tiles.axes]
    cells = [
        _spread(count, 0, step, axis.cells)[None]
        for count, step, axis in zip(problem.window, problem.dilation, tiles.axes, strict=True)
    ]
    columns = tiles.shape[1] // 2 + 1
    unit = np.zeros((columns, 2, count_numbers(tiles.shape, dtype) // (2 * columns)), dtype)
    unit[:, 0] = 1
    return Planes(
        tiled,
        make_reader(shown, problem.spatial, dtype),
        make_reader(outputs, problem.out_spatial, dtype),
        make_reader(cells, problem.window, dtype),
        unit.ravel(),
    )
