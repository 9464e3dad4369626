"""The description of a kernel: where its anchors stand, its window, and how the rest is filled. No weights."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.anchors import as_positions, as_widths, as_window
from interpolated_kernels.arguments import check_choice, is_sequence, names_options, show
from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.caching import Cache
from interpolated_kernels.errors import AnchorError, ignore_anchor_warnings, warn_of_anchors
from interpolated_kernels.interpolation import Interpolator, as_interpolator, read_document, write_document
from interpolated_kernels.structure import Factors, Structure, find_factors

CHANNEL_MODES = ("separate", "tied", "interpolated")


@dataclass(frozen=True, eq=False, repr=False, init=False)
class InterpolatedKernel:
    """A convolution kernel described by anchors: positions, a window and an interpolator.

    Parameters
    ----------
    positions : array_like, window cells
        `(n, d)`, shared by all filters; `(filters, n, d)`; or `(filters, channels_per_group, n, d)`. The first cell's
        centre is 0 on every axis, axes in array order. d is 1, 2 or 3 (with `channel_mode="interpolated"` one more
        column: the channel).
    window : int or tuple of int
        The dense kernel's shape; an int stands for every axis.
    interpolator : str or Interpolator, default "polyharmonic"
        A name from `interpolators()` or an instance, `Polyharmonic(order=3)`.
    channel_mode : {"separate", "tied", "interpolated"}
        "separate": weights `(filters, channels_per_group, n)`. "tied": one kernel for all channels of a group, weights
        `(filters, n)`. "interpolated": the last column of positions and the last entry of window are the channel axis,
        weights `(filters, n)`.
    widths : array_like, optional
        For interpolators that have them: in the positions' shape for "gaussian" and "triangle", `(..., n)` for "cone".

    Raises
    ------
    TypeError, ValueError
        For a wrong type, shape or option.
    AnchorError
        For positions that the interpolator cannot serve: NaN, duplicates, off the grid, off the window.

    Warns
    -----
    AnchorWarning
        Once, at construction: anchors on a line or plane, across which the kernel has no slope.

    Examples
    --------
    >>> from interpolated_kernels import InterpolatedKernel, grid_positions
    >>> InterpolatedKernel(grid_positions((31, 31), 5), (31, 31), "linear")
    InterpolatedKernel(49 anchors, window 31x31, Linear())
    """

    positions: FloatArray
    window: tuple[int, ...]
    interpolator: Interpolator
    channel_mode: str
    widths: FloatArray | None

    @names_options()
    def __init__(
        self,
        positions: Any,
        window: int | Sequence[int],
        interpolator: str | Interpolator = "polyharmonic",
        *,
        channel_mode: str = "separate",
        widths: Any = None,
    ) -> None:
        fields: dict[str, Any] = {"positions": as_positions(positions)}
        fields["interpolator"] = as_interpolator(interpolator)
        check_choice("channel_mode", channel_mode, CHANNEL_MODES)
        fields["channel_mode"] = channel_mode
        fields["window"] = as_window(window, fields["positions"].shape[-1])
        fields["widths"] = None if widths is None else _as_widths(widths, fields["positions"], fields["interpolator"])
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        self._check_dimensions()
        self._check_anchors()

    def _check_dimensions(self) -> None:
        if not 1 <= self.n_dims <= 3:
            raise ValueError(
                "`positions` must have 1, 2 or 3 spatial columns"
                f"{' and a channel column' if self.interpolates_channels else ''}, "
                f"got shape {self.positions.shape} with channel_mode={self.channel_mode!r}."
            )
        if self.positions.ndim == 4 and self.channel_mode != "separate":
            raise ValueError(
                "`positions` of shape (filters, channels_per_group, n, d) give every channel its own kernel and need "
                f"channel_mode='separate', got {self.channel_mode!r}."
            )

    def _check_anchors(self) -> None:
        notes = {}
        for index, positions in enumerate(self.position_sets):
            try:
                note = self.interpolator.check(positions, self.window)
            except AnchorError as error:
                where = "" if self.shares_positions else f" (in position set {index})"
                raise AnchorError(f"{error}{where}") from None
            if note is not None:
                notes[index] = note
        if notes:
            more = f" ({len(notes)} of {len(self.position_sets)} position sets)" if len(self.position_sets) > 1 else ""
            # past `__init__` and `names_options`
            warn_of_anchors(next(iter(notes.values())) + more, stacklevel=4)

    @property
    def interpolates_channels(self) -> bool:
        """Whether the last axis of the window is the channel axis."""
        return self.channel_mode == "interpolated"

    @property
    def n_anchors(self) -> int:
        """The number of anchors of one kernel."""
        return int(self.positions.shape[-2])

    @property
    def n_dims(self) -> int:
        """The number of spatial axes: 1, 2 or 3."""
        return int(self.positions.shape[-1]) - self.interpolates_channels

    @property
    def spatial_window(self) -> tuple[int, ...]:
        """The window's shape without the channel axis."""
        return self.window[: self.n_dims]

    @functools.cached_property
    def shares_positions(self) -> bool:
        """Whether all filters and channels have the same positions (and widths), listed once or repeated."""
        lists = [self.collapse_sets(values) for values in (self.positions, self.widths) if values is not None]
        return all(bool((values == values[:1]).all()) for values in lists)

    @functools.cached_property
    def position_sets(self) -> FloatArray:
        """The `(sets, n, d)` position sets: one where shared, else one a filter, or a filter and channel."""
        sets = self.collapse_sets(self.positions)
        return sets[:1] if self.shares_positions else sets

    @functools.cached_property
    def width_sets(self) -> FloatArray | None:
        """The widths of every position set, `(sets, n, d)` or `(sets, n)`, or None."""
        return None if self.widths is None else self.collapse_sets(self.widths)[: len(self.position_sets)]

    def collapse_sets(self, values: FloatArray) -> FloatArray:
        """Return positions or widths `(sets, n, ...)`: the axes before the anchors' collapsed into one."""
        return values.reshape(-1, *values.shape[self.positions.ndim - 2 :])

    @property
    def matrix(self) -> FloatArray:
        """The interpolation matrix `A`, float64, read-only: `dense = A @ weights`.

        `(cells, n)` for shared positions, cells in C order of `window`; else `(filters, cells, n)` or
        `(filters, channels_per_group, cells, n)`. Computed once for equal kernels and kept in a bounded cache.

        Raises
        ------
        AnchorError
            If the anchors are too ill-conditioned for the interpolator.
        """
        stack = self.matrices
        return stack[0] if self.shares_positions else stack.reshape(*self.positions.shape[:-2], *stack.shape[1:])

    @property
    def matrices(self) -> FloatArray:
        """The stack of interpolation matrices, one a position set: `(sets, cells, n)`, read-only."""
        return _MATRICES.get(self, lambda: _make_matrices(self))

    @property
    def nbytes(self) -> int:
        """The bytes of positions and widths."""
        return self.positions.nbytes + (0 if self.widths is None else self.widths.nbytes)

    @functools.cached_property
    def structure(self) -> Structure:
        """What a planner may know: sharing, separability, classes an axis, support. Never values of weights."""
        factors = find_factors(self.interpolator, self.position_sets, self.window) if self.shares_positions else None
        support = self.interpolator.supports(self.position_sets, self.window, self.width_sets)
        if support is None:  # only the rows of `A` tell
            support = self.matrices.any(axis=-1).reshape(-1, *self.window)
        same = bool((support == support[:1]).all())
        return Structure(self.shares_positions, factors, support[:1] if same else support)

    def factors(self) -> Factors:
        """Return, per axis, the classes of the 1-D matrix's columns: profiles, and per node a class and a shift.

        Raises
        ------
        ValueError
            If the kernel is not a tensor product on shared positions.
        """
        if self.structure.factors is None:
            raise ValueError(f"`factors` needs a tensor-product interpolator on shared positions, got {self!r}.")
        return self.structure.factors

    def replace(self, **changes: Any) -> InterpolatedKernel:
        """Return a kernel with some of the constructor's arguments changed.

        Raises
        ------
        TypeError, ValueError, AnchorError
            As the constructor.
        """
        return InterpolatedKernel(**{**self._arguments(), **changes})

    def resized(self, window: int | Sequence[int]) -> InterpolatedKernel:
        """Return the same anchors in another window: positions and widths scale by `(new - 1) / (old - 1)`.

        Radii of cones are shares of the window already, and stay.

        Raises
        ------
        ValueError
            If an axis of one cell is to grow: its anchors have no spacing to scale.
        """
        new, old = np.array(as_window(window, len(self.window))), np.array(self.window)
        if ((old == 1) & (new != 1)).any():
            raise ValueError(
                f"`window` cannot grow from {self.window} to {tuple(new)}: an axis of one cell has no spacing to scale."
            )
        scale = np.where(old == 1, 1.0, (new - 1) / np.maximum(old - 1, 1))
        widths = self.widths
        if widths is not None and self.interpolator.width_axes == 1:
            widths = widths * scale
        return self.replace(positions=self.positions * scale, window=tuple(map(int, new)), widths=widths)

    def to_dict(self) -> dict[str, Any]:
        """Return the kernel as plain Python values, which JSON can hold; `from_dict` gives an equal kernel."""
        return {
            "positions": self.positions.tolist(),
            "window": list(self.window),
            "interpolator": write_document(self.interpolator),
            "channel_mode": self.channel_mode,
            "widths": None if self.widths is None else self.widths.tolist(),
        }

    @classmethod
    def from_dict(cls, spec: Mapping[str, Any]) -> InterpolatedKernel:
        """Return the kernel of a `to_dict` document.

        Raises
        ------
        TypeError, ValueError, AnchorError
            For what is no mapping, an unknown or missing key, or an unknown interpolator; else as the constructor.
        """
        if not isinstance(spec, Mapping):
            raise TypeError(f"`spec` must be a mapping such as `to_dict` gives, got {show(spec)}.")
        expected = set(cls.__dataclass_fields__)
        if set(spec) != expected:
            raise ValueError(f"`spec` must have the keys {sorted(expected)}, got {show(list(spec))}.")
        if not is_sequence(spec["window"]):
            raise TypeError(f"`window` must be a list of ints in a document, got {show(spec['window'])}.")
        return cls(
            spec["positions"],
            spec["window"],
            read_document(spec["interpolator"]),
            channel_mode=spec["channel_mode"],
            widths=spec["widths"],
        )

    def _arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @functools.cached_property
    def _key(self) -> tuple[Any, ...]:
        widths = None if self.widths is None else (self.widths.shape, self.widths.tobytes())
        positions = (self.positions.shape, self.positions.tobytes())
        return positions, self.window, self.interpolator, self.channel_mode, widths

    @functools.cached_property
    def _hash(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, InterpolatedKernel) and self._hash == other._hash and self._key == other._key

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._arguments(),)

    def __repr__(self) -> str:
        sets = "" if self.positions.ndim == 2 else f" x {len(self.collapse_sets(self.positions))} sets"
        mode = "" if self.channel_mode == "separate" else f", channels {self.channel_mode}"
        window = "x".join(map(str, self.window))
        return f"InterpolatedKernel({self.n_anchors} anchors{sets}, window {window}, {self.interpolator}{mode})"


def _rebuild(arguments: dict[str, Any]) -> InterpolatedKernel:
    with ignore_anchor_warnings():
        return InterpolatedKernel(**arguments)


def _as_widths(widths: Any, positions: FloatArray, interpolator: Interpolator) -> FloatArray:
    if interpolator.width_axes is None:
        raise ValueError(f"`widths` must be None for {interpolator}, which has none, got {type(widths).__name__}.")
    array = as_widths(widths, positions, interpolator.width_axes, str(interpolator))
    interpolator.check_widths(array)
    return array


_MATRICES: Cache[InterpolatedKernel, FloatArray] = Cache(
    512, 256 * 2**20, lambda kernel, matrices: kernel.nbytes + matrices.nbytes
)


def _make_matrices(kernel: InterpolatedKernel) -> FloatArray:
    widths = kernel.width_sets
    stack = np.stack([
        kernel.interpolator.matrix(positions, kernel.window, None if widths is None else widths[index])
        for index, positions in enumerate(kernel.position_sets)
    ])  # fmt: skip
    stack.flags.writeable = False
    return stack
