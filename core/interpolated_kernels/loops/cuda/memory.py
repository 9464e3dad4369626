"""Arrays on a GPU: found, viewed, made, laid out, and copied to and fro, on the current stream."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from interpolated_kernels.loops.cuda.compile import SIMULATES, check_ready, cuda, current_stream, devicearray, driver

RELEASES: list[Callable[[], bool]] = []
"""What gives memory back that is kept for later, and says whether there was any."""


def view(name: str, value: Any) -> Any:
    """Return an array of any library as one of numba's, without a copy, once the stream that it names is done.

    Raises
    ------
    TypeError
        For a dtype that numba does not know, and for a tensor that its library does not share as it is.
    ValueError
        For an array whose memory was released.
    """
    if SIMULATES:
        return value
    check_ready()
    try:
        interface = value.__cuda_array_interface__
        if math.prod(interface["shape"]) and not interface["data"][0]:
            raise ValueError(f"`{name}` has no memory: what it was on the GPU has been released.")
        with on_device(find_device(value, name)):  # numba takes an array for one of the current GPU's
            return cuda.as_cuda_array(value)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise TypeError(f"`{name}` must be an array that can be shared on the GPU: {error}") from error


def find_device(array: Any, name: str = "array") -> int:
    """Return the number of the GPU that an array lives on, as the driver knows it by its pointer.

    Raises
    ------
    ValueError
        For a pointer that the driver does not know: the array's memory was released.
    """
    check_ready()
    pointer = 0 if SIMULATES else array.__cuda_array_interface__["data"][0]
    if not pointer:
        return current_device()
    attribute = driver.binding.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    try:
        return int(driver.driver.cuPointerGetAttribute(attribute, driver.binding.CUdeviceptr(pointer)))
    except Exception as error:  # every release has an error of its own for it
        raise ValueError(
            f"`{name}` must be an array on a GPU, and the driver does not know its memory: {error}"
        ) from error


def current_device() -> int:
    """Return the number of the current GPU; raise as `check_ready` where there is none."""
    check_ready()
    return 0 if SIMULATES else int(cuda.current_context().device.id)


def device_name() -> str:
    """Return the name of the current GPU; raise as `check_ready` where there is none."""
    check_ready()
    if SIMULATES:
        return "CUDA's simulator"
    name = cuda.current_context().device.name
    return name.decode() if isinstance(name, bytes) else str(name)


def synchronize() -> None:
    """Return when all that was launched on the current GPU is done."""
    cuda.synchronize()


def on_device(number: int) -> AbstractContextManager[Any]:
    """Hold a GPU as the current one."""
    context: AbstractContextManager[Any] = cuda.gpus[number]
    return context


def empty(shape: Any, dtype: Any) -> Any:
    """Return an array whose values are not written yet.

    Raises
    ------
    MemoryError
        With the size that there is no room for.
    """
    sizes = tuple(int(n) for n in shape)
    try:
        return cuda.device_array(sizes, dtype, stream=current_stream())
    except Exception as error:  # every binding of the driver has an error of its own
        if "OUT_OF_MEMORY" not in str(error):
            raise
        for release in RELEASES:
            if release():
                return empty(shape, dtype)
        n_bytes = math.prod(sizes) * np.dtype(dtype).itemsize
        raise MemoryError(f"The GPU has no room for {n_bytes} bytes.") from error


def upload(array: Any) -> Any:
    """Return a copy of a NumPy array on the GPU, done: it may be kept, and be read on other streams than this one."""
    stream = current_stream()
    copy = cuda.to_device(np.ascontiguousarray(array), stream=stream)
    (stream or cuda.default_stream()).synchronize()
    return copy


def download(array: Any) -> Any:
    """Return a copy on the host, when all that was launched before is done."""
    with on_device(find_device(array)):
        return array.copy_to_host(stream=current_stream())


def is_laid_out(array: Any) -> bool:
    """Return whether an array is C-contiguous."""
    step = array.dtype.itemsize
    for size, stride in zip(array.shape[::-1], array.strides[::-1], strict=True):
        if size > 1 and stride != step:
            return False
        step *= size
    return True


def shares_memory(left: Any, right: Any) -> bool:
    """Return whether two arrays reach into each other's memory: as ranges, gaps between strides not looked at."""
    if SIMULATES:
        return bool(np.shares_memory(left._ary, right._ary))
    (left_low, left_high), (right_low, right_high) = _find_range(left), _find_range(right)
    return left_low < right_high and right_low < left_high


def _find_range(array: Any) -> tuple[int, int]:
    start = array.__cuda_array_interface__["data"][0]
    reach = [stride * (size - 1) for stride, size in zip(array.strides, array.shape, strict=True)]
    if array.size == 0:
        return start, start
    return start + sum(min(0, each) for each in reach), start + sum(
        max(0, each) for each in reach
    ) + array.dtype.itemsize


def flatten(array: Any) -> Any:
    """Return the values of a C-contiguous array in one row."""
    return array.reshape(array.size)


def with_axes(array: Any, n: int) -> Any:
    """Return a view with axes of one cell before an array's own, n in all.

    Raises
    ------
    ValueError
        For an array of more axes.
    """
    if array.ndim > n:
        raise ValueError(f"Arrays on a GPU that are not C-contiguous must have at most {n} axes, got {array.shape}.")
    lead = n - array.ndim
    if SIMULATES:
        return type(array)(array._ary[(None,) * lead])
    shape, strides = (1,) * lead + array.shape, (0,) * lead + array.strides
    return devicearray.DeviceNDArray(shape, strides, array.dtype, gpu_data=array.gpu_data)
