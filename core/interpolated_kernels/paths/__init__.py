"""One module an algorithm, all with the functions of `Path`, in one table."""

from __future__ import annotations

from interpolated_kernels.paths import basis, direct, fourier, lattice, reference
from interpolated_kernels.paths.common import Cost
from interpolated_kernels.paths.path import Part, Path, Prepared

PATHS: dict[str, Path] = {
    "basis": basis,
    "direct": direct,
    "fourier": fourier,
    "lattice": lattice,
    "reference": reference,
}

ENGINES = tuple(name for name, path in PATHS.items() if path.TAKES == "dense")
"""The paths that know no anchors."""

__all__ = ["ENGINES", "PATHS", "Cost", "Part", "Path", "Prepared"]
