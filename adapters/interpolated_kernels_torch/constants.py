"""What tracing must not look into: a kernel and options become the plain values and tensors that a graph can hold."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels.adapting import Shape

PlainOptions: TypeAlias = tuple[
    tuple[int, ...], tuple[tuple[int, int], ...], tuple[str, ...], tuple[int, ...], int
]  # fmt: skip
"""Stride, (before, after) padding, its modes, dilation, groups: a graph's constants may be plain tuples, no objects."""
PLAIN_NAMES = ("stride", "padding", "padding_mode", "dilation", "groups")

_MATRIX_DTYPES = {"mps": torch.float32}  # the only accelerator of torch's that has no float64
_constants: weakref.WeakKeyDictionary[ik.InterpolatedKernel, dict[Any, torch.Tensor]] = weakref.WeakKeyDictionary()
_numbers: weakref.WeakKeyDictionary[ik.InterpolatedKernel, int] = weakref.WeakKeyDictionary()
_counter = itertools.count()
_HELD = types.SimpleNamespace()


@functools.lru_cache(maxsize=512)
def _settle(
    kernel: ik.InterpolatedKernel,
    x_shape: Shape,
    weights_shape: tuple[int, ...],
    dtype: str,
    path: str,
    spelling: str,
    **options: Any,
) -> Any:
    del spelling  # it only keeps 1, 1.0 and True apart, of which the cache makes one and the core takes the first alone
    settled = adapting.settle(x_shape, weights_shape, kernel, dtype, path=path, **options)
    return settled.stride, settled.padding, settled.padding_modes, settled.dilation, settled.groups


@functools.lru_cache(maxsize=256)
def _write_key(kernel: ik.InterpolatedKernel) -> str:
    return json.dumps(kernel.to_dict())


@torch.compiler.assume_constant_result  # it must be outermost: a trace looks through `lru_cache`
def settle(*arguments: Any, path: str, **options: Any) -> Any:
    """Return `PlainOptions` after the core's own checks; padding that an open size decides is None."""
    return _settle(*arguments, path, repr(options), **options)


@functools.lru_cache(maxsize=256)
def _write_call(kernel: ik.InterpolatedKernel, settled: PlainOptions, path: str, accuracy: str) -> str:
    options = dict(zip(PLAIN_NAMES, settled, strict=True))
    return json.dumps({**options, "path": path, "accuracy": accuracy, "kernel": kernel.to_dict()})


@torch.compiler.assume_constant_result
def write_key(kernel: ik.InterpolatedKernel) -> str:
    """Return the kernel as the text that an operator can take; it says all, so graphs may travel to other processes."""
    return _write_key(kernel)


@torch.compiler.assume_constant_result
def write_call(kernel: ik.InterpolatedKernel, settled: PlainOptions, path: str, accuracy: str) -> str:
    """Return a kernel and options as one such text, for each argument of an operator costs a microsecond a call."""
    return _write_call(kernel, settled, path, accuracy)


@functools.lru_cache(maxsize=256)
def read_key(key: str) -> ik.InterpolatedKernel:
    """Return the kernel of a key."""
    with adapting.ignore_anchor_warnings():
        return ik.InterpolatedKernel.from_dict(json.loads(key))


@functools.lru_cache(maxsize=256)
def read_call(call: str) -> dict[str, Any]:
    """Return what `write_call` wrote as keywords of the core's, which are not to be changed."""
    document = json.loads(call)
    options = {name: _as_tuples(value) for name, value in document.items() if name != "kernel"}
    return {**options, "kernel": read_key(json.dumps(document["kernel"]))}


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def choose_matrix_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype that dense kernels are summed in on a device."""
    return _MATRIX_DTYPES.get(device.type, torch.float64)


_MAKERS: dict[str, Callable[..., Any]] = {
    "matrix": lambda kernel: kernel.matrix,
    "positions": lambda kernel: kernel.positions,
    "widths": adapting.fill_widths,
    "nodes": lambda kernel: adapting.find_lattice(kernel).to_nodes,
    "profile": lambda kernel, axis, index: adapting.find_lattice(kernel).profiles[axis][index],
}


def keep_constant(kernel: ik.InterpolatedKernel, device: torch.device, kind: str, *indices: int) -> torch.Tensor:
    """Return an array that a kernel alone decides as a tensor on `device`, kept there as long as the kernel lives.

    A trace meets it as an attribute of a global object: as the result of a function it would be one and the same for
    all kernels of a graph.
    """
    if torch.compiler.is_dynamo_compiling():
        held: torch.Tensor = getattr(_HELD, _hold(kernel, device, kind, indices))
        return held
    return _keep(kernel, device, kind, indices)


@torch.compiler.assume_constant_result
def _hold(kernel: ik.InterpolatedKernel, device: torch.device, kind: str, indices: tuple[int, ...]) -> str:
    """Return the attribute of `_HELD` that has the tensor, until the kernel is gone."""
    if kernel not in _numbers:
        _numbers[kernel] = next(_counter)
    name = "_".join(map(str, (kind, *indices, _numbers[kernel], device.type, device.index)))
    if not hasattr(_HELD, name):
        setattr(_HELD, name, _keep(kernel, device, kind, indices))
        weakref.finalize(kernel, vars(_HELD).pop, name, None)
    return name


@contextlib.contextmanager
def _beside_traces() -> Iterator[None]:
    """Keep traces and transforms from recording or wrapping a constant: it outlives them, and is made once."""
    state = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)  # type: ignore[attr-defined] # torch's own, as below
    try:
        with torch._C._DisableFuncTorch():
            yield
    finally:
        torch._C._set_tracing_state(state)  # type: ignore[attr-defined]


def _keep(kernel: ik.InterpolatedKernel, device: torch.device, kind: str, indices: tuple[int, ...]) -> torch.Tensor:
    kept, key = _constants.setdefault(kernel, {}), (kind, indices, device)
    if key in kept:
        return kept[key]
    with _beside_traces():
        tensor = torch.from_numpy(_MAKERS[kind](kernel, *indices).copy()).to(device, choose_matrix_dtype(device))
    if type(tensor) is torch.Tensor:
        kept[key] = tensor  # never a fake one, whose trace ends before the kernel does
    return tensor
