"""What the loops of CUDA are launched with, found without a GPU: public functions run on arrays that have no memory.

Numba's own arrays stand on memory that is never touched, so that all but the kernels themselves runs as on a GPU; each
launch is written down instead. Caches are left with such arrays: whoever records does nothing else in that process.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import importlib
import itertools
import pkgutil
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
from numba import typeof
from numba.cuda.cudadrv import devices
from numba.cuda.cudadrv.devicearray import DeviceNDArray

from interpolated_kernels import lazy
from interpolated_kernels.loops import cuda as loops


@dataclass(frozen=True)
class Launch:
    """A kernel and the types that it was launched with; for how many filters, where it is made for a number of them."""

    name: str
    filters: int | None
    dtype: str
    signature: tuple[Any, ...]
    function: Callable[..., None]
    threads: int


_APART = 2**40
_ADDRESSES = itertools.count(_APART, _APART)


class _NoMemory:
    """Memory of a GPU by its address alone."""

    def __init__(self, address: int) -> None:
        self.device_ctypes_pointer = ctypes.c_void_p(address)

    def view(self, start: int, stop: int | None = None) -> _NoMemory:
        return _NoMemory(self.device_ctypes_pointer.value + start)


def make_array(shape: tuple[int, ...], dtype: Any, steps: int = 1) -> DeviceNDArray:
    """Return an array without memory; those of more than one step have gaps along their last axis."""
    strides = (
        np.empty(shape, dtype).strides if steps == 1 else np.empty((*shape[:-1], shape[-1], steps), dtype).strides[:-1]
    )
    return DeviceNDArray(shape, strides, np.dtype(dtype), gpu_data=_NoMemory(next(_ADDRESSES)))


def find_kernels() -> set[str]:
    """Return the names of all kernels in `loops/cuda`, read from their files."""
    found = set()
    for module in _modules():
        with open(module.__file__) as file:
            tree = ast.parse(file.read())
        for outer in tree.body:
            for node in ast.walk(outer) if isinstance(outer, ast.FunctionDef) else ():
                if isinstance(node, ast.FunctionDef) and any(
                    ast.unparse(each) == "jit" for each in node.decorator_list
                ):
                    found.add(_name(module.__name__, outer.name))
    return found


@contextlib.contextmanager
def recording() -> Iterator[dict[Launch, None]]:
    """Write down each launch once, in the order in which they come first."""
    launches: dict[Launch, None] = {}

    def launch(kernel: Any, blocks: Any, *arguments: Any, threads: Any = (loops.compile.THREADS,)) -> None:
        function, signature = kernel.py_func, tuple(map(typeof, arguments))
        held = dict(
            zip(function.__code__.co_freevars, (cell.cell_contents for cell in function.__closure__ or ()), strict=True)
        )
        name = _name(function.__module__, function.__qualname__.partition(".")[0])
        dtypes = sorted(set(re.findall(r"float\d+", str(signature))))
        dtype = np.dtype(held["dtype"]).name if "dtype" in held else ", ".join(dtypes)
        launches[Launch(name, held.get("filters"), dtype, signature, function, int(np.prod(threads)))] = None

    instead = {
        "launch": launch,
        "empty": make_array_of,
        "upload": lambda array: make_array(array.shape, array.dtype),
        "download": lambda array: np.zeros(array.shape, array.dtype),
        "view": lambda name, array: array,
        "find_device": lambda *_: 0,
        "current_device": lambda: 0,
        "on_device": lambda number: contextlib.nullcontext(),
    }
    with contextlib.ExitStack() as stack:
        # slices of an array ask for a GPU, though they need none
        stack.enter_context(mock.patch.object(devices._runtime, "ensure_context", contextlib.nullcontext))
        for module in (*_modules(), loops, lazy.cuda_loops):
            for name, function in instead.items():
                if name in vars(module):
                    stack.enter_context(mock.patch.object(module, name, function))
        yield launches


def make_array_of(shape: Any, dtype: Any) -> DeviceNDArray:
    """Return what `loops.cuda.empty` returns."""
    return make_array(tuple(int(size) for size in shape), dtype)


def _modules() -> list[Any]:
    names = sorted(module.name for module in pkgutil.iter_modules(loops.__path__))
    return [importlib.import_module(f"{loops.__name__}.{name}") for name in names]


def _name(module: str, function: str) -> str:
    return f"{module.rpartition('.')[2]}.{function.strip('_')}"
