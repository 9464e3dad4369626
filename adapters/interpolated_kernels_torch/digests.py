"""A layer's kernel in its state: a small tensor that tells whether weights belong to it.

`state_dict` holds tensors alone, so that every tool around a checkpoint can copy, cast, average and store it. A digest
is whole numbers from 0 to 255, which float16 and bfloat16 hold exactly and which averaging leaves as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection

import torch

import interpolated_kernels as ik

_PARTS = ("positions", "window", "interpolator", "channel_mode", "widths")
_BYTES = 8


def make_digest(kernel: ik.InterpolatedKernel, learned: Collection[str] = ()) -> torch.Tensor:
    """Return the digest, `(parts, 8)` float32 on the CPU: a row a part of the kernel, zeros where it is learned."""
    document = kernel.to_dict()
    rows = [
        bytes(_BYTES) if part in learned else hashlib.sha256(json.dumps(document[part]).encode()).digest()[:_BYTES]
        for part in _PARTS
    ]
    return torch.tensor([list(row) for row in rows], dtype=torch.float32, device="cpu")


def check_digest(loaded: torch.Tensor, own: torch.Tensor, kernel: ik.InterpolatedKernel) -> None:
    """Raise unless a state's digest is a layer's own; parts that either of the two learns are not compared.

    Raises
    ------
    ValueError
        Naming the parts that differ.
    """
    found = loaded.detach().to("cpu", torch.float32)
    if found.shape != own.shape:
        raise ValueError(f"`state_dict` must hold a kernel's digest of shape {tuple(own.shape)}, got {found.shape}.")
    rows = zip(_PARTS, found.round().tolist(), own.tolist(), strict=True)
    parts = [part for part, one, other in rows if any(one) and any(other) and one != other]
    if parts:
        raise ValueError(
            f"`state_dict` holds weights of another kernel than {kernel!r}: {', '.join(parts)} differ. Build the layer "
            "with the kernel that they were trained with."
        )
