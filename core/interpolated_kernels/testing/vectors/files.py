"""Arrays and documents of a folder of vectors, on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray

FORMAT, VERSION = "interpolated-kernels vectors", 1
DTYPES: dict[str, np.dtype[Any]] = {"f32": np.dtype("<f4"), "f64": np.dtype("<f8"), "u8": np.dtype("u1")}
"""The dtype of a file by its ending: little-endian, whatever the machine."""

_MANIFEST, _CASE = "manifest.json", "case.json"


class VectorsError(ValueError):
    """A folder that holds no vectors, vectors of another version or damaged ones, or files that none has asked for."""


def write_manifest(folder: Path, **entries: Any) -> None:
    """Write what the folder holds; it comes last, so that half a folder has none."""
    _write_document(folder / _MANIFEST, {"format": FORMAT, "version": VERSION, **entries})


def write_case(folder: Path, document: dict[str, Any]) -> None:
    """Write the document of a case."""
    _write_document(folder / _CASE, document)


def write_array(path: Path, array: FloatArray) -> None:
    """Write an array's numbers in C order, in the dtype of the file's ending."""
    path.write_bytes(np.ascontiguousarray(array, DTYPES[path.suffix[1:]]).tobytes())


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what a folder says of itself.

    Raises
    ------
    VectorsError
        For a folder without vectors, or with those of another version.
    """
    path = folder / _MANIFEST
    if not path.is_file():
        raise VectorsError(f"`folder` must hold vectors, and there is no {path}: export some with `vectors export`.")
    manifest = _read_document(path)
    if manifest.get("format") != FORMAT:
        raise VectorsError(f"`folder` must hold vectors, and {path} has the format {manifest.get('format')!r}.")
    if manifest.get("version") != VERSION:
        raise VectorsError(
            f"`folder` must hold vectors of version {VERSION}, got version {manifest.get('version')!r} in {path}: "
            "export them again with this release, or check them with that which wrote them."
        )
    return manifest


def read_case(folder: Path) -> dict[str, Any]:
    """Return the document of a case, or raise `VectorsError`."""
    return _read_document(folder / _CASE)


def read_array(path: Path, shape: tuple[int, ...]) -> FloatArray:
    """Return the array that an exported file holds.

    Raises
    ------
    VectorsError
        If the file is not there, or has not as many bytes as the shape needs.
    """
    try:
        return read_result(path, shape)
    except (OSError, ValueError) as error:
        raise VectorsError(
            f"`folder` must hold whole vectors, {path} is damaged ({error}): export them again."
        ) from error


def read_result(path: Path, shape: tuple[int, ...]) -> FloatArray:
    """Return the array that a file holds; `ValueError` says in words what is wrong with its size."""
    dtype, count = DTYPES[path.suffix[1:]], int(np.prod(shape))
    size = path.stat().st_size
    if size != count * dtype.itemsize:
        raise ValueError(
            f"{path.name} has {size} bytes, expected {count * dtype.itemsize}: {count} numbers of {dtype.itemsize} "
            f"bytes, shape {shape}"
        )
    return np.fromfile(path, dtype).reshape(shape)


def _write_document(path: Path, document: dict[str, Any]) -> None:
    """Write an object, one line an entry."""
    lines = [f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in document.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VectorsError(f"`folder` must hold whole vectors, {path} cannot be read ({error}).") from error
    if not isinstance(document, dict):
        raise VectorsError(f"`folder` must hold whole vectors, {path} holds no object.")
    return document
