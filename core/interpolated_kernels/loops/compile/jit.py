"""The one jit decorator: what is compiled how."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba

from interpolated_kernels.folders import keeps_files
from interpolated_kernels.loops.compile.cache import keep

FLAGS = {"contract", "nsz"}
"""Fused multiply-add is welcome and the sign of zero is free; NaN and infinity are kept."""


def jit(
    function: Callable[..., Any] | None = None,
    *,
    parallel: bool = False,
    inner: bool = False,
    inlined: bool = False,
    returns_arrays: bool = False,
    reassociates: bool = False,
) -> Any:
    """Compile at the first call, without the interpreter's lock, and keep the result on disk.

    An `inner` function is called by jitted ones alone, and is spared the wrappers that Python needs. It does not count
    references to its arrays, which took a tenth of the time, unless it `returns_arrays` or calls what does. One that is
    `inlined` becomes part of its callers always, so that register tiles pass through no memory. One that
    `reassociates` sums in an order of the compiler's choice, the same in every run: dot products are vectorized so.
    """
    if function is None:
        return functools.partial(
            jit, parallel=parallel, inner=inner, inlined=inlined, returns_arrays=returns_arrays,
            reassociates=reassociates,
        )  # fmt: skip
    flags = FLAGS | {"reassoc"} if reassociates else FLAGS
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": returns_arrays} if inner else {}
    options |= {"forceinline": True} if inlined else {}
    dispatcher = numba.njit(nogil=True, error_model="numpy", fastmath=flags, parallel=parallel, **options)(function)
    if not numba.config.DISABLE_JIT and keeps_files():
        keep(dispatcher)
    return dispatcher
