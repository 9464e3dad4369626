"""Where arrays live: what a plan does with them itself, on the host and on a GPU alike.

A path is prepared for one place, and its loops take that place's arrays. All else that a plan needs of arrays is in
`Memory`: new ones, sums over tied channels, and what makes dense kernels.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from interpolated_kernels.memory.gpu import GpuMemory
from interpolated_kernels.memory.host import HostMemory
from interpolated_kernels.memory.protocol import Memory

__all__ = ["Memory", "find_memory", "use_device"]

_MEMORIES: dict[str, Memory] = {"cpu": HostMemory(), "cuda": GpuMemory()}


def use_device(device: str) -> AbstractContextManager[Any]:
    """Hold a problem's device as the current one."""
    return find_memory(device).use(device)


def find_memory(device: str) -> Memory:
    """Return the memory of a problem's device: "cpu", or "cuda" with the GPU's number."""
    return _MEMORIES[device.partition(":")[0]]
