"""Faults of this engine, each found in a copy of the package, in a fresh process. `check` says by what:

a path       the kit, which runs `conv` and `conv_backward` on that path; "auto" chooses
"witness"    the kit, which runs the plain backend: what the reference shares with the engine only others can judge
"test_..."   a test of tests/core, for what the kit's small problems do not reach, or a law that it does not know
"""

from functools import partial

from mutants import Mutant

_in_padding = partial(Mutant, file="padding.py", check="witness")
_in_options = partial(Mutant, file="options.py", check="witness")
_in_reference = partial(Mutant, file="paths/reference.py", check="witness")
_in_tap_blocks = partial(Mutant, file="paths/direct/tap_blocks.py", check="direct")
_in_passes = partial(Mutant, file="paths/direct/passes.py", check="direct")
_in_direct_forward = partial(Mutant, file="loops/direct_forward.py", check="direct")
_in_basis = partial(Mutant, file="paths/basis.py", check="basis")
_in_missing_sums = partial(Mutant, file="missing/sums.py", check="auto")
_in_profiles = partial(Mutant, file="loops/filling_profiles.py", check="auto")
_in_lattice_axes = partial(Mutant, file="paths/axes.py", check="lattice")

PADDING = [
    _in_options(
        "the odd cell of same padding before x",
        "(total // 2, total - total // 2)",
        "(total - total // 2, total // 2)",
        r"padding='same'",
    ),
    _in_options("causal padding after x", "((reaches[0], 0),)", "((0, reaches[0]),)", r"causal"),
    _in_padding("wrapping from the wrong side", "place % size,\n", "abs(place) % size,\n", r"'circular'"),
    _in_padding(
        "reflect as symmetric",
        "size - 1 - abs(place % (2 * size - 2 + 1 // size) - size + 1)",
        "(2 * size - 1 - abs(place % (2 * size) * 2 - 2 * size + 1)) // 2",
        r"'reflect'",
    ),
    _in_padding(
        "padding transposed by writing, not adding",
        "            folded[_cut(axis, _slice_shown(index, first, last, step))] += part\n",
        "            folded[_cut(axis, _slice_shown(index, first, last, step))] = part\n",
        r"padding_mode=",
        "grad_x",
    ),
    _in_padding(
        "replicated cells transposed once",
        "part.sum(axis=axis, keepdims=True)",
        "part.mean(axis=axis, keepdims=True)",
        r"padding_mode=",
        "grad_x",
    ),
]

SHARED = [
    _in_reference(
        "every second tap of the reference lost",
        "for tap in map(tuple, np.argwhere(problem.support.any(axis=(0, 1)))):",
        "for tap in map(tuple, np.argwhere(problem.support.any(axis=(0, 1)))[::2]):",
        r"window",
    ),
    _in_reference(
        "the reference's gradient by x with the groups in reverse",
        '"bgf...,gfc->bgc...", grad_y, values)',
        '"bgf...,gfc->bgc...", grad_y, values[::-1])',
        r"groups=[2-9]",
        "grad_x",
    ),
    _in_reference(
        "the reference's taps flipped",
        "        values = dense[_at(tap)]\n        if reached.all():\n            _by_group(y",
        "        values = dense[_at([-1 - at for at in tap])]\n        if reached.all():\n            _by_group(y",
        r"window",
    ),
]

DIRECT = [
    _in_tap_blocks(
        "every group sees the first", "x_start=group * operands.ins * operands.x_step", "x_start=0", r"groups=[2-9]"
    ),
    _in_tap_blocks(
        "every channel has the first one's kernel",
        "ins * operands.dense_in_step + cells[taps]",
        "cells[taps]",
        r"Problem: x \(",
    ),
    _in_tap_blocks(
        "a dropped tap",
        "ins, taps = np.nonzero(np.broadcast_to(mask, (operands.ins, len(cells))))",
        "ins, taps = (found[:-1] for found in np.nonzero(np.broadcast_to(mask, (operands.ins, len(cells)))))",
        r"y is",
    ),
    _in_tap_blocks(
        "every filter has the first one's taps",
        "_list_taps, mask, cells",
        "_list_taps, masks[0, 0][None], cells",
        r"y is",
    ),
    _in_passes(
        "taps without the dilation",
        "reads = [np.arange(axis.window) * axis.dilation",
        "reads = [np.arange(axis.window)",
        r"dilation=\(.*[23]",
    ),
    _in_passes(
        "the stride's phase lost",
        "reads[2] % columns.stride * phase_step + reads[2] // columns.stride",
        "reads[2] // columns.stride",
        r"stride=\(.*[23]",
    ),
    _in_passes(
        "the gradient by x with the kernel flipped",
        "return AxisTaps(cells, (first + axis.reach - back) * step)",
        "return AxisTaps(cells[::-1], (first + axis.reach - back) * step)",
        r"window",
        "grad_x",
    ),
    _in_passes(
        "the gradient by x in another phase",
        "back = (cells * axis.dilation - phase) // axis.stride",
        "back = (cells * axis.dilation + phase) // axis.stride",
        r"stride=\(.*[23]",
        "grad_x",
    ),
    _in_direct_forward(
        "the tail of a vector lost",
        "min(lanes, layout.columns - cell) if left > 0 else 0",
        "min(lanes, layout.columns - cell) // lanes * lanes if left > 0 else 0",
        r"y is",
    ),
    _in_direct_forward(
        "a block's filters in reverse",
        "packed[block.weights_start + tap * block.width + i] = dense[source]",
        "packed[block.weights_start + (tap + 1) * block.width - 1 - i] = dense[source]",
        r"weights \([2-9]",
    ),
    Mutant(
        "a row of zeros read from x",
        "copies.x_rows + row) * copies.x_columns\n            if plane < 0 or row < 0:\n",
        "copies.x_rows + max(row, 0)) * copies.x_columns\n            if plane < 0:\n",
        r"padding=",
        file="loops/direct_packing.py",
        check="direct",
    ),
    Mutant(
        "a tile's rows off by one",
        "_sum_0, _sum_01, _sum_012, _sum_0123 = (_row_sum(0, high) for high in (1, 2, 3, ROWS_OF_TILE))",
        "_sum_0, _sum_01, _sum_012, _sum_0123 = (_row_sum(0, high) for high in (1, 1, 3, ROWS_OF_TILE))",
        r"y is ",
        file="loops/direct_forward.py",
        check="test_paths.py::test_outputs_of_many_widths",
    ),
    Mutant(
        "the last tap of a weights' gradient lost",
        "for j in range(min(columns, block.n_taps - tap)):",
        "for j in range(min(columns, block.n_taps - tap - 1)):",
        r"grad_weights",
        "grad_weights",
        file="loops/direct_grad_dense.py",
        check="direct",
    ),
    Mutant(
        "millions of products summed in float32",
        "PRODUCTS_OF_BLOCK = 4096",
        "PRODUCTS_OF_BLOCK = 2**40",
        r"grad_weights is",
        file="loops/direct_grad_dense.py",
        check="test_paths.py::test_millions_of_products_keep_their_digits",
    ),
]

LATTICE = [
    _in_lattice_axes(
        "edge classes taken for the interior",
        "columns.classes == index",
        "(columns.classes == index) | (columns.classes > 1)",
        r"(y|grad_\w+)[: ]",
    ),
    _in_lattice_axes(
        "a node's phase lost",
        "Map(profile[cells], phase + cells * dilation,",
        "Map(profile[cells], cells * dilation,",
        r"stride=\(.*[23]",
    ),
    Mutant(
        "the last node of a weights' gradient lost",
        "for j in range(min(columns, n_nodes - node)):",
        "for j in range(min(columns, n_nodes - node - 1)):",
        r"grad_weights",
        "grad_weights",
        file="loops/lattice_grad_bank.py",
        check="lattice",
    ),
    Mutant(
        "a race: one workspace for all threads",
        "_add_part(y, x, tables, work, memory[thread_id()], grads[",
        "_add_part(y, x, tables, work, memory[0], grads[",
        r"rror",
        file="loops/lattice_grad_bank.py",
        check="test_paths.py::test_bits_do_not_depend_on_threads_when_launched_in_parallel",
    ),
]

OTHERS = [
    _in_basis(
        "the last chunk of samples lost",
        "        for first in range(0, self.problem.batch, count):",
        "        for first in range(0, self.problem.batch - count, count):",
        r"(y|grad_\w+)[: ]",
        "grad_x",
    ),
    _in_basis(
        "another NaN than the filter's own",
        "np.where(np.isfinite(grad).all(axis=-1, keepdims=True), grad, np.nan)",
        "np.nan_to_num(grad)",
        r"finite",
        "grad_weights",
    ),
    Mutant(
        "tiles that overlap too little",
        "return self.index[tile * self.step : tile * self.step + self.cells]",
        "return self.index[tile * (self.step - 1) : tile * (self.step - 1) + self.cells]",
        r"rror",
        file="paths/fourier/tiles.py",
        check="test_fourier.py::test_larger_problems",
    ),
    _in_missing_sums(
        "the kernel's whole weight forgotten",
        "self.sums, 3), self.filters.totals, self.band.first, _as_lines(y[",
        "self.sums, 3), np.ones_like(self.filters.totals), self.band.first, _as_lines(y[",
        r"missing='renormalize'",
    ),
    _in_missing_sums(
        "a missing cell lost from the mask",
        "        loops.divide_sums(\n",
        "        self.sums[1][...] = self.sums[1].max()\n        loops.divide_sums(\n",
        r"missing='renormalize'",
    ),
    _in_profiles(
        "the sign of a gradient by positions",
        "    slope = value * offset / (sigma * sigma)\n",
        "    slope = -value * offset / (sigma * sigma)\n",
        r"grad_positions",
        "grad_positions",
        n=200,
    ),
    _in_profiles(
        "the sign of a width lost",
        "return slope, slope * offset / sigma * _sign(width)",
        "return slope, slope * offset / sigma",
        r"grad_widths",
        "grad_widths",
        n=200,
    ),
    Mutant(
        "output padding lost",
        "(cells - 1) * spread + 1 + extra\n",
        "(cells - 1) * spread + 1\n",
        r"rror",
        file="transposed.py",
        check="test_transposed.py::test_the_result_is_torchs",
    ),
    Mutant(
        "bands without their halo",
        "index_axis(problem, axis, wanted) for axis",
        "np.roll(index_axis(problem, axis, wanted), 1) for axis",
        r"rror",
        file="bands.py",
        check="test_bands.py::test_any_out_takes_the_same_bits",
    ),
    Mutant(
        "a natural spline with the wrong curvature",
        "differences[inner, inner] = 6.0 / gaps[:-1]",
        "differences[inner, inner] = 6.0 / gaps[1:]",
        r"rror",
        file="interpolation/cubic.py",
        check="test_tensor_products.py::test_cubic_is_scipys",
    ),
    Mutant(
        "interpolated channels reshaped, not transposed",
        "dense = np.ascontiguousarray(np.moveaxis(dense[:, 0], -1, 1))",
        "dense = dense.reshape(len(dense), -1, *kernel.spatial_window)",
        r"channels interpolated",
        file="filling/base.py",
        check="direct",
    ),
]

ENGINE_MUTANTS = [*PADDING, *SHARED, *DIRECT, *LATTICE, *OTHERS]
