"""Loops that are compiled apart from their callers, and reached as symbols."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
from numba import types
from numba.extending import intrinsic

from interpolated_kernels.folders import keeps_files
from interpolated_kernels.loops.compile.cache import keep
from interpolated_kernels.loops.compile.jit import FLAGS
from interpolated_kernels.loops.compile.numba_parts import CFunc, binding, cgutils, ir
from interpolated_kernels.loops.compile.tables import read_fields, type_tables


def apart(name: str, family: str = "taps") -> Callable[[Callable[..., Any]], Any]:
    """Compile a loop once for each dtype, and let jitted callers reach it as a symbol of this name.

    numba optimises a jitted function again within every caller, and within the callers of those; what is called apart
    is compiled alone. The annotations of the loop's parameters say what it takes: see `tables`. Callers pass arrays or
    pointers, ints, and NamedTuples of these, floats of one dtype; `load_apart` must have run for it and its family.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if numba.config.DISABLE_JIT:
            return function
        kinds = list(read_fields(function).values())
        _APART.setdefault(family, {})[name] = function

        @intrinsic
        def call(typing_context, *given):
            floats = given[kinds.index("float")].dtype
            wanted = [type_tables(kind, floats) for kind in kinds]

            def generate(context, builder, signature, values):
                passed = [
                    _convert(context, builder, builder.extract_value(values[0], index), value_type, wanted[index])
                    for index, value_type in enumerate(signature.args[0].types)
                ]
                packer = context.get_arg_packer(wanted)
                function_type = ir.FunctionType(ir.VoidType(), list(packer.argument_types))
                symbol = cgutils.get_or_insert_function(builder.module, function_type, _symbol(name, floats))
                builder.call(symbol, packer.as_arguments(builder, passed))
                return context.get_dummy_value()

            return types.void(types.StarArgTuple(given)), generate

        return call

    return decorate


def _convert(context: Any, builder: Any, value: Any, value_type: Any, wanted: Any) -> Any:
    """Return a value as the wanted type: an array as its pointer, a tuple field by field."""
    if isinstance(wanted, types.BaseTuple):
        fields = [
            _convert(context, builder, builder.extract_value(value, index), field_type, field)
            for index, (field_type, field) in enumerate(zip(value_type.types, wanted.types, strict=True))
        ]
        return context.make_tuple(builder, wanted, fields)
    if isinstance(value_type, types.Array):
        return context.make_array(value_type)(context, builder, value).data
    return value if value_type == wanted else context.cast(builder, value, value_type, wanted)


def _symbol(name: str, dtype: Any) -> str:
    """Return the name of a loop for a dtype in the whole process."""
    return f"interpolated_kernels_{name}_{dtype}"


_APART: dict[str, dict[str, Callable[..., Any]]] = {}


def load_apart(dtype: Any, *families: str) -> None:
    """Compile, or load, the loops of families that are called apart for a NumPy dtype, before their callers."""
    for family in families:
        _load_family(dtype, family)


@functools.cache
def _load_family(dtype: Any, family: str) -> None:
    floats = getattr(types, dtype.name)
    for name, function in _APART.get(family, {}).items():
        signature = types.void(*(type_tables(kind, floats) for kind in read_fields(function).values()))
        loop = CFunc(function, (signature.args, signature.return_type), {}, {"error_model": "numpy", "fastmath": FLAGS})
        if keeps_files():
            keep(loop)
        loop.compile()
        binding.add_symbol(_symbol(name, dtype), loop.address)
        _LOADED.append(loop)


_LOADED: list[Any] = []
