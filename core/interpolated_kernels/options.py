"""Options of a convolution: as they are written, one frozen object, and as they are settled, one entry an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from interpolated_kernels.arguments import as_int, check_choice, is_sequence, show

Pairs: TypeAlias = tuple[tuple[int, int], ...]

Cells: TypeAlias = int | Sequence[int]
Padding: TypeAlias = str | int | Sequence[int | Sequence[int]]
PaddingMode: TypeAlias = str | Sequence[str]

PADDING_MODES = ("circular", "reflect", "replicate", "symmetric", "zeros")
ACCURACIES = ("componentwise", "normwise")
MISSING = ("propagate", "renormalize")


@dataclass(frozen=True)
class Options:
    """What is asked of a convolution beside its arrays and its kernel, as `conv` takes it, in a form that hashes.

    Sequences become tuples and NumPy's ints become ints. What is no int, nor a word where one is asked for, raises
    here, since True and 1.0 would equal 1 wherever options are a key; all else is checked where it meets shapes, in
    `problem.describe`.

    Raises
    ------
    TypeError
        For a bool, a float and whatever else is neither an int nor a word.

    Examples
    --------
    >>> Options(stride=[2, 1]) == Options(stride=(2, 1))
    True
    """

    stride: Cells = 1
    padding: Padding = "valid"
    padding_mode: PaddingMode = "zeros"
    dilation: Cells = 1
    groups: int = 1
    path: str = "auto"
    accuracy: str = "componentwise"
    missing: str = "propagate"
    max_memory: int | None = None

    def __post_init__(self) -> None:
        written = (
            self.stride, self.padding, self.padding_mode, self.dilation, self.groups, self.path, self.accuracy,
            self.missing, self.max_memory,
        )  # fmt: skip
        if not _HASHABLE.issuperset(map(type, written)):  # most are written right, and a small call is felt
            for name, value in zip(self.__dataclass_fields__, written, strict=True):
                object.__setattr__(self, name, _freeze(name, value))


_HASHABLE = frozenset({int, str, type(None)})
_WORDS = ("padding_mode", "path", "accuracy", "missing")

CONV_OPTIONS = tuple(Options.__dataclass_fields__)


def _is_frozen(value: Any) -> bool:
    kind = type(value)
    return kind in _HASHABLE or (kind is tuple and all(map(_is_frozen, value)))


def _freeze(name: str, value: Any) -> Any:
    """Return an option as an int, a word, None, or tuples of them."""
    if _is_frozen(value) or isinstance(value, str):
        return value
    if is_sequence(value):
        return tuple(_freeze(name, entry) for entry in value)
    if name in _WORDS:
        raise TypeError(f"`{name}` must be a word, got {show(value)}.")
    return as_int(name, value)


def per_axis(name: str, value: Any, d: int, minimum: int) -> tuple[int, ...]:
    """Return an option as one int a spatial axis; an int stands for all.

    Raises
    ------
    TypeError, ValueError
        For what is not an int or below the minimum, or another number of entries.
    """
    return tuple(as_int(name, entry, minimum) for entry in _repeat(name, value, d, "an int"))


def modes_per_axis(value: PaddingMode, d: int) -> tuple[str, ...]:
    """Return `padding_mode` as one word a spatial axis; a word stands for all.

    Raises
    ------
    ValueError
        For an unknown word, or another number of them.
    """
    modes = _repeat("padding_mode", value, d, "one mode")
    for mode in modes:
        check_choice("padding_mode", mode, PADDING_MODES)
    return tuple(map(str, modes))


def _repeat(name: str, value: Any, d: int, one: str) -> tuple[Any, ...]:
    """Return an option's entries, one a spatial axis; what is no sequence stands for all."""
    entries = tuple(value) if is_sequence(value) else (value,) * d
    if len(entries) != d:
        raise ValueError(f"`{name}` must be {one} or have {d} entries, one a spatial axis, got {show(value)}.")
    return entries


def as_padding(
    padding: Padding,
    spatial: tuple[int, ...],
    window: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Pairs:
    """Return padding as (before, after) pairs, one a spatial axis.

    Raises
    ------
    TypeError, ValueError
        For what `conv` does not take.
    """
    d = len(window)
    reaches = [(cells - 1) * step for cells, step in zip(window, dilation, strict=True)]
    if isinstance(padding, str):
        check_choice("padding", padding, ("valid", "same", "causal"))
        if padding == "valid":
            return ((0, 0),) * d
        if padding == "causal":
            if d != 1:
                raise ValueError(f"`padding`='causal' needs one spatial axis, got {d}.")
            return ((reaches[0], 0),)
        totals = [
            max((-(-size // step) - 1) * step + reach + 1 - size, 0)
            for size, step, reach in zip(spatial, stride, reaches, strict=True)
        ]
        return tuple((total // 2, total - total // 2) for total in totals)
    if is_sequence(padding) and any(map(is_sequence, padding)):
        pairs = tuple(per_axis("padding", entry, 2, 0) for entry in padding)
        if len(pairs) != d:
            raise ValueError(f"`padding` must have {d} (before, after) pairs, one a spatial axis, got {show(padding)}.")
        return tuple((before, after) for before, after in pairs)
    return tuple((entry, entry) for entry in per_axis("padding", padding, d, 0))


def check_shown(spatial: tuple[int, ...], modes: tuple[str, ...]) -> None:
    """Raise `ValueError` where padding has no cell to show: on an empty axis, unless it is of zeros."""
    for axis, (size, mode) in enumerate(zip(spatial, modes, strict=True)):
        if size == 0 and mode != "zeros":
            raise ValueError(
                f"`padding_mode`={mode!r} needs a cell to show on spatial axis {axis}, which is empty: use 'zeros'."
            )
