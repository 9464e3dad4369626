"""The lattice path's gradient by the weights: dot products of y's gradient with the maps, anchor by anchor.

A task sums some blocks of outputs of one group, one after another, for itself: products lane by lane in pieces of
bounded length, the pieces in float64 and in order. Which blocks a task has depends on the problem alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from interpolated_kernels.loops.compile.apart import apart, load_apart
from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.threads import launch, thread_id, workspace
from interpolated_kernels.loops.lattice_forward import Job, block_of, make_maps, open_job
from interpolated_kernels.loops.tiles.lines import tile_width
from interpolated_kernels.loops.tiles.register import (
    add_products,
    add_some_products,
    lane_sums,
    lanes_in,
    with_item,
    zeros,
)


def lattice_grad_bank(
    y: Any, x: Any, job: Job, block_size: int, n_items: int, n_groups: int, n_products: int, grads: Any
) -> None:
    """Add to `grads` `(parts, sums)`, float64: part p sums every p-th run of the samples' blocks, its items."""
    load_apart(x.dtype)
    is_worth_it = y.size * grads.shape[1] > 2**21
    launch(
        _gradient_parallel, _gradient_serial, is_worth_it, y, x, *job, n_items, n_groups, n_products,
        workspace(block_size, x.dtype), grads,
    )  # fmt: skip


def _product_loop(width, columns):
    """Return the sum of products over lines, for `width` output channels by `columns` anchors at a time."""
    count, no_channels, no_taps = width * columns, (0,) * width, (0,) * columns

    @apart(f"products_{width}x{columns}", "ffod" + "i" * 10)
    def run(
        y, work, offsets, grad, n_nodes, rows, n_columns, y_at, y_row_step, y_channel, work_at, work_row, grad_at,
        grad_out,
    ):  # fmt: skip
        lanes = lanes_in(work)
        whole, n_lanes = n_columns // lanes, n_columns % lanes
        y_starts, starts = no_channels, no_taps
        for i in range(width):
            y_starts = with_item(y_starts, i, y_at + i * y_channel)
        for node in range(0, n_nodes, columns):
            for j in range(columns):
                starts = with_item(starts, j, work_at + offsets[min(node + j, n_nodes - 1)])
            sums = zeros(work, count)
            y_row, row = 0, 0
            for _ in range(rows):
                for vector in range(whole):
                    at = vector * lanes
                    sums = add_products(sums, y, y_starts, y_row + at, work, starts, row + at)
                if n_lanes > 0:
                    at = whole * lanes
                    sums = add_some_products(sums, y, y_starts, y_row + at, work, starts, row + at, n_lanes)
                y_row, row = y_row + y_row_step, row + work_row
            totals = lane_sums(sums)
            for j in range(min(columns, n_nodes - node)):
                for i in range(width):
                    grad[grad_at + i * grad_out + node + j] += totals[i * columns + j]

    return run


_products_1x8, _products_2x6, _products_4x3 = (_product_loop(*shape) for shape in ((1, 8), (2, 6), (4, 3)))


@jit(inner=True)
def _add_piece(y, y_at, work, work_at, offsets, arrays, rows, columns, line, group, channel, grad):
    """Add the products of a piece of a block, which stays in the nearest cache, for all filters and anchors."""
    n_nodes = arrays.n_nodes
    grad_out = arrays.ins * n_nodes
    first = 0
    while first < arrays.outs:
        width = tile_width(arrays.outs - first)
        at, grad_at = y_at + first * arrays.y_channel, (group * arrays.outs + first) * grad_out + channel * n_nodes
        if width == 4:
            _products_4x3(y, work, offsets, grad, n_nodes, rows, columns, at, arrays.row_step, arrays.y_channel,
                          work_at, line, grad_at, grad_out)  # fmt: skip
        elif width == 2:
            _products_2x6(y, work, offsets, grad, n_nodes, rows, columns, at, arrays.row_step, arrays.y_channel,
                          work_at, line, grad_at, grad_out)  # fmt: skip
        else:
            _products_1x8(y, work, offsets, grad, n_nodes, rows, columns, at, arrays.row_step, arrays.y_channel,
                          work_at, line, grad_at, grad_out)  # fmt: skip
        first += width


@jit(inner=True, returns_arrays=True)
def _add_block(y, x, job, n_products, group, item, work, grad):
    """Add the products of one block of outputs of one sample."""
    arrays, block, tables, taps = open_job(job, 3)
    sample, plane_at, row_at, column_at = block_of(tables, item)
    image = sample * arrays.groups + group
    plane_block, row_block = tables.planes.blocks[plane_at], tables.rows.blocks[row_at]
    columns = tables.columns.blocks[column_at, 2]
    y_start = image * arrays.outs * arrays.y_channel + plane_block[0] * arrays.y_plane
    y_start += row_block[0] * arrays.y_row + tables.columns.blocks[column_at, 0]
    lanes = lanes_in(work)
    cells = max(lanes, min(columns, n_products // lanes * lanes))
    chunk = max(1, n_products // cells)
    for channel in range(arrays.ins):
        x_start = (image * arrays.ins + channel) * arrays.x_channel
        make_maps(x, x_start, arrays, block, tables, plane_at, row_at, column_at, work)
        for plane in range(plane_block[2]):
            for row in range(0, row_block[2], chunk):
                for cell in range(0, columns, cells):
                    source = block.at_maps + (plane * block.n_lines + row) * block.line + cell
                    target = y_start + plane * arrays.plane_step + row * arrays.row_step + cell
                    _add_piece(
                        y, target, work, source, taps.offsets, arrays, min(chunk, row_block[2] - row),
                        min(cells, columns - cell), block.line, group, channel, grad,
                    )  # fmt: skip


@jit(inner=True, returns_arrays=True)
def _gradient_task(y, x, job, n_items, n_groups, n_products, work, grads, task):
    part, group = task // n_groups, task % n_groups
    for item in range(part * n_items // len(grads), (part + 1) * n_items // len(grads)):
        _add_block(y, x, job, n_products, group, item, work, grads[part])


@jit
def _gradient_serial(y, x, numbers, offsets, coefficients, n_items, n_groups, n_products, work, grads):
    job = Job(numbers, offsets, coefficients)
    for task in range(len(grads) * n_groups):
        _gradient_task(y, x, job, n_items, n_groups, n_products, work[0], grads, task)


@jit(parallel=True)
def _gradient_parallel(y, x, numbers, offsets, coefficients, n_items, n_groups, n_products, work, grads):
    for task in prange(len(grads) * n_groups):
        job = Job(numbers, offsets, coefficients)
        _gradient_task(y, x, job, n_items, n_groups, n_products, work[thread_id()], grads, np.int64(task))
