"""What an adapter may use beside the public names.

`checks` holds the checks that all share, `settling` the options where sizes are open, `shapes` the axes as frameworks
have them, `lattices` a tensor product as plain convolutions and `shares` the walk over it, `spreading` dense kernels
whose anchors move, in a framework's own arrays, `digests` what tells whether weights belong to a kernel, `devices` the
GPU and the stream that the core's loops run on.
"""

from interpolated_kernels.adapting.checks import (
    DATA_FORMATS,
    ENGINES,
    as_int,
    check_anchors,
    check_engine,
    check_kernel,
    check_learned,
    check_learning,
    check_spreads,
    choose_compute_dtype,
    settle_axes,
    shape_anchors,
)
from interpolated_kernels.adapting.devices import on_stream, why_not_cuda
from interpolated_kernels.adapting.digests import check_digest, make_digest
from interpolated_kernels.adapting.lattices import Group, Lattice, choose_lattice, find_lattice
from interpolated_kernels.adapting.settling import Settled, Shape, settle, settle_layer
from interpolated_kernels.adapting.shapes import dilate_matrix, keep_whole_kernel, read_bank, reorder, shape_bias
from interpolated_kernels.adapting.shares import LatticeOperators, add_shares
from interpolated_kernels.adapting.spreading import Functions, Namespace, can_spread, fill_widths, spread
from interpolated_kernels.arguments import as_floats, check_choice
from interpolated_kernels.errors import ignore_anchor_warnings
from interpolated_kernels.padding import show_cells

__all__ = [
    "DATA_FORMATS", "ENGINES", "Functions", "Group", "Lattice", "LatticeOperators", "Namespace", "Settled", "Shape",
    "add_shares", "as_floats", "as_int", "can_spread", "check_anchors", "check_choice", "check_digest", "check_engine",
    "check_kernel", "check_learned", "check_learning", "check_spreads", "choose_compute_dtype", "choose_lattice",
    "dilate_matrix", "fill_widths", "find_lattice", "ignore_anchor_warnings", "keep_whole_kernel", "make_digest",
    "on_stream", "read_bank", "reorder", "settle", "settle_axes", "settle_layer", "shape_anchors", "shape_bias",
    "show_cells", "spread", "why_not_cuda",
]  # fmt: skip
