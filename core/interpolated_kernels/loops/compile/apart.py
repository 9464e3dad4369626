"""Loops that are compiled apart from their callers, and reached as symbols."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.core.ccallback import CFunc
from numba.extending import intrinsic

from interpolated_kernels.loops.compile.cache import keep
from interpolated_kernels.loops.compile.jit import FLAGS


def apart(name: str, arguments: str) -> Callable[[Callable[..., Any]], Any]:
    """Compile a loop once for each dtype, and let jitted callers reach it as a symbol.

    numba optimises a jitted function again within every caller, and within the callers of those; what is called apart
    is compiled alone. The loop takes pointers and ints: `arguments` says for each "f" a pointer to the floats' dtype,
    "d" one to float64, "o" one to int32, "r" one to int64, "i" an int64. Callers pass arrays and ints, floats of one
    dtype; `load_apart` must have run for it.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if numba.config.DISABLE_JIT:
            return function
        _APART[name] = (function, arguments)

        @intrinsic
        def call(typing_context, *given):
            dtype = given[arguments.index("f")].dtype
            packed = types.StarArgTuple(given)

            def generate(context, builder, signature, values):
                passed = []
                for index, (kind, passed_type) in enumerate(zip(arguments, signature.args[0].types, strict=True)):
                    value = builder.extract_value(values[0], index)
                    if kind == "i":
                        passed.append(context.cast(builder, value, passed_type, types.int64))
                    else:
                        passed.append(context.make_array(passed_type)(context, builder, value).data)
                function_type = ir.FunctionType(ir.VoidType(), [value.type for value in passed])
                symbol = cgutils.get_or_insert_function(builder.module, function_type, _symbol(name, dtype))
                builder.call(symbol, passed)
                return context.get_dummy_value()

            return types.void(packed), generate

        return call

    return decorate


def _symbol(name: str, dtype: Any) -> str:
    """Return the name of a loop for a dtype in the whole process."""
    return f"interpolated_kernels_{name}_{dtype}"


_APART: dict[str, tuple[Callable[..., Any], str]] = {}


@functools.cache
def load_apart(dtype: Any) -> None:
    """Compile, or load, the loops that are called apart for a NumPy dtype, before their callers."""
    floats = getattr(types, dtype.name)
    pointers = {"f": floats, "d": types.float64, "o": types.int32, "r": types.int64}
    kinds = {kind: types.CPointer(pointed) for kind, pointed in pointers.items()}
    for name, (function, arguments) in _APART.items():
        signature = types.void(*(kinds.get(kind, types.int64) for kind in arguments))
        loop = CFunc(function, (signature.args, signature.return_type), {}, {"error_model": "numpy", "fastmath": FLAGS})
        if not os.environ.get("INTERPOLATED_KERNELS_NO_CACHE"):
            keep(loop)
        loop.compile()
        binding.add_symbol(_symbol(name, dtype), loop.address)
        _LOADED.append(loop)


_LOADED: list[Any] = []
