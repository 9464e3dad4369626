"""Formulas on vectors that are written once: LLVM's instructions with a compiler, NumPy's without one.

numba calls a formula while it compiles: its `+` and `*` write instructions then. What a formula is given stands for a
jitted caller's arguments: a `Strip` of vectors, a table of numbers, or a whole number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import config, types
from numba.extending import intrinsic

from interpolated_kernels.loops.compile.numba_parts import cgutils, ir
from interpolated_kernels.loops.compile.tables import Floats
from interpolated_kernels.loops.tiles.vectors import VectorType, broadcast, count_bytes, load_data
from interpolated_kernels.tile_sizes import count_lanes


class Strip(NamedTuple):
    """Vectors in an array of floats: the first one's place, and from one to the next."""

    data: Floats
    start: int
    step: int


class _Vector:
    """A vector in the making."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def _other(self, other: Any) -> Any:
        if isinstance(other, _Vector):
            return other.value
        return ir.Constant(self.value.type, [float(other)] * self.value.type.count)

    def __add__(self, other: Any) -> _Vector:
        return _Vector(self.builder, self.builder.fadd(self.value, self._other(other)))

    def __sub__(self, other: Any) -> _Vector:
        return _Vector(self.builder, self.builder.fsub(self.value, self._other(other)))

    def __mul__(self, other: Any) -> _Vector:
        return _Vector(self.builder, self.builder.fmul(self.value, self._other(other)))

    def __abs__(self) -> _Vector:
        vector = self.value.type
        name = f"llvm.fabs.v{vector.count}f{8 * count_bytes(vector)}"
        function = cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(vector, [vector]), name)
        return _Vector(self.builder, self.builder.call(function, [self.value]))

    def interleave(self, other: _Vector) -> list[_Vector]:
        """Return the first halves' lanes in turn, and the second halves'."""
        count = self.value.type.count
        order = [lane + of * count for lane in range(count) for of in (0, 1)]
        kind = ir.VectorType(ir.IntType(32), count)
        halves = (ir.Constant(kind, half) for half in (order[:count], order[count:]))
        return [_Vector(self.builder, self.builder.shuffle_vector(self.value, other.value, half)) for half in halves]


class _Memory:
    """An array of floats: vectors from a place on, and single numbers in all lanes."""

    def __init__(self, context: Any, builder: Any, array_type: Any, array: Any) -> None:
        self.builder = builder
        self.data = load_data(context, builder, array_type, array)
        self.vector = context.get_value_type(VectorType(array_type.dtype))
        self.lanes: int = self.vector.count

    def _pointer(self, at: _Whole) -> Any:
        return self.builder.bitcast(self.builder.gep(self.data, [at.value]), self.vector.as_pointer())

    def load(self, at: _Whole) -> _Vector:
        return _Vector(self.builder, self.builder.load(self._pointer(at), align=count_bytes(self.vector)))

    def store(self, at: _Whole, value: _Vector) -> None:
        self.builder.store(value.value, self._pointer(at), align=count_bytes(self.vector))

    def number(self, at: _Whole) -> _Vector:
        value = self.builder.load(self.builder.gep(self.data, [at.value]))
        return _Vector(self.builder, broadcast(self.builder, value, self.vector))


class _Whole:
    """A whole number that the compiled code will know."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def _other(self, other: Any) -> Any:
        return other.value if isinstance(other, _Whole) else self.value.type(other)

    def __add__(self, other: Any) -> _Whole:
        return _Whole(self.builder, self.builder.add(self.value, self._other(other)))

    def __mul__(self, other: Any) -> _Whole:
        return _Whole(self.builder, self.builder.mul(self.value, self._other(other)))


class _Array:
    """What `_Memory` does, on a NumPy array."""

    def __init__(self, data: Any) -> None:
        self.data, self.lanes = data, count_lanes(data.dtype)

    def load(self, at: int) -> Any:
        return self.data[at : at + self.lanes].copy()

    def store(self, at: int, value: Any) -> None:
        self.data[at : at + self.lanes] = value

    def number(self, at: int) -> Any:
        return self.data[at]


class _Vectors:
    """A `Strip` as a formula sees it: vector `k`, `behind` floats further on."""

    def __init__(self, memory: Any, start: Any, step: Any) -> None:
        self.memory, self.start, self.step = memory, start, step
        self.lanes: int = memory.lanes

    def load(self, k: int, behind: Any = 0) -> Any:
        return self.memory.load(self.start + self.step * k + behind)

    def store(self, k: int, value: Any, behind: Any = 0) -> None:
        self.memory.store(self.start + self.step * k + behind, value)


def transpose(vectors: list[Any]) -> list[Any]:
    """Return vectors whose lane `i` in vector `j` was lane `j` in vector `i`."""
    if isinstance(vectors[0], np.ndarray):
        return list(np.stack(vectors).T)
    half, count = len(vectors) // 2, len(vectors)
    while count > 1:
        vectors = [part for k in range(half) for part in vectors[k].interleave(vectors[k + half])]
        count //= 2
    return vectors


def _read_argument(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    if isinstance(kind, types.BaseTuple):
        fields = [builder.extract_value(value, index) for index in range(len(kind))]
        memory = _read_argument(context, builder, kind.types[0], fields[0])
        whole = (context.cast(builder, field, kind.types[k], types.intp) for k, field in enumerate(fields) if k)
        return _Vectors(memory, *(_Whole(builder, number) for number in whole))
    if isinstance(kind, types.Integer | types.Boolean):
        return _Whole(builder, context.cast(builder, value, kind, types.intp))
    return _Memory(context, builder, kind, value)


def written(formula: Callable[..., None]) -> Any:
    """Return what jitted callers call: the formula's instructions in their place. No index is checked."""
    if config.DISABLE_JIT:

        def run(*given: Any) -> None:
            with np.errstate(invalid="ignore", over="ignore"):  # compiled code warns of neither
                formula(*map(_read_plainly, given))

        return run

    @intrinsic
    def call(typing_context, *given):
        def generate(context, builder, signature, values):
            kinds = signature.args[0].types
            formula(*(
                _read_argument(context, builder, kind, builder.extract_value(values[0], index))
                for index, kind in enumerate(kinds)
            ))  # fmt: skip
            return context.get_dummy_value()

        return types.void(types.StarArgTuple(given)), generate

    return call


def _read_plainly(given: Any) -> Any:
    if isinstance(given, Strip):
        return _Vectors(_Array(given.data), given.start, given.step)
    return _Array(given) if isinstance(given, np.ndarray) else given
