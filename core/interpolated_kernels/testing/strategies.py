"""Hypothesis strategies for kernels and whole problems, small enough for the plain NumPy reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.convolution import conv, conv_backward
from interpolated_kernels.edge import infer_shape
from interpolated_kernels.errors import AnchorError, ignore_anchor_warnings
from interpolated_kernels.interpolation import (
    INTERPOLATORS,
    Interpolator,
    Polyharmonic,
    interpolators,
)
from interpolated_kernels.kernel import CHANNEL_MODES, InterpolatedKernel
from interpolated_kernels.options import PADDING_MODES
from interpolated_kernels.testing.comparison import assert_matches_reference
from interpolated_kernels.testing.drawing.drawer import BANKS
from interpolated_kernels.testing.drawing.kernels import DYADIC, VARIANTS
from interpolated_kernels.testing.oracle import describe_problem

_WINDOWS = {1: 12, 2: 9, 3: 4}
_MOST_CELLS = {1: 12, 2: 45, 3: 27}
_MOST_PRODUCTS = 60_000


@dataclass(frozen=True, eq=False, repr=False)
class Case:
    """One convolution with its arrays: what `conv` and `conv_backward` take."""

    x: FloatArray
    weights: FloatArray
    grad_y: FloatArray
    kernel: InterpolatedKernel
    options: dict[str, Any]

    def __repr__(self) -> str:
        arguments = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"Case(x {self.x.dtype}{self.x.shape}, weights {self.weights.shape}, {self.kernel!r}{arguments})"

    def conv(self, **options: Any) -> FloatArray:
        """Return y."""
        return conv(self.x, self.weights, self.kernel, **self.options, **options)

    def conv_backward(self, **options: Any) -> dict[str, FloatArray]:
        """Return the gradients by x and weights, by the names that `assert_matches_reference` knows."""
        grads = conv_backward(self.grad_y, self.x, self.weights, self.kernel, **self.options, **options)
        assert grads.x is not None
        assert grads.weights is not None
        return {"grad_x": grads.x, "grad_weights": grads.weights}

    def results(self, **options: Any) -> dict[str, FloatArray]:
        """Return y and both gradients."""
        return {"y": self.conv(**options), **self.conv_backward(**options)}

    def assert_matches(self, quantity: str, actual: FloatArray, **checks: Any) -> float:
        """Raise unless `actual` is this case's result within the bounds; see `assert_matches_reference`."""
        return assert_matches_reference(
            actual, self.x, self.weights, self.kernel, quantity=quantity, grad_y=self.grad_y, **self.options, **checks
        )

    def replace(self, **changes: Any) -> Case:
        """Return a case with some of its fields changed."""
        return replace(self, **changes)


@st.composite
def windows(draw: st.DrawFn, n_dims: int) -> tuple[int, ...]:
    """Even, odd and non-square windows of up to some dozens of cells."""
    window: tuple[int, ...] = ()
    left = _MOST_CELLS[n_dims]
    for _ in range(n_dims):
        window += (draw(st.integers(1, min(left, _WINDOWS[n_dims]))),)
        left //= window[-1]
    return tuple(draw(st.permutations(window)))


@st.composite
def interpolator_instances(draw: st.DrawFn, names: Sequence[str] | None = None) -> Interpolator:
    """All registered interpolators, with drawn options where these are known here."""
    name = draw(st.sampled_from(sorted(interpolators() if names is None else names)))
    if name != "polyharmonic":
        return INTERPOLATORS[name](**draw(st.sampled_from(VARIANTS.get(name, [{}]))))
    order = draw(st.integers(1, 5))
    smoothing = draw(st.sampled_from([0.0, 0.0, 0.1])) if order < 4 else 0.0
    return Polyharmonic(order, smoothing, draw(st.integers(1 if order > 1 else 0, 1)))


@st.composite
def anchors(
    draw: st.DrawFn, interpolator: Interpolator, window: tuple[int, ...], n: int | Sequence[int], dyadic: bool = False
) -> FloatArray:
    """Distinct anchors that the interpolator takes, in any order: a grid of shape `n`, or `n` scattered ones."""
    if interpolator.needs_grid:
        assert not isinstance(n, int)
        is_uniform = getattr(interpolator, "needs_uniform_grid", False)
        axes = [draw(_coordinates(cells, count, dyadic, is_uniform)) for cells, count in zip(window, n, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(window))
        return grid[draw(st.permutations(range(len(grid))))]
    assert isinstance(n, int)
    if interpolator.whole_cells:
        return np.array(draw(st.permutations(list(np.ndindex(*window)))))[:n].astype(np.float64)
    halves = st.tuples(*(st.integers(-2, 2 * cells) for cells in window))
    return np.array(draw(st.lists(halves, min_size=n, max_size=n, unique=True))) / 2.0


@st.composite
def _coordinates(draw: st.DrawFn, cells: int, count: int, dyadic: bool, is_uniform: bool) -> FloatArray:
    """Sorted coordinates of one axis, thirds of cells; dyadic ones are whole and a power of two apart."""
    if is_uniform:
        return (draw(st.integers(-2, 3 * cells)) + draw(st.integers(1, 6)) * np.arange(count)) / 3.0
    if dyadic:
        gaps = draw(st.lists(st.sampled_from([1, 2, 4]), min_size=count - 1, max_size=count - 1))
        return draw(st.integers(-1, 1)) + np.concatenate([[0.0], np.cumsum(gaps)])
    thirds = st.lists(st.integers(-2, 3 * cells), min_size=count, max_size=count, unique=True)
    return np.sort(np.array(draw(thirds))) / 3.0


@st.composite
def kernels(
    draw: st.DrawFn,
    *,
    names: Sequence[str] | None = None,
    filters: int | None = None,
    channels: int | None = None,
    channel_mode: str = "separate",
    dyadic: bool = False,
    n_dims: int | None = None,
) -> InterpolatedKernel:
    """Kernels of 1 to 3 spatial axes; positions shared, or per filter (and channel) where the counts are given."""
    window: tuple[int, ...] = draw(windows(n_dims or draw(st.integers(1, 3))))
    if channel_mode == "interpolated":
        window = (*window, channels or 1)
    interpolator = draw(interpolator_instances(DYADIC if dyadic else names))
    lead: tuple[int, ...] = ()
    if filters is not None:
        leads = [(), (filters,)] + (
            [(filters, channels)] if channels is not None and channel_mode == "separate" else []
        )
        lead = draw(st.sampled_from(leads))
    n: Any
    if interpolator.needs_grid:
        n = tuple(draw(st.integers(1, min(4, cells + 1))) for cells in window)
    else:
        n = draw(st.integers(1, min(6, int(np.prod(window)))))
    sets = [draw(anchors(interpolator, window, n, dyadic)) for _ in range(int(np.prod(lead)))]
    positions = np.array(sets).reshape(*lead, *sets[0].shape)
    widths = None
    if interpolator.width_axes is not None and draw(st.booleans()):
        shape = positions.shape[: positions.ndim - 1 + interpolator.width_axes]
        quarters = st.lists(st.integers(1, 6), min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))
        widths = np.reshape(draw(quarters), shape) / 4
    try:
        with ignore_anchor_warnings():
            kernel = InterpolatedKernel(positions, window, interpolator, channel_mode=channel_mode, widths=widths)
        assert np.isfinite(kernel.matrix).all()
    except AnchorError:
        reject()  # too ill-conditioned for this order
    return kernel


@st.composite
def cases(
    draw: st.DrawFn,
    *,
    names: Sequence[str] | None = None,
    dtypes: Sequence[str] = ("float32", "float64"),
    dyadic: bool = False,
    data: Callable[[np.random.Generator, tuple[int, ...]], FloatArray] | None = None,
    batched: bool = False,
) -> Case:
    """Whole problems: all channel modes, paddings, strides, dilations, groups; plain weights or banks; batch or not.

    Parameters
    ----------
    names : sequence of str, optional
        Interpolators to draw from; by default all that are registered.
    dtypes : sequence of str
        Dtypes to draw from, one for all arrays.
    dyadic : bool
        Only matrices of dyadic fractions, and small integers as data, so that every sum is exact in any order.
    data : function of (rng, shape), optional
        Makes the arrays; by default normal, uniform, sparse or of a wide range of magnitudes.
    batched : bool
        Only banks of weights, with a batch axis.
    """
    plain = not batched and draw(st.integers(0, 4)) == 0
    mode = "separate" if plain else draw(st.sampled_from(CHANNEL_MODES))
    groups, channels, per_group = (1, 1, 1) if plain else draw(st.sampled_from(BANKS))
    kernel = draw(
        kernels(
            names=names, dyadic=dyadic, channel_mode=mode,
            filters=None if plain else groups * per_group, channels=None if plain else channels,
        )
    )  # fmt: skip
    spatial, options = draw(_geometry(kernel))
    lead: tuple[int, ...] = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    if not plain:
        options["groups"] = groups
        lead = ((draw(st.integers(1, 3)),) if batched or draw(st.booleans()) else ()) + (groups * channels,)
    weights_shape: tuple[int, ...] = (kernel.n_anchors,)
    if not plain:
        weights_shape = (groups * per_group, *((channels,) if mode == "separate" else ()), kernel.n_anchors)
    x_shape = (*lead, *spatial)
    x, weights = np.zeros(x_shape), np.zeros(weights_shape)
    problem = describe_problem(x, weights, kernel, **options)
    if float(np.prod(problem.y_shape)) * float(np.prod(problem.window)) * channels > _MOST_PRODUCTS:
        reject()
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    make = data or (_integers if dyadic else draw(st.sampled_from(_DATA)))
    dtype = draw(st.sampled_from(list(dtypes)))
    shapes = (x_shape, weights_shape, infer_shape(x, weights, problem.y_shape))
    x, weights, grad_y = (make(rng, shape).astype(dtype) for shape in shapes)
    return Case(x, weights, grad_y, kernel, options)


@st.composite
def _geometry(draw: st.DrawFn, kernel: InterpolatedKernel) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Draw the spatial shape of x and the options, such that the window fits into the padded input."""
    d, window = kernel.n_dims, kernel.spatial_window
    stride = [draw(st.sampled_from([1, 1, 2, 3])) for _ in range(d)]
    dilation = [draw(st.sampled_from([1, 1, 2, 3] if d < 3 else [1, 1, 2])) for _ in range(d)]
    mode = st.sampled_from(PADDING_MODES)
    padding_mode = draw(st.one_of(mode, mode, st.tuples(*(mode,) * d)))
    kinds = ["valid", "same", "int", "ints", "pairs"] + (["causal"] if d == 1 else [])
    kind = draw(st.sampled_from(kinds))
    extents = [(cells - 1) * step + 1 for cells, step in zip(window, dilation, strict=True)]
    same = [(max((reach - 1) // 2, 0), reach // 2) for reach in extents]  # at most
    amount = st.integers(0, draw(st.sampled_from([3, 3, 9 if d < 3 else 5])))  # often wider than x
    common = draw(amount)
    pairs = {
        "valid": [(0, 0)] * d,
        "same": same,
        "causal": [(extents[0] - 1, 0)] * d,
        "int": [(common, common)] * d,
        "ints": [(value, value) for value in draw(st.lists(amount, min_size=d, max_size=d))],
        "pairs": draw(st.lists(st.tuples(amount, amount), min_size=d, max_size=d)),
    }[kind]
    spatial = []
    for (before, after), reach in zip(pairs, extents, strict=True):
        fits = 1 if kind == "same" else reach - before - after
        spatial.append(max(1, fits) + draw(st.integers(0, 9 if d < 3 else 3)))
    padding: Any = {"int": common, "ints": tuple(pair[0] for pair in pairs), "pairs": tuple(pairs)}.get(kind, kind)
    options = {
        "stride": _one_or_all(draw, stride),
        "padding": padding,
        "padding_mode": padding_mode,
        "dilation": _one_or_all(draw, dilation),
    }
    return tuple(spatial), options


def _one_or_all(draw: st.DrawFn, values: list[int]) -> int | tuple[int, ...]:
    """Return an int where all are equal, half of the time."""
    return values[0] if len(set(values)) == 1 and draw(st.booleans()) else tuple(values)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    return rng.standard_normal(shape)


def _uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    return rng.uniform(0.0, 1.0, shape)


def _sparse(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    return rng.standard_normal(shape) * (rng.uniform(size=shape) < 0.2)


def _wide(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Magnitudes from 1e-25 to 1e12, so that products of float32 reach the subnormal numbers and sums cancel."""
    return rng.standard_normal(shape) * 10.0 ** rng.uniform(-25.0, 12.0, shape)


def _integers(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    return rng.integers(-3, 4, shape).astype(np.float64)


_DATA = [_normal, _uniform, _sparse, _wide]

__all__ = ["DYADIC", "Case", "anchors", "cases", "interpolator_instances", "kernels", "windows"]
