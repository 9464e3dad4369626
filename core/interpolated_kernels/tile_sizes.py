"""The sizes of vectors and of register tiles, which the loops have and planning counts with.

They stand beside `loops`, whose import loads numba: planning must not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

VECTOR_BYTES = 32
"""One AVX register, or two NEON ones."""

ROWS_OF_TILE = 4
"""Rows that a tile of one output channel sums at once, where neighbours share their inputs."""

VECTORS_OF_CHUNK = 12
"""Vectors of outputs whose maps stay in the nearest cache while all filters pass: a multiple of the widest tile's."""

VECTORS_OF_LINE = 3
"""Vectors of a tile's rows of maps that y's gradient is gathered into; those of a tile of one row are twice as many."""


def count_lanes(dtype: Any) -> int:
    """Return how many values of a dtype stand in one vector."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize
