"""A folder of vectors from problems."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from interpolated_kernels import __version__
from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.filling import Definition
from interpolated_kernels.testing.arithmetics import find_arithmetic
from interpolated_kernels.testing.drawing import BackendProblem, Trial
from interpolated_kernels.testing.oracle import as_bank
from interpolated_kernels.testing.vectors.expected import Expected, expect, find_transposed_options
from interpolated_kernels.testing.vectors.files import VectorsError, write_array, write_case, write_manifest
from interpolated_kernels.testing.vectors.selection import COUNTS, select_trials

_ENDINGS = {"float32": "f32", "float64": "f64", "bool": "u8"}


def export_vectors(
    folder: str | os.PathLike[str], *, arithmetics: Sequence[str] = tuple(COUNTS), seed: int = 0
) -> list[str]:
    """Write golden cases of every feature of `conv`, its gradients and `conv_transpose`, with their error bounds.

    Parameters
    ----------
    folder : path
        New, or empty.
    arithmetics : sequence of str
        What backends compute in, see `error_bound`; all of them by default.
    seed : int
        Which cases: equal seeds give equal problems.

    Returns
    -------
    list of str
        The cases' names, which their folders have.

    Raises
    ------
    ValueError
        For an unknown arithmetic, and as `VectorsError` for a folder that holds something already.
    OSError
        If it cannot be written.
    """
    folder = Path(folder)
    for arithmetic in arithmetics:
        find_arithmetic(arithmetic)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VectorsError(f"`folder` must be new or empty, and {folder} is not: name another, or remove it.")
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for arithmetic in arithmetics:
        for index, (trial, quantities) in enumerate(select_trials(arithmetic, seed)):
            names.append(f"{arithmetic}-{index:03}")
            results = {quantity: expect(trial, quantity, arithmetic) for quantity in quantities}
            _export_case(folder / names[-1], arithmetic, trial, results)
    write_manifest(folder, made_by=f"interpolated-kernels {__version__}", seed=seed, cases=names)
    return names


def _export_case(folder: Path, arithmetic: str, trial: Trial, results: dict[str, Expected]) -> None:
    """Write a case's arrays, expected results, bounds and document."""
    folder.mkdir()
    problem = trial.problem
    arrays = {
        name: _export_array(folder, name, array) for name, array in {**trial.arrays, **_make_kernels(trial)}.items()
    }
    expected = {}
    for quantity, result in results.items():
        values, bound = (
            _export_array(folder, name, array)
            for name, array in ((quantity, result.values), (f"{quantity}.bound", result.bound))
        )
        expected[quantity] = {**values, "bound": bound["file"], "spoiled_filters": result.spoiled_filters}
    write_case(folder, {
        "summary": repr(problem),
        "arithmetic": arithmetic,
        "data": problem.data,
        "features": {"arithmetic": arithmetic, **problem.features},
        "options": problem.conv_options,
        "geometry": _describe_geometry(problem),
        "kernel": problem.kernel.to_dict(),
        "arrays": arrays,
        "results": expected,
    })  # fmt: skip


def _export_array(folder: Path, name: str, array: FloatArray) -> dict[str, Any]:
    """Write an array, and return what the document says of it."""
    file = f"{name}.{_ENDINGS[array.dtype.name]}"
    write_array(folder / file, array)
    return {"file": file, "shape": array.shape}


def _make_kernels(trial: Trial) -> dict[str, FloatArray]:
    """Return the interpolation matrices, the dense kernels, and which of their cells are taps."""
    problem, kernel = trial.problem.described, trial.problem.kernel
    matrix, shape = kernel.matrix, (problem.filters, problem.channels_per_group, *problem.window)
    dense = Definition(kernel).apply(as_bank(trial.weights, problem, np.float64), np.float64)
    return {
        "matrix": matrix.reshape(*matrix.shape[:-2], *(1,) * (4 - matrix.ndim), *matrix.shape[-2:]),
        "dense": np.broadcast_to(dense, shape),
        "taps": np.broadcast_to(problem.support, shape),
    }


def _describe_geometry(problem: BackendProblem) -> dict[str, Any]:
    """Return sizes and options settled: one entry a spatial axis, whatever form they were passed in."""
    described = problem.described
    return {
        "batch": described.batch,
        "groups": described.groups,
        "channels_per_group": described.channels_per_group,
        "filters_per_group": described.filters_per_group,
        "spatial": described.spatial,
        "window": described.window,
        "out_spatial": described.out_spatial,
        "stride": described.stride,
        "dilation": described.dilation,
        "pads": described.padding,
        "padding_modes": described.padding_modes,
        "output_padding": find_transposed_options(problem)["output_padding"],
    }
