"""Kernels on disk: a versioned JSON document, an npz with the weights, and what other packages saved."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.edge import as_floats
from interpolated_kernels.fitting import Fit, from_dense
from interpolated_kernels.interpolation import Bilinear, Gaussian, Triangle
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.problem import as_bank_shape

_FORMAT, _VERSION = "interpolated-kernels", 1
_DCLS = {"v0": Bilinear(normalized=False), "v1": Bilinear(), "max": Triangle(), "gauss": Gaussian()}


@dataclass(frozen=True, eq=False)
class Saved:
    """What a file holds: a kernel, its weights if there are any, and whatever arrays were saved with it, by name."""

    kernel: InterpolatedKernel
    weights: FloatArray | None = None
    arrays: dict[str, FloatArray] = field(default_factory=dict)


def save(path: str | os.PathLike[str], kernel: InterpolatedKernel, weights: Any = None, **arrays: Any) -> None:
    """Write a kernel, its weights and further arrays to a file, which `load` reads back bit for bit.

    Parameters
    ----------
    path : path
        Ends in ".json" for the kernel alone, as a document that people can read, or in ".npz".
    kernel : InterpolatedKernel
    weights : array of float, optional
        As `conv` takes them.
    **arrays : array
        Kept under their names: a bias, standard errors.

    Raises
    ------
    TypeError, ValueError
        For another ending, weights that do not fit the kernel, arrays in a JSON document, or arrays of objects.

    Notes
    -----
    The file is written beside the old one and then takes its place, so that a reader never meets half a file.

    Examples
    --------
    >>> import interpolated_kernels as ik, tempfile, pathlib
    >>> kernel = ik.InterpolatedKernel([[0.0], [2.5]], 4)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "kernel.json"
    >>> ik.save(path, kernel)
    >>> ik.load(path).kernel == kernel
    True
    """
    path = Path(path)
    if not isinstance(kernel, InterpolatedKernel):
        raise TypeError(f"`kernel` must be an InterpolatedKernel, got {type(kernel).__name__}.")
    document = json.dumps({"format": _FORMAT, "version": _VERSION, "kernel": kernel.to_dict()}, allow_nan=False)
    if weights is not None:
        weights = as_floats("weights", weights)
        as_bank_shape(weights.shape, kernel)
    if path.suffix == ".json":
        if weights is not None or arrays:
            raise ValueError(
                "`path` must end in '.npz' to hold weights or arrays: a JSON document is the kernel alone."
            )
        _replace(path, lambda target: target.write_text(document + "\n"))
        return
    if path.suffix != ".npz":
        raise ValueError(f"`path` must end in '.json' or '.npz', got {path.name!r}.")
    entries = {f"arrays/{name}": np.asarray(value) for name, value in arrays.items()}
    for name, value in entries.items():
        if value.dtype.hasobject:
            raise TypeError(f"`{name.removeprefix('arrays/')}` must be an array of plain values, got {value.dtype}.")
    if weights is not None:
        entries["weights"] = weights
    entries["document"] = np.frombuffer(document.encode(), np.uint8)
    _replace(path, lambda target: _write_npz(target, entries))


def load(path: str | os.PathLike[str]) -> Saved:
    """Read what `save` wrote.

    Parameters
    ----------
    path : path
        A ".json" or ".npz" file.

    Returns
    -------
    Saved

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        For a file of another kind, a newer version, a damaged one, an interpolator that is not registered, or arrays of
        objects, which are never unpickled.
    """
    path = Path(path)
    if path.suffix == ".json":
        return Saved(_read_kernel(path, path.read_text()))
    if not path.is_file():
        raise FileNotFoundError(f"`path` must be a file, there is none at {path}.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            entries = {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise ValueError(f"`path` must be an npz that `save` wrote, {path} cannot be read: {error}") from error
    if "document" not in entries:
        raise ValueError(f"`path` must be an npz that `save` wrote, {path} has no kernel's document in it.")
    kernel = _read_kernel(path, entries.pop("document").tobytes().decode(errors="replace"))
    weights = entries.pop("weights", None)
    return Saved(kernel, weights, {name.removeprefix("arrays/"): value for name, value in entries.items()})


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
    ValueError
        For a missing entry, another version or shapes that do not fit.

    Notes
    -----
    That package centres positions and orders axes differently from version to version: in 2-D "v0" has rows first, the
    others columns first; in 3-D "v0" has planes, columns, rows, the others the reverse. Axis i of `P` is counted from
    `window[i] // 2` there, whichever axis of the window it is; that is kept, so that kernels are equal.
    """
    if version not in _DCLS:
        raise ValueError(f"`version` must be one of {', '.join(_DCLS)}, got {version!r}.")
    needed = ("weight", "P", "SIG") if version in ("max", "gauss") else ("weight", "P")
    missing = [entry for entry in needed if entry not in state]
    if missing:
        raise ValueError(
            f"`state` must hold {', '.join(needed)} for version {version!r}, {', '.join(missing)} missing."
        )
    found = {entry: np.asarray(state[entry], dtype=np.float64) for entry in needed}
    d = len(window)
    if found["P"].shape != (d, *found["weight"].shape) or found["P"].shape != found.get("SIG", found["P"]).shape:
        raise ValueError(
            f"`state` must hold P (and SIG) of shape {(d, *found['weight'].shape)} for `window` {tuple(window)}, "
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
    ValueError
        If no array fits.
    """
    if not isinstance(arrays, Mapping):
        with np.load(Path(arrays), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    fits = {}
    for name, value in arrays.items():
        shape = np.shape(value)
        if len(shape) == kernel.n_dims + 2 and shape[2:] == kernel.spatial_window:
            fits[name] = from_dense(np.asarray(value), kernel)
    if not fits:
        shapes = {name: np.shape(value) for name, value in arrays.items()}
        raise ValueError(f"`arrays` must hold an array (out, in, *{kernel.spatial_window}), got {shapes}.")
    return fits


def _read_kernel(path: Path, text: str) -> InterpolatedKernel:
    """Return the kernel of a document."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"`path` must be a document that `save` wrote, {path} is no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise ValueError(f"`path` must be a document that `save` wrote, {path} is of another kind.")
    if document.get("version") != _VERSION:
        raise ValueError(
            f"`path` must be of version {_VERSION}, {path} is of version {document.get('version')!r}: "
            "a newer interpolated-kernels may read it."
        )
    try:
        return InterpolatedKernel.from_dict(document["kernel"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"`path` must be a document that `save` wrote, {path} is damaged: {error!r}") from error


def _write_npz(path: Path, entries: dict[str, FloatArray]) -> None:
    with path.open("wb") as target:
        np.savez(target, allow_pickle=False, **entries)


def _replace(path: Path, write: Any) -> None:
    """Write a file beside the path, then put it there."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
