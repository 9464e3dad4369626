"""A kernel as a versioned JSON document, alone or in an npz with its weights and whatever belongs to them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from interpolated_kernels.arguments import as_floats, as_path, read_array
from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.edge import fetch
from interpolated_kernels.files.archives import (
    check_file,
    name_foreign_dtype,
    read_archive,
    restore_dtype,
    strip_dtype,
    write_archive,
)
from interpolated_kernels.folders import replace_file
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.problem import as_bank_shape, check_kernel

_FORMAT, _VERSION = "interpolated-kernels", 1


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
        For another ending, weights that do not fit the kernel, arrays in a JSON document, arrays of objects, or an
        interpolator whose options JSON cannot hold.
    OSError
        If the file cannot be written; one that was there is left as it was.

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
    path = Path(as_path("path", path))
    check_kernel(kernel)
    document = {"format": _FORMAT, "version": _VERSION, "kernel": kernel.to_dict()}
    if weights is not None:
        weights = fetch(as_floats("weights", weights))
        as_bank_shape(weights.shape, kernel)
    if path.suffix == ".json":
        if weights is not None or arrays:
            raise ValueError(
                "`path` must end in '.npz' to hold weights or arrays: a JSON document is the kernel alone."
            )
        text = _as_text(document) + "\n"
        replace_file(path, lambda target: target.write_text(text, encoding="utf-8"))
        return
    if path.suffix != ".npz":
        raise ValueError(f"`path` must end in '.json' or '.npz', got {path.name!r}.")
    entries = {f"arrays/{name}": read_array(name, value) for name, value in arrays.items()}
    for name, value in entries.items():
        if value.dtype.hasobject:
            raise TypeError(f"`{name.removeprefix('arrays/')}` must be an array of plain values, got {value.dtype}.")
    if weights is not None:
        entries["weights"] = weights
    dtypes = {name: name_foreign_dtype(value.dtype) for name, value in entries.items()}
    document["dtypes"] = {name: dtype for name, dtype in dtypes.items() if dtype is not None}
    entries = {name: strip_dtype(value) if dtypes[name] else value for name, value in entries.items()}
    entries["document"] = np.frombuffer(_as_text(document).encode(), np.uint8)
    replace_file(path, lambda target: write_archive(target, entries))


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
    ImportError
        If arrays have a dtype of ml_dtypes, such as bfloat16, and that package is missing.
    ValueError
        For a file of another kind, a newer version, a damaged one, weights that do not fit the kernel, an interpolator
        that is not registered, or arrays of objects, which are never unpickled.
    """
    path = Path(as_path("path", path))
    if path.suffix == ".json":
        check_file(path)
        return Saved(_read_kernel(path, _read_document(path, path.read_bytes())))
    entries = read_archive(path)
    if "document" not in entries:
        raise ValueError(f"`path` must be an npz that `save` wrote, {path} has no kernel's document in it.")
    document = _read_document(path, entries.pop("document").tobytes())
    kernel = _read_kernel(path, document)
    try:
        for name, dtype in document.get("dtypes", {}).items():
            entries[name] = restore_dtype(entries[name], dtype)
        weights = entries.pop("weights", None)
        if weights is not None:
            as_bank_shape(as_floats("weights", weights).shape, kernel)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"`path` must be an npz that `save` wrote, {path} is damaged: {error}") from error
    return Saved(kernel, weights, {name.removeprefix("arrays/"): value for name, value in entries.items()})


def _as_text(document: dict[str, Any]) -> str:
    try:
        return json.dumps(document, allow_nan=False)
    except (TypeError, ValueError) as error:
        options = document["kernel"]["interpolator"]
        raise type(error)(f"`kernel` must have an interpolator that JSON can hold, got {options}: {error}") from error


def _read_document(path: Path, content: bytes) -> dict[str, Any]:
    """Return a document of this format and version."""
    try:
        document = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"`path` must be a document that `save` wrote, {path} is no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise ValueError(f"`path` must be a document that `save` wrote, {path} is of another kind.")
    if document.get("version") != _VERSION:
        raise ValueError(
            f"`path` must be of version {_VERSION}, {path} is of version {document.get('version')!r}: "
            "a newer interpolated-kernels may read it."
        )
    return document


def _read_kernel(path: Path, document: dict[str, Any]) -> InterpolatedKernel:
    try:
        return InterpolatedKernel.from_dict(document["kernel"])
    except ValueError as error:  # the kernel's own checks say what is wrong
        raise ValueError(f"`path` must hold a kernel that can be made here, {path} does not: {error}") from error
    except Exception as error:  # what is no list, number or text where one belongs fails in a dozen ways
        raise ValueError(f"`path` must be a document that `save` wrote, {path} is damaged: {error!r}") from error
