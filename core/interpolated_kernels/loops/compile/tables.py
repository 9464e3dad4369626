"""Tables by name: NamedTuples of numbers and arrays, packed into three arrays for a loop's shell, and opened within it.

numba unpacks and compiles few arguments far faster than many, so a shell takes what `pack` gives:

    numbers       [ one entry a field: an int, or where its array begins | int64 arrays, end to end ]
    offsets       [ int32 arrays, end to end ]
    coefficients  [ arrays of floats, end to end ]

The annotation of a field says what it is: `int`, `Numbers`, `Offsets`, `Floats`, or a NamedTuple of such fields. Inside
a loop an array is a pointer, so that a table is a handful of machine words.
"""

from __future__ import annotations

import functools
import itertools
import typing
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, TypeAlias

import numba
import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import intrinsic

from interpolated_kernels.loops.compile.numba_parts import ir

Numbers: TypeAlias = Annotated[npt.NDArray[Any], "int64"]
Offsets: TypeAlias = Annotated[npt.NDArray[Any], "int32"]
Floats: TypeAlias = Annotated[npt.NDArray[Any], "float"]
Doubles: TypeAlias = Annotated[npt.NDArray[Any], "float64"]


class Packed(NamedTuple):
    """Tables in three arrays."""

    numbers: npt.NDArray[Any]
    offsets: npt.NDArray[Any]
    coefficients: npt.NDArray[Any]


@functools.cache
def read_fields(kind: Any) -> dict[str, Any]:
    """Return what every field of a NamedTuple, or parameter of a function, is: "int", an array's dtype, or a class."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {name: _read_hint(hint) for name, hint in hints.items() if name != "return"}


def _read_hint(hint: Any) -> Any:
    if hint in (int, bool):
        return "int"
    return hint.__metadata__[0] if hasattr(hint, "__metadata__") else hint


def _flatten(tables: Any) -> Iterator[tuple[str, Any]]:
    """Yield kind and value of every number and array, depth first."""
    kind_of_tables: Any = type(tables)
    for value, kind in zip(tables, read_fields(kind_of_tables).values(), strict=True):
        if isinstance(kind, str):
            yield kind, value
        else:
            yield from _flatten(value)


def pack(tables: Any, dtype: Any) -> Packed:
    """Return a NamedTuple's numbers and arrays, floats in `dtype`."""
    flat = list(_flatten(tables))
    ends = {"int64": len(flat), "int32": 0, "float": 0}
    arrays: dict[str, list[npt.NDArray[Any]]] = {
        "int64": [np.zeros(len(flat), np.int64)], "int32": [np.zeros(0, np.int32)], "float": [np.zeros(0, dtype)],
    }  # fmt: skip
    for index, (kind, value) in enumerate(flat):
        arrays["int64"][0][index] = value if kind == "int" else ends[kind]
        if kind != "int":
            arrays[kind].append(np.ascontiguousarray(value, dtype if kind == "float" else kind).ravel())
            ends[kind] += arrays[kind][-1].size
    return Packed(*map(np.concatenate, arrays.values()))


def opener(kind: Any) -> Any:
    """Return the function from packed tables' three arrays back to a NamedTuple of a kind, for loops."""
    if numba.config.DISABLE_JIT:
        return lambda *arrays: _open_arrays(kind, arrays, itertools.count())

    @intrinsic
    def open_packed(typing_context, numbers, offsets, coefficients):
        arrays = dict(zip(_DTYPES, (numbers, offsets, coefficients), strict=True))

        def generate(context, builder, signature, packed):
            data = {
                dtype: context.make_array(arrays[dtype])(context, builder, array).data
                for dtype, array in zip(_DTYPES, packed, strict=True)
            }
            return _open_fields(context, builder, kind, signature.return_type, data, itertools.count())

        return type_tables(kind, coefficients.dtype)(numbers, offsets, coefficients), generate

    return open_packed


_DTYPES = ("int64", "int32", "float")


def type_tables(kind: Any, floats: Any) -> Any:
    """Return numba's type of a NamedTuple of a kind, of an array's pointer, or of a number."""
    if kind == "int":
        return types.int64
    if isinstance(kind, str):
        return types.CPointer(floats if kind == "float" else getattr(types, kind))
    return types.BaseTuple.from_types([type_tables(field, floats) for field in read_fields(kind).values()], kind)


def _open_fields(context: Any, builder: Any, kind: Any, kind_type: Any, data: Any, places: Iterator[int]) -> Any:
    values = []
    for field, field_type in zip(read_fields(kind).values(), kind_type.types, strict=True):
        if not isinstance(field, str):
            values.append(_open_fields(context, builder, field, field_type, data, places))
            continue
        number = builder.load(builder.gep(data["int64"], [ir.IntType(64)(next(places))]))
        values.append(number if field == "int" else builder.gep(data[field], [number]))
    return context.make_tuple(builder, kind_type, values)


def _open_arrays(kind: Any, arrays: Any, places: Iterator[int]) -> Any:
    """Do as `opener` without a compiler: pointers are what stands behind them."""
    numbers = arrays[0]
    return kind(*(
        _open_arrays(field, arrays, places) if not isinstance(field, str)
        else int(numbers[next(places)]) if field == "int"
        else arrays[_DTYPES.index(field)][numbers[next(places)] :]
        for field in read_fields(kind).values()
    ))  # fmt: skip
