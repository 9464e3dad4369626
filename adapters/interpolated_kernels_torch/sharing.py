"""Tensors' own memory as the core's arrays and back, on the device and the stream of a call: nothing is copied."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from interpolated_kernels import adapting
from interpolated_kernels_torch.engines import refuse_tangent

_NOTHING: AbstractContextManager[Any] = contextlib.nullcontext()


def as_array(tensor: torch.Tensor) -> Any:
    """Return the tensor's own memory: on the CPU as a NumPy array, on a GPU as a tensor that the core can read.

    There torch copies what is not contiguous or to be negated, into memory that it keeps for such.
    """
    refuse_tangent(tensor)
    if is_on_cuda(tensor):
        return tensor.detach().resolve_neg().contiguous()
    return tensor.numpy(force=True)


def as_tensor(array: Any) -> torch.Tensor:
    """Return a new array's own memory, as a contiguous tensor; that of a GPU's array lives as long as the tensor."""
    if isinstance(array, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(array))
    return torch.as_tensor(array, device="cuda")  # the GPU that is held, where the array lives


def is_on_cuda(tensor: torch.Tensor) -> bool:
    """Return whether a tensor lives on a GPU of CUDA's."""
    return tensor.is_cuda


def hold_device(tensor: torch.Tensor) -> AbstractContextManager[Any]:
    """Hold the GPU that a tensor lives on, and torch's current stream there, for the core; nothing for the CPU."""
    return _hold_gpu(tensor.device) if is_on_cuda(tensor) else _NOTHING


@contextlib.contextmanager
def _hold_gpu(device: torch.device) -> Any:
    with torch.cuda.device(device):
        stream = torch.cuda.current_stream(device).cuda_stream
        with adapting.on_stream(stream, device.index):
            yield
