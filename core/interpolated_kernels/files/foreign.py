"""What other packages saved: modules of dcls, and dense kernels of any checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from interpolated_kernels.anchors import as_window
from interpolated_kernels.arguments import as_path, as_reals, check_choice, show
from interpolated_kernels.files.archives import read_archive
from interpolated_kernels.files.documents import Saved
from interpolated_kernels.fitting import Fit, from_dense
from interpolated_kernels.interpolation import Bilinear, Gaussian, Triangle
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.problem import check_kernel

_DCLS = {"v0": Bilinear(normalized=False), "v1": Bilinear(), "max": Triangle(), "gauss": Gaussian()}


def from_dcls(state: Mapping[str, Any], window: tuple[int, ...], version: str) -> Saved:
    """Return the kernel and weights of a module of Dilated Convolution with Learnable Spacings (dcls 0.1.1).

    Parameters
    ----------
    state : mapping of arrays
        `module.state_dict()`, or NumPy arrays: `weight` (out, in / groups, n), `P` (d, out, in / groups, n), `SIG`
        shaped as `P` for "max" and "gauss"; `bias` is kept among `arrays`.
    window : tuple of int
        The module's `dilated_kernel_size`.
    version : {"v0", "v1", "max", "gauss"}
        The module's.

    Returns
    -------
    Saved
        Its dense kernel is the module's own.

    Raises
    ------
    TypeError, ValueError
        For a missing entry, another version or shapes that do not fit.

    Notes
    -----
    That package centres positions and orders axes differently from version to version: in 2-D "v0" has rows first, the
    others columns first; in 3-D "v0" has planes, columns, rows, the others the reverse. Axis i of `P` is counted from
    `window[i] // 2` there, whichever axis of the window it is; that is kept, so that kernels are equal.
    """
    check_choice("version", version, _DCLS)
    if not isinstance(state, Mapping):
        raise TypeError(f"`state` must be a mapping of arrays, such as `module.state_dict()`, got {show(state)}.")
    window = as_window(window)
    needed = ("weight", "P", "SIG") if version in ("max", "gauss") else ("weight", "P")
    missing = [entry for entry in needed if entry not in state]
    if missing:
        raise ValueError(
            f"`state` must hold {', '.join(needed)} for version {version!r}, {', '.join(missing)} missing."
        )
    found = {entry: as_reals("state", state[entry]).astype(np.float64) for entry in needed}
    d = len(window)
    if (
        d > 3
        or found["P"].shape != (d, *found["weight"].shape)
        or found["P"].shape != found.get("SIG", found["P"]).shape
    ):
        raise ValueError(
            f"`state` must hold P (and SIG) of shape {(d, *found['weight'].shape)} for `window` {window}, "
            f"got {found['P'].shape}."
        )
    axes = {1: (0,), 2: (0, 1), 3: (0, 2, 1)}[d] if version == "v0" else tuple(reversed(range(d)))
    centred = found["P"] + np.array([cells // 2 for cells in window]).reshape(-1, 1, 1, 1)
    positions = np.stack([centred[axes.index(axis)] for axis in range(d)], axis=-1)
    widths = None
    if "SIG" in found:
        widths = np.stack([found["SIG"][axes.index(axis)] for axis in range(d)], axis=-1)
    kernel = InterpolatedKernel(positions, window, _DCLS[version], widths=widths)
    arrays = {"bias": np.asarray(state["bias"])} if "bias" in state else {}
    return Saved(kernel, np.asarray(state["weight"]), arrays)


def from_checkpoint(arrays: Mapping[str, Any] | str | os.PathLike[str], kernel: InterpolatedKernel) -> dict[str, Fit]:
    """Return anchors' weights for every dense kernel of a checkpoint that has the kernel's window.

    Parameters
    ----------
    arrays : mapping of arrays, or the path of an npz
        By name, as `module.state_dict()` gives them: `(out, in, *window)`; others are passed over.
    kernel : InterpolatedKernel

    Returns
    -------
    dict of str to Fit
        As `from_dense` gives them, by name.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If no array fits, or the file cannot be read.
    """
    check_kernel(kernel)
    if not isinstance(arrays, Mapping):
        arrays = read_archive(Path(as_path("arrays", arrays)))
    fits = {}
    for name, value in arrays.items():
        shape = np.shape(value)
        if len(shape) == kernel.n_dims + 2 and shape[2:] == kernel.spatial_window:
            fits[name] = from_dense(np.asarray(value), kernel)
    if not fits:
        shapes = {name: np.shape(value) for name, value in arrays.items()}
        raise ValueError(f"`arrays` must hold an array (out, in, *{kernel.spatial_window}), got {shapes}.")
    return fits
