"""Every numba function: one policy (`compile`), vectors (`tiles`, `transforms`), then a file a loop.

A file is named by who calls it and what it makes: `lattice_grad_x`, `filling_splats`. A loop only loops: bodies are
plain jitted functions, with a thin serial and a thin `prange` shell around the same body, and `launch` chooses.
"""

from interpolated_kernels.loops.compile.cache import cache_folder, counts
from interpolated_kernels.loops.compile.tables import Packed
from interpolated_kernels.loops.compile.tables import pack as pack_tables
from interpolated_kernels.loops.compile.threads import (
    get_num_threads,
    layer,
    run_both_forms,
    run_in_threads,
    set_num_threads,
)
from interpolated_kernels.loops.direct_forward import (
    DirectLayout,
    DirectTaps,
    TapBlock,
    direct_forward,
    pack_weights,
)
from interpolated_kernels.loops.direct_grad_dense import direct_grad_dense
from interpolated_kernels.loops.direct_packing import Copies, pack
from interpolated_kernels.loops.filling_matrices import dot, gather_entries, mix, spread_entries
from interpolated_kernels.loops.filling_profiles import Anchors as SplatAnchors
from interpolated_kernels.loops.filling_profiles import Gradients as SplatGradients
from interpolated_kernels.loops.filling_profiles import Layout as SplatLayout
from interpolated_kernels.loops.filling_splats import SPLATS
from interpolated_kernels.loops.filling_splines import SPLINES
from interpolated_kernels.loops.fourier_planes import (
    Sources,
    Targets,
    add_plane_correlations,
    describe_plane,
    make_workspace,
    mix_planes,
    transform_planes,
    transform_planes_back,
)
from interpolated_kernels.loops.fourier_spectra import add_correlations, convolve_spectra, correlate_spectra
from interpolated_kernels.loops.lattice_forward import lattice_forward
from interpolated_kernels.loops.lattice_grad_bank import Work, lattice_grad_bank
from interpolated_kernels.loops.lattice_grad_x import lattice_grad_x
from interpolated_kernels.loops.lattice_tables import (
    Arrays,
    CellBlocks,
    ColumnMaps,
    ForwardTables,
    Gathering,
    GradXTables,
    LateColumns,
    MapRows,
    NodeShares,
    NodeTaps,
    OutputBlocks,
    OutputSums,
    Tiles,
    Workspace,
)
from interpolated_kernels.loops.missing_quotients import (
    Windows,
    clear_missing,
    differentiate_quotients,
    divide_sums,
    settle_sums,
    split_missing,
)
from interpolated_kernels.loops.tiles.lines import RunTable, Stage
from interpolated_kernels.loops.tiles.packing import AxisLines, PaddedAxis

__all__ = [
    "SPLATS",
    "SPLINES",
    "Arrays",
    "AxisLines",
    "CellBlocks",
    "ColumnMaps",
    "Copies",
    "DirectLayout",
    "DirectTaps",
    "ForwardTables",
    "Gathering",
    "GradXTables",
    "LateColumns",
    "MapRows",
    "NodeShares",
    "NodeTaps",
    "OutputBlocks",
    "OutputSums",
    "Packed",
    "PaddedAxis",
    "RunTable",
    "Sources",
    "SplatAnchors",
    "SplatGradients",
    "SplatLayout",
    "Stage",
    "TapBlock",
    "Targets",
    "Tiles",
    "Windows",
    "Work",
    "Workspace",
    "add_correlations",
    "add_plane_correlations",
    "cache_folder",
    "clear_missing",
    "convolve_spectra",
    "correlate_spectra",
    "counts",
    "describe_plane",
    "differentiate_quotients",
    "direct_forward",
    "direct_grad_dense",
    "divide_sums",
    "dot",
    "gather_entries",
    "get_num_threads",
    "lattice_forward",
    "lattice_grad_bank",
    "lattice_grad_x",
    "layer",
    "make_workspace",
    "mix",
    "mix_planes",
    "pack",
    "pack_tables",
    "pack_weights",
    "run_both_forms",
    "run_in_threads",
    "set_num_threads",
    "settle_sums",
    "split_missing",
    "spread_entries",
    "transform_planes",
    "transform_planes_back",
]
