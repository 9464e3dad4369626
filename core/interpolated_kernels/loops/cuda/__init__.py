"""Every CUDA function: where CUDA comes from (`compile`), arrays on the GPU (`memory`), then a file a kind of work.

A function launches a kernel of the same name on the current stream, and returns before it is done. Arrays are numba's,
C-contiguous, on the current GPU; `paths/on_cuda` says how convolutions are made of these.
"""

from interpolated_kernels.loops.cuda.compile import SIMULATES, check_ready, on_stream
from interpolated_kernels.loops.cuda.copies import (
    Box,
    add,
    convert,
    copy_into,
    embed,
    extend,
    fill,
    fill_inside,
    lay_out,
    move_first,
    move_last,
    put_columns,
    take,
    take_columns,
)
from interpolated_kernels.loops.cuda.fillings import Profiles, gather_splats, multiply_whole, spread_splats
from interpolated_kernels.loops.cuda.lines import Rows, multiply_along
from interpolated_kernels.loops.cuda.memory import (
    current_device,
    download,
    empty,
    find_device,
    flatten,
    is_laid_out,
    on_device,
    shares_memory,
    upload,
    view,
)
from interpolated_kernels.loops.cuda.products import FILTERS_OF_PRODUCTS, sum_products
from interpolated_kernels.loops.cuda.scratch import frame, release, scratch
from interpolated_kernels.loops.cuda.spoiling import (
    clear_unreached,
    flag_rows,
    split_finite,
    spoil_reached,
    spoil_rows,
    spoil_where,
    sum_flags,
)
from interpolated_kernels.loops.cuda.taps import FILTERS_OF_TILE, Parts, Steps, Taps, sum_taps

__all__ = [
    "FILTERS_OF_PRODUCTS",
    "FILTERS_OF_TILE",
    "SIMULATES",
    "Box",
    "Parts",
    "Profiles",
    "Rows",
    "Steps",
    "Taps",
    "add",
    "check_ready",
    "clear_unreached",
    "convert",
    "copy_into",
    "current_device",
    "download",
    "embed",
    "empty",
    "extend",
    "fill",
    "fill_inside",
    "find_device",
    "flag_rows",
    "flatten",
    "frame",
    "gather_splats",
    "is_laid_out",
    "lay_out",
    "move_first",
    "move_last",
    "multiply_along",
    "multiply_whole",
    "on_device",
    "on_stream",
    "put_columns",
    "release",
    "scratch",
    "shares_memory",
    "split_finite",
    "spoil_reached",
    "spoil_rows",
    "spoil_where",
    "spread_splats",
    "sum_flags",
    "sum_products",
    "sum_taps",
    "take",
    "take_columns",
    "upload",
    "view",
]
