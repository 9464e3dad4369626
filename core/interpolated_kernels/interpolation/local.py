"""Matrices with few entries a row, and runs of cells: what keeps work and memory far below cells x anchors."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from interpolated_kernels.arrays import BoolArray, FloatArray, IntArray
from interpolated_kernels.lazy import loops

_ENTRIES_OF_BLOCK = 2**17

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class LocalMatrix:
    """A matrix `(cells, n)` whose rows have at most k entries; places that a row does not need hold 0 in column 0.

    `matrix[cell, columns[cell, j]] += values[cell, j]`, so that a column may come twice in a row.
    """

    columns: IntArray
    """`(cells, k)` int."""
    values: FloatArray
    """`(cells, k)` float64."""
    n: int
    """The number of columns."""

    @property
    def shape(self) -> tuple[int, int]:
        """`(cells, n)`."""
        return len(self.values), self.n

    @property
    def n_entries(self) -> int:
        """How many entries the table holds."""
        return self.values.size

    @property
    def nbytes(self) -> int:
        """The bytes of both tables."""
        return self.columns.nbytes + self.values.nbytes

    @functools.cached_property
    def tables(self) -> tuple[IntArray, FloatArray]:
        """Columns as int32 and values as float64, both C-contiguous: what loops take."""
        return np.ascontiguousarray(self.columns, np.int32), np.ascontiguousarray(self.values, np.float64)

    def reaches(self) -> BoolArray:
        """Return which rows have an entry: `(cells,)` bool."""
        return np.asarray(self.values.any(axis=1))

    def dense(self) -> FloatArray:
        """Return the whole matrix."""
        matrix = np.zeros(self.shape)
        np.add.at(matrix, (np.arange(len(self.values))[:, None], self.columns), self.values)
        return matrix

    def by_column(self) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield for every column its rows, in order, and its entries there; rows may come twice, with parts of one."""
        cells, places = np.nonzero(self.values)
        columns, values = self.columns[cells, places], self.values[cells, places]
        order = np.argsort(columns, kind="stable")
        ends = np.searchsorted(columns[order], np.arange(self.n + 1))
        for first, last in itertools.pairwise(ends):
            chosen = order[first:last]
            yield cells[chosen], values[chosen]

    def apply(self, lines: FloatArray) -> FloatArray:
        """Return `lines @ matrix.T` for `(k, n)` lines, summed in the order of a row's entries."""
        return loops.spread_entries(lines, *self.tables)

    def transpose(self, lines: FloatArray) -> FloatArray:
        """Return `lines @ matrix` for `(k, cells)` lines."""
        return loops.gather_entries(lines, *self.tables, self.n)


@dataclass(frozen=True, eq=False)
class WholeMatrix:
    """A matrix `(cells, n)` as an array, by the names that a `LocalMatrix` has."""

    values: FloatArray
    """`(cells, n)` float64."""

    @property
    def shape(self) -> tuple[int, ...]:
        """`(cells, n)`."""
        return self.values.shape

    @property
    def n_entries(self) -> int:
        """How many entries the array holds."""
        return self.values.size

    @property
    def nbytes(self) -> int:
        """The bytes of the array."""
        return self.values.nbytes

    def reaches(self) -> BoolArray:
        """Return which rows have an entry: `(cells,)` bool."""
        return np.asarray(self.values.any(axis=1))

    def dense(self) -> FloatArray:
        """Return the array."""
        return self.values

    def by_column(self) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield for every column its rows, in order, and its entries there, without zeros."""
        for column in self.values.T:
            cells = np.flatnonzero(column)
            yield cells, column[cells]

    def apply(self, lines: FloatArray) -> FloatArray:
        """Return `lines @ matrix.T` for `(k, n)` lines, summed in index order."""
        return loops.mix(lines, np.ascontiguousarray(self.values.T, np.float64))

    def transpose(self, lines: FloatArray) -> FloatArray:
        """Return `lines @ matrix` for `(k, cells)` lines."""
        return loops.mix(lines, np.ascontiguousarray(self.values, np.float64))


def in_blocks(function: Callable[[slice], Result], n_cells: int, n: int) -> list[Result]:
    """Return what a function makes of each run of cells, in order; runs go to the threads that loops run on."""
    blocks = blocks_of_cells(n_cells, n)
    results: list[Result | None] = [None] * len(blocks)

    def run(task: tuple[int, slice], workers: int) -> None:
        results[task[0]] = function(task[1])

    loops.run_in_threads(run, list(enumerate(blocks)))
    return [result for result in results if result is not None]


def blocks_of_cells(n_cells: int, n: int) -> list[slice]:
    """Return the cells in runs, so that a run's part of a `(cells, n)` matrix stays in cache."""
    step = max(16, _ENTRIES_OF_BLOCK // max(n, 1))
    return [slice(first, min(first + step, n_cells)) for first in range(0, n_cells, step)]
