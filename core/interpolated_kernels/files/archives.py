"""Arrays by name in an npz, written and read without pickles, whatever a damaged one holds.

NumPy's format knows no bfloat16, nor the other dtypes that the package ml_dtypes adds: such an array is kept as whole
numbers of the same bytes, and its dtype's name beside it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.lazy import load


def write_archive(path: Path, arrays: Mapping[str, FloatArray]) -> None:
    """Write arrays as `np.savez` does."""
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_archive(path: Path) -> dict[str, FloatArray]:
    """Read the arrays of an npz.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is of another kind or damaged, or holds objects, which are never unpickled.
    """
    check_file(path)
    with path.open("rb") as source:
        try:
            with zipfile.ZipFile(source) as archive:
                return {name.removesuffix(".npy"): _read_member(archive, name) for name in archive.namelist()}
        except Exception as error:  # for damaged bytes zip, zlib, NumPy and its headers' parser raise a dozen kinds
            raise ValueError(f"`path` must be an npz, {path} cannot be read: {error!r}") from error


def check_file(path: Path) -> None:
    """Raise FileNotFoundError unless there is a file."""
    if not path.is_file():
        raise FileNotFoundError(f"`path` must be a file, there is none at {path}.")


def _read_member(archive: zipfile.ZipFile, name: str) -> FloatArray:
    with archive.open(name) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def name_foreign_dtype(dtype: np.dtype) -> str | None:
    """Return the name of a dtype that NumPy's format does not know, "bfloat16", or None."""
    return dtype.name if dtype.isbuiltin == 2 else None  # 2: registered with NumPy by another package


def strip_dtype(array: FloatArray) -> FloatArray:
    """Return an array of a foreign dtype as whole numbers of the same bytes."""
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}").reshape(array.shape)


def restore_dtype(array: FloatArray, name: str) -> FloatArray:
    """Return the array that `strip_dtype` was given.

    Raises
    ------
    ImportError
        If the package ml_dtypes is missing.
    ValueError
        If it has no dtype of this name and of as many bytes.
    """
    try:
        scalar = getattr(load("ml_dtypes"), name, None)
    except ImportError as error:
        raise ImportError(f"The file holds {name}, which NumPy lacks: pip install ml_dtypes") from error
    if not isinstance(scalar, type) or not issubclass(scalar, np.generic):
        raise ValueError(f"{name} is no dtype of ml_dtypes")
    return array.view(scalar)
