"""Every numba function. A file `cpu_*.py` has a twin `cuda_*.py` with the same names once that device is served.

A loop only loops: bodies are plain jitted functions, with a thin serial and a thin `prange` shell around the same body,
and `launch` chooses.
"""

from interpolated_kernels.loops.cpu_direct import ROWS_OF_TILE, Layout, gather, pack, pack_weights
from interpolated_kernels.loops.cpu_gradient import multiply_gradients
from interpolated_kernels.loops.cpu_lattice import VECTORS_OF_CHUNK, job_of, lattice_forward
from interpolated_kernels.loops.cpu_lattice import Arrays as LatticeArrays
from interpolated_kernels.loops.cpu_lattice import Block as LatticeBlock
from interpolated_kernels.loops.cpu_lattice import Tables as LatticeTables
from interpolated_kernels.loops.cpu_lattice import Taps as LatticeTaps
from interpolated_kernels.loops.cpu_lattice_grad_x import Gathering, lattice_grad_x
from interpolated_kernels.loops.cpu_lattice_gradient import lattice_grad_weights
from interpolated_kernels.loops.cpu_lines import ROWS, AxisTable, Stage
from interpolated_kernels.loops.cpu_matrices import dot, gather_entries, mix, spread_entries
from interpolated_kernels.loops.cpu_spectra import add_correlations, convolve_spectra, correlate_spectra
from interpolated_kernels.loops.cpu_splats import SPLATS
from interpolated_kernels.loops.cpu_splats import Layout as SplatLayout
from interpolated_kernels.loops.cpu_splines import SPLINES
from interpolated_kernels.loops.cpu_tiles import lanes_of
from interpolated_kernels.loops.jit import cache_folder
from interpolated_kernels.loops.threads import get_num_threads, layer, run_in_threads, set_num_threads

__all__ = [
    "ROWS",
    "ROWS_OF_TILE",
    "SPLATS",
    "SPLINES",
    "VECTORS_OF_CHUNK",
    "AxisTable",
    "Gathering",
    "LatticeArrays",
    "LatticeBlock",
    "LatticeTables",
    "LatticeTaps",
    "Layout",
    "SplatLayout",
    "Stage",
    "add_correlations",
    "cache_folder",
    "convolve_spectra",
    "correlate_spectra",
    "dot",
    "gather",
    "gather_entries",
    "get_num_threads",
    "job_of",
    "lanes_of",
    "lattice_forward",
    "lattice_grad_weights",
    "lattice_grad_x",
    "layer",
    "mix",
    "multiply_gradients",
    "pack",
    "pack_weights",
    "run_in_threads",
    "set_num_threads",
    "spread_entries",
]
