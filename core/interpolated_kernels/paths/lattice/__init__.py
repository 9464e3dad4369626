"""The input is smoothed once for each profile, then every anchor is one tap: the price of anchors, not of cells.

For a tensor product of 1-D interpolation matrices whose columns are shifts of a few profiles,

    y[f] = sum over anchors a of weights[f, a] * (map of a's profiles, shifted by a's position).

Exact, not an approximation. The gradient by the bank is dot products with the same maps. The gradient by x is the
transpose: y's gradient is gathered into maps, tap by tap, and the smoothing transposed spreads these over x's cells.

The words
---------
node      what carries a weight: an anchor, or a function of an axis' local basis where these make less work
profile   the few coefficients of a node's column of an axis' matrix; columns that differ by a shift have one profile
map       the input smoothed by one profile along every axis: what nodes read
lag       how far beyond its output a node reads its map
phase     a padded cell's number modulo the stride: cells of a row are packed phase after phase, as outputs meet them
line      what has one number along an axis: a plane, a row of a plane, or a value of a row
block     neighbouring outputs (backward: neighbouring cells of x of every phase) that share a workspace
stage     the smoothing of a block along one axis: columns first, then rows, then planes; backward the other way
share     the nodes that are summed apart: those of one profile along columns where columns are smoothed late, else all
run       taps that are evenly spaced along rows, so that the rows of a register tile share what they read
task      a block of one sample and group: what a thread does at a time

An example
----------
A window of 7 cells with anchors at 0, 2, 4, 6, interpolated linearly, has three profiles: the two anchors in the middle
share one. Each map `M` is a row of the profile's coefficients times what they read of x, and a node reads it `lag`
beyond its output: `y[o] = w[0] M0[o] + w[1] M1[o + 1] + w[2] M1[o + 3] + w[3] M2[o + 5]`, 4 taps instead of 7.

>>> import numpy, interpolated_kernels as ik
>>> kernel = ik.InterpolatedKernel([[0], [2], [4], [6]], 7, "linear")
>>> problem = ik.plan((1, 1, 10), (1, 1, 4), kernel).problem
>>> columns = make_axes(problem)[2]
>>> for each in columns.maps:
...     print(each.coefficients, "reads", each.reads, "nodes", each.nodes, "lags", each.lags)
[1.  0.5] reads [0 1] nodes [0] lags [0]
[0.5 1.  0.5] reads [0 1 2] nodes [1 2] lags [1 3]
[0.5 1. ] reads [0 1] nodes [3] lags [5]

A block of all 4 outputs reads 10 cells; of the maps it needs 4, 6 and 4 values, which begin at 0, 1 and 5:

>>> lines = columns.find_forward_lines(4)
>>> lines.n_of_phase, lines.counts, lines.lows, lines.place_maps()
(10, (4, 6, 4), (0, 1, 5), [0, 4, 10, 14])

So the workspace is 10 cells, then 14 values of maps, and nodes read it at 0, 4, 6 and 10 beyond an output's number:

    cells  x[0] x[1] ... x[9]
    maps   M0[0] M0[1] M0[2] M0[3] | M1[1] M1[2] M1[3] M1[4] M1[5] M1[6] | M2[5] M2[6] M2[7] M2[8]
           node 0 ->                 node 1 ->   node 2 ->                 node 3 ->

The workspace
-------------
In two and three dimensions a block has up to four stretches of memory, each filled from the one before by a stage:

    at_cells   packed rows of a plane     rows of cells   x  cells = phases x column_cells
       | smoothed along columns           every row of cells gives a row of all maps along columns, side by side
    at_lines   rows of one plane          rows of cells   x  line
       | smoothed along rows              every line of a map along rows is a sum of such rows
    at_rows    smoothed planes            planes of cells x  n_lines x  line
       | smoothed along planes            every plane of a map along planes is a sum of such planes
    at_maps    the maps                   planes of all maps along planes x  n_lines x  line

    n_lines x line, the maps of one plane:    line --------------------------------->
                                     n_lines  | map (0, 0) | map (0, 1) | map (0, 2) |
                                        |     | map (1, 0) | map (1, 1) | map (1, 2) |

With few filters columns come last (`late`): cells are packed at `at_lines` and smoothed along rows and planes;
the taps of each share are summed behind the maps, all channels together, and these sums smoothed along columns into y.

Backward the same memory is written from the last to the first, rows and planes of cells phase after phase, and rows of
y's gradient stand behind it. An axis that a problem lacks has no stage and no memory of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from interpolated_kernels.machine import Machine
from interpolated_kernels.paths.axes import find_active_nodes
from interpolated_kernels.paths.common import Cost, no_parts, predict_tap_rate, predict_traffic
from interpolated_kernels.paths.lattice.folding import choose_folding
from interpolated_kernels.paths.lattice.late import order_by_share, smooths_columns_late
from interpolated_kernels.paths.lattice.nodes import count_transform_work
from interpolated_kernels.paths.lattice.on_cuda import make_lattice_maps, prepare_lattice_on_cuda
from interpolated_kernels.paths.lattice.prepared import PreparedLattice
from interpolated_kernels.paths.lattice.sizes import choose_output_block, count_workspace_bytes
from interpolated_kernels.paths.lattice.stages import count_grid, make_axes
from interpolated_kernels.paths.path import Part, Prepared
from interpolated_kernels.problem import Problem
from interpolated_kernels.tile_sizes import count_lanes, fill_tiles

ACCURACY = "componentwise"
TAKES = "bank"
SUMS_IN: str | None = None
parts = no_parts


def supports(problem: Problem) -> str | None:
    """Serve tensor products on shared positions."""
    factors = problem.kernel.structure.factors
    if factors is None:
        return "the kernel is not a tensor product on shared positions: a grid with 'linear' or 'cubic' unlocks it"
    if not all(any(len(profile) for profile in axis.profiles) for axis in factors.axes):
        return "no anchor reaches a cell"
    if problem.kernel.interpolates_channels and not factors.axes[-1].reached.all():
        return "some channel is reached by no anchor"
    return None


def cost(problem: Problem, machine: Machine, parts: Callable[[], tuple[Cost, ...]]) -> Cost:
    """Predict the anchors' taps, and the smoothing of the maps, at the rate of register tiles."""
    if problem.device != "cpu":
        return make_lattice_maps(problem).predict(machine)
    itemsize = np.dtype(problem.dtype).itemsize
    axes = make_axes(problem)
    block = choose_output_block(problem, axes)
    outputs, columns = float(np.prod(problem.out_spatial, dtype=np.float64)), max(problem.out_spatial[-1], 1)
    lanes = count_lanes(problem.dtype)
    filled = fill_tiles(problem.filters_per_group, -(-columns // lanes)) * lanes  # a short row fills no tile
    taps = outputs * problem.filters * problem.channels_per_group * float(np.prod(count_grid(problem)))
    seconds = machine.call_seconds + taps * filled / columns / predict_tap_rate(problem, machine, shares_inputs=False)
    blocks = problem.channels * outputs / float(np.prod(block.counts))
    seconds += blocks * block.smoothing / (0.4 * machine.multiply_adds_per_second * 4 / itemsize)
    seconds += count_transform_work(problem) / machine.mixed_per_second
    seconds += blocks * (1.5 + 0.03 * block.lines) * machine.task_seconds + predict_traffic(problem, machine)
    workspaces = count_workspace_bytes(problem, axes, block)
    extra = workspaces + choose_folding(problem, workspaces).nbytes
    return Cost(seconds, extra, f"componentwise, {problem.dtype}")


def prepare(problem: Problem, parts: tuple[Part, ...] = ()) -> Prepared:
    """Find the maps of every axis."""
    if problem.device != "cpu":
        return prepare_lattice_on_cuda(problem)
    axes, grid = make_axes(problem), count_grid(problem)
    nodes = find_active_nodes(axes, grid)
    if smooths_columns_late(problem, axes):
        nodes = order_by_share(axes[2], nodes, grid[2])
    return PreparedLattice(problem, axes, nodes)
