"""The tables of CUDA's loops, looked at without any CUDA: what `paths/on_cuda` draws is what is laid out."""

import numpy as np

import interpolated_kernels as ik
from interpolated_kernels.options import Options
from interpolated_kernels.padding import index_axis
from interpolated_kernels.paths.direct.on_cuda import make_dense_maps
from interpolated_kernels.paths.lattice.on_cuda import make_lattice_maps
from interpolated_kernels.paths.on_cuda.lines import find_lines
from interpolated_kernels.problem import describe


def _dense(maps, problem):
    """Return the matrix of the last axis, from x's cells to its maps' lines."""
    matrix = np.zeros((maps.shape[2], problem.spatial[-1]))
    lines, cells, values = find_lines(maps.axes[2], index_axis(problem, len(problem.spatial) - 1))
    np.add.at(matrix, (lines, cells), values)
    return matrix


def test_the_drawn_example_is_what_is_laid_out():
    """Two classes with a map each: lines, matrix and outputs as in the drawing."""
    kernel = ik.InterpolatedKernel([[0], [2]], 3, "linear")
    problem = describe((1, 1, 4), (1, 1, 2), kernel, Options(padding=((1, 0),)), "float64", "cuda:0")
    maps = make_lattice_maps(problem)
    assert maps.shape == (1, 1, 6)
    padded = np.vstack([np.zeros(4), np.eye(4)])  # its cells, as combinations of x's
    first = [padded[q] + padded[q + 1] / 2 for q in range(3)]
    second = [padded[q + 1] / 2 + padded[q + 2] for q in range(3)]
    np.testing.assert_array_equal(_dense(maps, problem), np.stack(first + second))
    x, weights = np.array([1.0, 2.0, 4.0, 8.0]), np.array([3.0, 5.0])
    lines = _dense(maps, problem) @ x
    y = [weights[0] * lines[o] + weights[1] * lines[o + 3] for o in range(3)]
    np.testing.assert_array_equal(y, ik.conv(x, weights, kernel, padding=((1, 0),), path="reference"))


def test_dense_maps_are_the_phases_of_the_stride():
    """For the direct path a line is a cell of padded x, or a zero: a map a phase that the window meets."""
    kernel = ik.InterpolatedKernel([[0], [1], [2]], 3, "linear")
    options = Options(stride=2, padding=((1, 1),), padding_mode="reflect")
    problem = describe((1, 1, 5), (1, 1, 3), kernel, options, "float64", "cuda:0")
    maps = make_dense_maps(problem)
    matrix = _dense(maps, problem)
    padded = np.pad(np.arange(5), 1, mode="reflect")
    np.testing.assert_array_equal(matrix @ np.arange(5), [*padded[0:7:2], *padded[1:6:2]])
    assert set(np.unique(matrix)) == {0.0, 1.0}
