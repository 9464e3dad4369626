"""A kernel's digest: a few numbers in a layer's state that tell whether weights belong to it.

A digest is whole numbers from 0 to 255, which float16 and bfloat16 hold exactly and which averaging leaves as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.kernel import InterpolatedKernel

_PARTS = ("positions", "window", "interpolator", "channel_mode", "widths")
_BYTES = 8


def make_digest(kernel: InterpolatedKernel, learned: Collection[str] = ()) -> FloatArray:
    """Return the digest, `(parts, 8)`: a row a part of the kernel, zeros where it is learned."""
    document = kernel.to_dict()
    rows = [
        bytes(_BYTES) if part in learned else hashlib.sha256(json.dumps(document[part]).encode()).digest()[:_BYTES]
        for part in _PARTS
    ]
    return np.array([list(row) for row in rows], np.float64)


def check_digest(name: str, found: Any, own: FloatArray, kernel: InterpolatedKernel) -> None:
    """Raise unless the digest in a state of some `name` is a layer's own; parts that either learns are not compared.

    Raises
    ------
    ValueError
        Naming the parts that differ.
    """
    found = np.asarray(found, np.float64)
    if found.shape != own.shape:
        raise ValueError(f"`{name}` must hold a kernel's digest of shape {own.shape}, got {found.shape}.")
    rows = zip(_PARTS, found.round(), own, strict=True)
    parts = [part for part, one, other in rows if one.any() and other.any() and (one != other).any()]
    if parts:
        raise ValueError(
            f"`{name}` holds weights of another kernel than {kernel!r}: {', '.join(parts)} differ. Build the layer "
            "with the kernel that they were trained with."
        )
