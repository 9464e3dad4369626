"""The checks that a single argument passes: what came becomes what is meant, or raises.

Every message names the argument in backticks, the rule, what came, cut short, and what to do where the rule does not
say. So a caller writes `as_int("groups", groups, minimum=1)` and has an int, or its user has the whole story. What two
arguments must have in common, such as shapes, is checked where they meet.
"""

from __future__ import annotations

import functools
import inspect
import math
import os
from collections.abc import Callable, Collection, Sequence
from numbers import Real
from typing import Any, ParamSpec, TypeGuard, TypeVar

import numpy as np

from interpolated_kernels.arrays import FloatArray, is_on_gpu, is_supported
from interpolated_kernels.lazy import cuda_loops

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_SHOWN_CHARACTERS = 80
_LARGEST_INT = 2**63 - 1  # what an index can be


def show(value: Any) -> str:
    """Return what came in one short line: its repr cut in the middle, or its type where that cannot be had."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # any object may come, and its repr may raise anything: so does that of an int of 5000 digits
        return f"a value of type {type(value).__name__}"
    half = _SHOWN_CHARACTERS // 2
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:half]} ... {text[-half:]}"


def is_sequence(value: Any) -> TypeGuard[Sequence[Any]]:
    """Return whether a value has entries in an order and an end: a list, tuple, range or array, but no text."""
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))


def is_int(value: Any) -> bool:
    """Return whether a value is an int, Python's or NumPy's, and no bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def as_int(name: str, value: Any, minimum: int | None = None, maximum: int = _LARGEST_INT) -> int:
    """Return an int of Python's; raise `TypeError` for another type, `ValueError` where it is out of its range."""
    if not is_int(value):
        raise TypeError(f"`{name}` must be an int, got {show(value)}.")
    if (minimum is not None and value < minimum) or value > maximum:
        lower = "" if minimum is None else f"at least {minimum}"
        upper = "" if maximum == _LARGEST_INT and lower and value < maximum else f"at most {maximum}"
        raise ValueError(f"`{name}` must be {' and '.join(filter(None, (lower, upper)))}, got {show(value)}.")
    return int(value)


def as_number(name: str, value: Any, minimum: float | None = None, *, is_positive: bool = False) -> float:
    """Return a finite float; raise `TypeError` for what is no real number, `ValueError` for one out of its range."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"`{name}` must be a real number, got {show(value)}.")
    try:
        number = float(value)
    except OverflowError:  # an int beyond the largest float
        number = math.inf
    is_large_enough = (minimum is None or number >= minimum) and not (is_positive and number <= 0)
    if not (math.isfinite(number) and is_large_enough):
        least = " and positive" if is_positive else "" if minimum is None else f" and at least {minimum:g}"
        raise ValueError(f"`{name}` must be finite{least}, got {show(value)}.")
    return number


def as_flag(name: str, value: Any) -> bool:
    """Return a bool; raise `TypeError` for what only acts as one, such as the text "false"."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be True or False, got {show(value)}.")
    return bool(value)


def check_choice(name: str, value: Any, allowed: Collection[str]) -> None:
    """Raise `ValueError` unless the value is one of the words allowed."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(allowed)}, got {show(value)}.")


def as_shape(name: str, value: Any) -> tuple[int, ...]:
    """Return the shape of an array that is not there, as a tuple of ints of at least 0.

    Raises
    ------
    TypeError, ValueError
        For what is no sequence of ints, or a negative one.
    """
    if not is_sequence(value) or not all(map(is_int, value)):
        raise TypeError(f"`{name}` must be a shape, a tuple of ints, got {show(value)}.")
    return tuple(as_int(name, size, minimum=0) for size in value)


def as_path(name: str, value: Any) -> str:
    """Return the path of a file as a text; raise `TypeError` for what is no path."""
    try:
        return os.fsdecode(value)
    except TypeError:
        raise TypeError(f"`{name}` must be a path, a text or an os.PathLike, got {show(value)}.") from None


def as_generator(name: str, value: Any) -> np.random.Generator:
    """Return NumPy's random generator, of a seed or the one that came; raise `TypeError` or `ValueError` for others."""
    try:
        return np.random.default_rng(value)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"`{name}` must be a numpy.random.Generator, or an int of at least 0 as a seed, got {show(value)}."
        ) from None


def read_array(name: str, value: Any) -> FloatArray:
    """Return a value as an array of whatever dtype it has.

    Raises
    ------
    TypeError
        For a masked array, whose mask would be lost, and for what gives no array.
    ValueError
        For nested sequences of different lengths.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"`{name}` must not be a masked array, whose mask would be lost: leave out what is masked, or pass "
            f"`{name}.filled(value)`."
        )
    try:
        return np.asarray(value)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise ValueError(f"`{name}` must be an array, got {show(value)}: {error}") from error
        raise ValueError(f"`{name}` must be an array: its nested sequences have different lengths.") from None
    except (TypeError, RuntimeError) as error:  # as frameworks raise for tensors that NumPy cannot read
        raise TypeError(f"`{name}` must be an array, got {type(value).__name__}: {error}") from error


def as_reals(name: str, value: Any) -> FloatArray:
    """Return an array of real numbers, ints or floats, in the dtype that it has.

    Raises
    ------
    TypeError, ValueError
        As `read_array`; for other dtypes, and for an array on a GPU.
    """
    if is_on_gpu(value):
        raise TypeError(f"`{name}` must live on the CPU, and lives on a GPU: arrays are never moved silently. Copy it.")
    array = read_array(name, value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"`{name}` must be real numbers, got {show(value)} of dtype {array.dtype}.")
    return array


def as_floats(name: str, value: Any) -> FloatArray:
    """Return `value` as an array of a supported floating dtype, or raise with the cast to write.

    Raises
    ------
    TypeError
        For masked, integer, bool, complex, object and other arrays that are not float16, bfloat16, float32 or float64.
    ValueError
        For nested sequences of different lengths, and for an array on a GPU whose memory was released.
    """
    if type(value) is np.ndarray and is_supported(value.dtype):  # most are, and a small call is felt
        return value
    if is_on_gpu(value):
        array = cuda_loops.view(name, value)
        check_floating(name, array.dtype)
        return array
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"`{name}` must not be a masked array: pass `{name}.filled(numpy.nan)`, and missing='renormalize' where "
            "NaN is to count as missing."
        )
    array = read_array(name, value)
    if array.dtype.kind in "OSU":
        raise TypeError(
            f"`{name}` must be float16, bfloat16, float32 or float64, got {show(value)} of dtype {array.dtype}."
        )
    check_floating(name, array.dtype)
    return array


def check_floating(name: str, dtype: np.dtype[Any]) -> None:
    """Raise unless arrays of a dtype are taken; the message holds the cast to write.

    Raises
    ------
    TypeError
        For everything but float16, bfloat16, float32 and float64.
    """
    if is_supported(dtype):
        return
    if dtype.kind in "iub":
        raise TypeError(
            f"`{name}` must be a floating array, got {dtype}: integers are never cast silently. "
            f"Write `{name}.astype(numpy.float32)` or `{name}.astype(numpy.float64)`."
        )
    if dtype.kind == "c":
        raise TypeError(f"`{name}` must be real, got {dtype}: pass `{name}.real` and `{name}.imag` one after another.")
    raise TypeError(
        f"`{name}` must be float16, bfloat16, float32 or float64, got {dtype}: "
        f"convert it first, for example with `numpy.asarray({name}, dtype=numpy.float64)`."
    )


def names_options(
    *others: str,
) -> Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]:
    """Let a public function refuse unknown arguments by its own name, and say which it takes.

    Parameters
    ----------
    *others : str
        What a function with `**options` takes beside its own keywords.

    Examples
    --------
    >>> @names_options()
    ... def blur(x, *, radius=1.0): ...
    >>> blur(0, radios=2)
    Traceback (most recent call last):
    TypeError: `radios` is no argument of `blur`, which takes `x`, `radius`.
    """

    def decorate(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        parameters = inspect.signature(function).parameters.values()
        names = [entry.name for entry in parameters if entry.kind is not entry.VAR_KEYWORD]
        taken = tuple(dict.fromkeys(name for name in (*names, *others) if name != "self"))

        @functools.wraps(function)
        def call(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
            try:
                return function(*args, **kwargs)
            except TypeError:  # only then are names looked at: a small call is felt
                unknown = next((name for name in kwargs if name not in taken), None)
                if unknown is None:
                    raise
            owner, listed = function.__qualname__.removesuffix(".__init__"), ", ".join(f"`{name}`" for name in taken)
            raise TypeError(f"`{unknown}` is no argument of `{owner}`, which takes {listed}.")

        return call

    return decorate
