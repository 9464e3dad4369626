"""The lattice path's gradient by the weights: dot products of y's gradient with the maps, anchor by anchor.

A task sums some blocks of outputs of one group, one after another, for itself: products lane by lane in pieces of
bounded length, the pieces in float64 and in order. Which blocks a task has depends on the problem alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from interpolated_kernels.loops.compile.apart import apart, load_apart
from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.tables import Doubles, Floats, Offsets, Packed
from interpolated_kernels.loops.compile.threads import launch, thread_id, workspace
from interpolated_kernels.loops.lattice_forward import find_block, find_output, make_maps, open_forward
from interpolated_kernels.loops.lattice_tables import ForwardTables
from interpolated_kernels.loops.tiles.copies import clear_values, copy_values, prefetch
from interpolated_kernels.loops.tiles.lines import Lines, Places, Taps, sum_taps, tile_width
from interpolated_kernels.loops.tiles.register import (
    add_products,
    add_some_products,
    lane_sums,
    lanes_in,
    with_item,
    zeros,
)
from interpolated_kernels.tile_sizes import BYTES_OF_PRODUCTS, TAPS_OF_TILE, VECTOR_BYTES


class Work(NamedTuple):
    """What is summed: all samples' blocks, in parts, for each group; at most so many products in the dtype of x."""

    n_parts: int
    n_blocks: int
    n_groups: int
    n_products: int


class Piece(NamedTuple):
    """Rows of y's gradient, or of its sums, and of the maps that are multiplied, and where their sums are added."""

    first_node: int
    n_nodes: int
    rows: int
    columns: int
    outputs: Places
    maps: Places
    grad: int
    grad_out: int


def lattice_grad_bank(y: Any, x: Any, tables: Packed, work_size: int, work: Work, grads: Any) -> None:
    """Add to `grads` `(parts, sums)`, float64: each part sums a run of the samples' blocks."""
    load_apart(x.dtype, "taps", "maps", "products", "grad_bank")
    is_worth_it = y.size * grads.shape[1] > 2**21
    arguments = (y, x, *tables, work, workspace(work_size, x.dtype), grads)
    launch(_grad_parallel, _grad_serial, is_worth_it, *arguments)


@jit(inner=True)
def _fetch_share(y, ahead, piece, width, node, last_node):
    """Ask for the share of some nodes in lines of y's gradient: of so many channels, and shaped as a piece."""
    low, high = piece.columns * node // piece.n_nodes, piece.columns * last_node // piece.n_nodes
    for row in range(piece.rows):
        for i in range(width):
            prefetch(y, ahead + row * piece.outputs.row + i * piece.outputs.plane + low, high - low)


def _product_loop(width):
    """Return the sum of products over lines, for `width` output channels by some nodes at a time.

    The lines of y's gradient that come next begin at `ahead`: every tile fetches its share of them while it sums.
    """
    columns = TAPS_OF_TILE[width - 1]
    count, no_channels, no_taps = width * columns, (0,) * width, (0,) * columns

    @apart(f"products_{width}", family="products")
    def run(y: Floats, ahead: int, work: Floats, offsets: Offsets, piece: Piece, grad: Doubles):
        n_nodes, lanes = piece.n_nodes, lanes_in(work)
        whole, n_lanes = piece.columns // lanes, piece.columns % lanes
        y_starts, starts = no_channels, no_taps
        for i in range(width):
            y_starts = with_item(y_starts, i, piece.outputs.first + i * piece.outputs.plane)
        for node in range(0, n_nodes, columns):
            for j in range(columns):
                starts = with_item(starts, j, piece.maps.first + offsets[piece.first_node + min(node + j, n_nodes - 1)])
            if width > 1:
                _fetch_share(y, ahead, piece, width, node, min(node + columns, n_nodes))
            sums = zeros(work, count)
            y_row, row = 0, 0
            for _ in range(piece.rows):
                for vector in range(whole):
                    at = vector * lanes
                    sums = add_products(sums, y, y_starts, y_row + at, work, starts, row + at)
                if n_lanes > 0:
                    at = whole * lanes
                    sums = add_some_products(sums, y, y_starts, y_row + at, work, starts, row + at, n_lanes)
                y_row, row = y_row + piece.outputs.row, row + piece.maps.row
            totals = lane_sums(sums)
            for j in range(min(columns, n_nodes - node)):
                for i in range(width):
                    grad[piece.grad + i * piece.grad_out + node + j] += totals[i * columns + j]

    return run


_products_1, _products_2, _products_4 = (_product_loop(width) for width in (1, 2, 4))


@jit(inner=True)
def _add_piece(y, work, offsets, piece, outs, grad):
    """Add the products of a piece of a block, which stays in the nearest cache, for all filters and nodes.

    `piece` is that of the first filter; the step between filters stands as that between planes.
    """
    first_node, n_nodes, rows, columns, outputs, maps, at, grad_out = piece
    first = 0
    while first < outs:
        width = tile_width(outs - first)
        start = Places(outputs.first + first * outputs.plane, outputs.plane, outputs.row)
        some = Piece(first_node, n_nodes, rows, columns, start, maps, at + first * grad_out, grad_out)
        ahead = start.first + width * outputs.plane if first + width < outs else outputs.first + rows * outputs.row
        if width == 4:
            _products_4(y, ahead, work, offsets, some, grad)
        elif width == 2:
            _products_2(y, ahead, work, offsets, some, grad)
        else:
            _products_1(y, ahead, work, offsets, some, grad)
        first += width


@jit(inner=True)
def _add_plane(y, work, tables, n_products, piece, grad):
    """Add the products of one plane of a block and a share of the nodes: its rows in pieces of at most `n_products`."""
    first_node, n_nodes, n_rows, n_columns, outputs, maps, at, grad_out = piece
    outs, lanes = tables.arrays.outs, lanes_in(work)
    most = max(lanes, min(n_products, BYTES_OF_PRODUCTS // VECTOR_BYTES * lanes // tile_width(outs)))
    n_pieces = -(-n_columns // (most // lanes * lanes))
    cells = -(-n_columns // (n_pieces * lanes)) * lanes
    chunk = max(1, most // cells)
    for row in range(0, n_rows, chunk):
        for cell in range(0, n_columns, cells):
            source = Places(maps.first + row * maps.row + cell, 0, maps.row)
            target = Places(outputs.first + row * outputs.row + cell, outputs.plane, outputs.row)
            rows, columns = min(chunk, n_rows - row), min(cells, n_columns - cell)
            some = Piece(first_node, n_nodes, rows, columns, target, source, at, grad_out)
            _add_piece(y, work, tables.taps.offsets, some, outs, grad)


@jit(inner=True)
def _sum_outputs(y, start, tables, block, work):
    """Write the sums of y's gradient that the nodes' shares meet: the smoothing along columns, transposed."""
    arrays, late = tables.arrays, tables.late
    rows, columns = tables.row_blocks.counts[block.row], tables.column_blocks.counts[block.column]
    clear_values(work, late.at_outputs, tables.workspace.rows * late.wide)
    for filter_ in range(arrays.outs):
        for plane in range(tables.plane_blocks.counts[block.plane]):
            source = start + filter_ * arrays.y_channel + plane * arrays.plane_step
            for row in range(rows):
                target = late.at_outputs + row * late.wide + late.beside
                copy_values(work, target, y, source + row * arrays.row_step, columns)
            write = late.at + filter_ * late.size + plane * tables.workspace.rows * late.line
            for index in range(tables.shares.n):
                first, last = late.ends[index], late.ends[index + 1]
                taps = Taps(late.coefficients, first, late.offsets_back, first, last)
                places = Places(late.at_outputs, 0, late.wide), Places(write + late.starts[index], 0, late.line)
                lines = Lines(1, rows, late.starts[index + 1] - late.starts[index], places[0], places[1])
                sum_taps(1, work, taps, lines, False, work, 0)


@jit(inner=True)
def _add_block(y, x, tables, n_products, group, index, work, grad):
    """Add the products of one block of outputs of one sample."""
    arrays, place, late, ends = tables.arrays, tables.workspace, tables.late, tables.shares.tap_ends
    sample, block = find_block(tables, index)
    image = sample * arrays.groups + group
    start = find_output(tables, image, block)
    rows, columns = tables.row_blocks.counts[block.row], tables.column_blocks.counts[block.column]
    grad_out = arrays.ins * arrays.n_nodes
    if late.n_taps > 0:
        _sum_outputs(y, start, tables, block, work)
    for channel in range(arrays.ins):
        make_maps(x, (image * arrays.ins + channel) * arrays.x_channel, tables, block, work)
        at = group * arrays.outs * grad_out + channel * arrays.n_nodes
        for plane in range(tables.plane_blocks.counts[block.plane]):
            maps = Places(place.at_maps + plane * place.n_lines * place.line, 0, place.line)
            if late.n_taps == 0:
                outputs = Places(start + plane * arrays.plane_step, arrays.y_channel, arrays.row_step)
                piece = Piece(0, arrays.n_nodes, rows, columns, outputs, maps, at, grad_out)
                _add_plane(y, work, tables, n_products, piece, grad)
                continue
            for share in range(tables.shares.n):
                sums = Places(late.at + plane * place.rows * late.line + late.starts[share], late.size, late.line)
                n_columns, first = late.counts[share] - (late.columns - columns), ends[share]
                piece = Piece(first, ends[share + 1] - first, rows, n_columns, sums, maps, at + first, grad_out)
                _add_plane(work, work, tables, n_products, piece, grad)


@apart("add_part", family="grad_bank")
def _add_part(y: Floats, x: Floats, tables: ForwardTables, work: Work, memory: Floats, grad: Doubles, task: int):
    """Add the blocks of one part, of one group."""
    part, group = task // work.n_groups, task % work.n_groups
    for index in range(part * work.n_blocks // work.n_parts, (part + 1) * work.n_blocks // work.n_parts):
        _add_block(y, x, tables, work.n_products, group, index, memory, grad)


@jit
def _grad_serial(y, x, numbers, offsets, coefficients, work, memory, grads):
    tables = open_forward(numbers, offsets, coefficients)
    for task in range(work.n_parts * work.n_groups):
        _add_part(y, x, tables, work, memory[0], grads[task // work.n_groups], task)


@jit(parallel=True)
def _grad_parallel(y, x, numbers, offsets, coefficients, work, memory, grads):
    for task in prange(work.n_parts * work.n_groups):
        tables = open_forward(numbers, offsets, coefficients)
        _add_part(y, x, tables, work, memory[thread_id()], grads[task // work.n_groups], np.int64(task))
