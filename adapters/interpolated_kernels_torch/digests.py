"""A layer's kernel in its state: a small tensor that tells whether weights belong to it.

`state_dict` holds tensors alone, so that every tool around a checkpoint can copy, cast, average and store it.
"""

from __future__ import annotations

from collections.abc import Collection

import torch

import interpolated_kernels as ik
from interpolated_kernels import adapting


def make_digest(kernel: ik.InterpolatedKernel, learned: Collection[str] = ()) -> torch.Tensor:
    """Return the digest, `(parts, 8)` float32 on the CPU: a row a part of the kernel, zeros where it is learned."""
    return torch.tensor(adapting.make_digest(kernel, learned).tolist(), dtype=torch.float32, device="cpu")


def check_digest(loaded: torch.Tensor, own: torch.Tensor, kernel: ik.InterpolatedKernel) -> None:
    """Raise `ValueError` unless a state's digest is a layer's own, as `adapting.check_digest`."""
    found = loaded.detach().to("cpu", torch.float32).numpy()
    adapting.check_digest("state_dict", found, own.numpy(), kernel)
