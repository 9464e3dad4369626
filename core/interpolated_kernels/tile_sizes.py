"""The width of vectors and the shapes of register tiles, which the loops have and planning counts with.

They stand beside `loops`, whose import loads numba: planning must not.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

_WIDTHS = ("16", "32", "64")


def find_vector_bytes(environment: Mapping[str, str]) -> int:
    """Return the bytes of the widest vectors of the processor that numba compiles for: 64, 32 or 16.

    `INTERPOLATED_KERNELS_VECTOR_BYTES` says otherwise.

    Raises
    ------
    ValueError
        If that is none of the three.
    """
    wanted = environment.get("INTERPOLATED_KERNELS_VECTOR_BYTES")
    if wanted:
        if wanted not in _WIDTHS:
            raise ValueError(f"INTERPOLATED_KERNELS_VECTOR_BYTES must be one of {', '.join(_WIDTHS)}, not {wanted!r}")
        return int(wanted)
    named = environment.get("NUMBA_CPU_FEATURES")
    if named is None:  # NumPy has asked the processor already, and llvmlite would take a tenth of a second to import
        known = getattr(import_module("numpy._core._multiarray_umath"), "__cpu_features__", {})
        has = {name.lower() for name, there in known.items() if there}
    else:
        has = {feature[1:] for feature in named.split(",") if feature.startswith("+")}
    return 64 if {"avx512f", "avx512vl"} <= has else 32 if "avx2" in has else 16


def count_registers(vector_bytes: int, processor: str) -> int:
    """Return how many registers hold vectors of a width: AVX-512 and 64-bit ARM have 32, older sets 16."""
    return 32 if vector_bytes == 64 or (vector_bytes == 16 and processor in ("aarch64", "arm64")) else 16


VECTOR_BYTES = find_vector_bytes(os.environ)

REGISTERS = count_registers(VECTOR_BYTES, platform.machine().lower())

COLUMNS_OF_TILE = {16: (8, 6, 4, 3), 32: (12, 8, 6, 6)}[REGISTERS]
"""Vectors side by side in a tile of one, two, three and four output channels, whose sums leave some registers free."""

TAPS_OF_TILE = {16: (8, 6, 4, 3), 32: (12, 8, 6, 5)}[REGISTERS]
"""Taps side by side in a tile of products of one to four output channels: both factors are loaded beside the sums."""

BYTES_OF_PRODUCTS = 2**14
"""About how much of y's gradient is multiplied with all taps before the next: it stays in the nearest cache."""

COLUMNS_OF_LINE = (2, 4, 8)
"""Vectors of one output channel that are summed at a time: of short lines, of middle ones and of long ones."""

COLUMNS_OF_TWO, COLUMNS_OF_FOUR = {16: ((2, 4, 6), (1, 2, 3)), 32: ((2, 4, 8), (2, 4, 6))}[REGISTERS]
"""The same for two and for four output channels."""

MIDDLE_LINE, LONG_LINE = (3, 6) if VECTOR_BYTES == 64 else (4, 8)
"""Vectors from which on a line of one output channel is a middle or a long one: whole tiles, where writing a part of
one is slow."""

ROWS_OF_TILE = 4
"""Rows that a tile of one output channel sums at once, where neighbours share their inputs."""

BYTES_OF_CHUNK = 4096
"""About how many bytes of every filter's outputs are written one after another, while other filters' wait."""

VECTORS_OF_LINE, VECTORS_OF_LONE_LINE = 3, 6
"""Vectors of a tile's rows of maps that y's gradient is gathered into, of several rows (or two vectors) and of one."""

VECTORS_OF_SLACK = max(*COLUMNS_OF_LINE, *COLUMNS_OF_TILE)
"""Vectors that the widest tile reads beyond the end of a short line."""


def size_line(dtype: Any, is_alone: bool) -> tuple[int, int]:
    """Return the values that a row of maps which is gathered into has a multiple of, and the least multiple."""
    return (VECTORS_OF_LONE_LINE * count_lanes(dtype), 1) if is_alone else (count_lanes(dtype), 2)


def tile_width(left: int) -> int:
    """Return how many of the output channels that are left a tile takes, 4, 2 or 1: for loops, too."""
    return 4 if left >= 4 else (2 if left >= 2 else 1)


def classify_line(width: int, vectors: int) -> int:
    """Return 0 for a short line, 1 for a middle one, 2 for a long one, of 1, 2 or 4 output channels: for loops, too.

    Several channels take the tiles that have fewest vectors beyond the line, the longer ones if both have as many.
    """
    if width == 1:
        return int(vectors >= MIDDLE_LINE) + int(vectors >= LONG_LINE)
    short, middle, long = COLUMNS_OF_FOUR if width == 4 else COLUMNS_OF_TWO
    if vectors <= short:
        return 0
    return 1 if -(-vectors // middle) * middle < -(-vectors // long) * long else 2


def fill_tiles(filters: int, vectors: int) -> int:
    """Return how many vectors the tiles of a line have, which is so long, where there are so many filters."""
    width = tile_width(filters)
    columns = {1: COLUMNS_OF_LINE, 2: COLUMNS_OF_TWO, 4: COLUMNS_OF_FOUR}[width][classify_line(width, vectors)]
    return -(-vectors // columns) * columns


def count_lanes(dtype: Any) -> int:
    """Return how many values of a dtype stand in one vector."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize
