"""The normal equations of a group of filters: summed block by block, and the squares that a solution leaves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.fitting.blocks import Blocks
from interpolated_kernels.fitting.convolving import Convolver
from interpolated_kernels.fitting.samples import Samples


@dataclass(frozen=True, eq=False)
class Equations:
    """Sums over outputs, in float64: products of all columns with each other and with y; the last column is of ones.

    Its own products are there where a constant is asked for, else only the sum of the sample weights.
    """

    moments: FloatArray
    """`(columns + 1, columns + 1)`."""
    products: FloatArray
    """`(filters, columns + 1)`: the right-hand side."""
    count: int
    """The outputs that are not left out."""

    @property
    def gram(self) -> FloatArray:
        """The Gram matrix of the weights' columns."""
        return self.moments[:-1, :-1]

    @property
    def right(self) -> FloatArray:
        """The right-hand side of every filter."""
        return self.products[:, :-1]

    @property
    def sum_of_weights(self) -> float:
        """The sum of the sample weights: the outputs where there are none."""
        return float(self.moments[-1, -1])

    def centre(self) -> tuple[FloatArray, FloatArray]:
        """Return the Gram matrix and the right-hand side about the means of columns and of y: free of a constant."""
        means = self.moments[-1, :-1] / self.sum_of_weights
        gram = self.gram - np.outer(means, self.moments[-1, :-1])
        return gram, self.right - np.outer(self.products[:, -1], means)

    def find_constants(self, weights: FloatArray) -> FloatArray:
        """Return the constant of every filter that is best beside its weights."""
        return (self.products[:, -1] - weights @ self.moments[-1, :-1]) / self.sum_of_weights


def sum_equations(samples: Samples, blocks: Blocks, intercept: bool) -> Equations:
    """Return the normal equations of a group, with what a constant needs where it is asked for.

    Raises
    ------
    ValueError
        If all of its outputs are left out.
    """
    group, convolver = blocks.group, Convolver(blocks.room)
    n = group.n_columns
    moments, products = np.zeros((n + 1, n + 1)), np.zeros((group.problem.filters, n + 1))
    scratch, count = np.empty(n * blocks.n_outputs), 0
    for block in blocks.walk():
        piece = samples.read(group, block, convolver)
        columns = scratch[: n * piece.targets.shape[1]].reshape(n, -1)
        group.write_columns(piece.problem, piece.cells, convolver, columns)
        if piece.weights is not None:
            columns *= piece.weights
            piece.targets[...] *= piece.weights
        for sums, values in ((moments[:-1], columns), (products, piece.targets)):
            group.add_products(piece.problem, values, piece.cells, convolver, sums[:, :-1])
            if intercept:
                sums[:, -1] += values.sum(axis=1)
        moments[-1, -1] += piece.targets.shape[1] if piece.weights is None else piece.weights.sum()
        count += piece.n_outputs
    if count == 0:
        numbers = range(group.filters.start, group.filters.stop)
        raise ValueError(
            f"`y` must have outputs to fit, got none for filters {list(numbers)}: all of them are left out."
        )
    gram = moments[:-1, :-1]
    gram[...] = (gram + gram.T) / 2
    moments[-1, :-1] = moments[:-1, -1]
    return Equations(moments, products, count)


def sum_squares(samples: Samples, blocks: Blocks, weights: FloatArray, constants: FloatArray | None) -> FloatArray:
    """Return every filter's weighted sum of squares of what its weights, and constant, leave over."""
    group, convolver = blocks.group, Convolver(blocks.room)
    squares = np.zeros(len(weights))
    for block in blocks.walk():
        piece = samples.read(group, block, convolver)
        left = np.empty_like(piece.targets)
        group.write_predictions(piece.problem, piece.cells, weights, convolver, left)
        left -= piece.targets
        if constants is not None:
            left += constants[:, None]
        np.square(left, out=left)
        if piece.weights is not None:
            left *= piece.weights
        squares += left.sum(axis=1)
    return squares
