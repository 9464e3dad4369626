"""Steps from a trial to simpler ones: options at their defaults, smaller sizes and kernels, data of zeros and ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.errors import ignore_anchor_warnings
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.testing.drawing import BackendProblem, Trial

_MOST_PARTS = 32


def simplify(trial: Trial) -> Iterator[Trial]:
    """Yield simpler trials, the boldest steps first; what does not fit together is left out."""
    for step in (_default_options, _drop_axes, _shrink_sizes, _shrink_kernel):
        for problem in _attempt(step(trial.problem)):
            yield _crop(trial, problem)
    yield from _simplify_data(trial)


def _attempt(steps: Iterator[Callable[[], BackendProblem]]) -> Iterator[BackendProblem]:
    for step in steps:
        try:
            with ignore_anchor_warnings():
                problem = step()
                problem.kernel.matrix  # noqa: B018 - what cannot be solved raises here
        except ValueError:  # anchors, sizes or options that do not fit together
            continue
        yield problem


def _default_options(problem: BackendProblem) -> Iterator[Callable[[], BackendProblem]]:
    """Yield problems with one option at its default, or nearer to it."""
    options, d = problem.conv_options, problem.kernel.n_dims
    for name, value in (
        ("missing", "propagate"),
        ("padding_mode", "zeros"),
        ("padding", "valid"),
        ("dilation", (1,) * d),
        ("stride", (1,) * d),
    ):
        if options[name] != value:
            yield _make(problem, conv_options={**options, name: value})
    if np.any(problem.pads):
        if options["padding"] != problem.pads:
            yield _make(problem, conv_options={**options, "padding": problem.pads})
        for axis, side in np.ndindex(d, 2):
            if problem.pads[axis][side]:
                pairs = [list(pair) for pair in problem.pads]
                pairs[axis][side] -= 1
                yield _make(problem, conv_options={**options, "padding": tuple(map(tuple, pairs))})
    if options["groups"] > 1:
        yield _with_bank(problem, 1, problem.described.channels_per_group, problem.described.filters_per_group)
    for name in ("stride", "dilation"):
        for axis, step in enumerate(options[name]):
            if step > 1:
                steps = (*options[name][:axis], step - 1, *options[name][axis + 1 :])
                yield _make(problem, conv_options={**options, name: steps})


def _drop_axes(problem: BackendProblem) -> Iterator[Callable[[], BackendProblem]]:
    """Yield problems of one spatial axis less, or of a single sample."""
    d, kernel, options = problem.kernel.n_dims, problem.kernel, problem.conv_options
    n_lead = len(problem.x_shape) - d
    lead, spatial = problem.x_shape[:n_lead], problem.x_shape[n_lead:]
    for axis in range(d if d > 1 else 0):

        def cut(entries: Any, axis: int = axis) -> Any:
            return entries if isinstance(entries, (str, int)) else (*entries[:axis], *entries[axis + 1 :])

        yield lambda axis=axis, cut=cut: replace(  # type: ignore[misc]
            problem,
            x_shape=(*lead, *cut(spatial)),
            kernel=_drop_axis(kernel, axis),
            conv_options={name: value if name == "groups" else cut(value) for name, value in options.items()},
        )
    for place in range(n_lead if problem.is_plain else n_lead - 1):
        yield _make(problem, x_shape=(*lead[:place], *lead[place + 1 :], *spatial))


def _shrink_sizes(problem: BackendProblem) -> Iterator[Callable[[], BackendProblem]]:
    """Yield problems of fewer samples, filters and channels, and of a smaller x: halves, then one less."""
    described, n_lead = problem.described, len(problem.x_shape) - problem.kernel.n_dims
    bank = (described.groups, described.channels_per_group, described.filters_per_group)
    if not problem.is_plain:
        for place, fewer in _lessen(bank):
            yield _with_bank(problem, *(*bank[:place], fewer, *bank[place + 1 :]))
    places = range(len(problem.x_shape)) if problem.is_plain else {*range(len(problem.x_shape))} - {n_lead - 1}
    for place, fewer in _lessen(problem.x_shape):
        if place in places:
            yield _make(problem, x_shape=(*problem.x_shape[:place], fewer, *problem.x_shape[place + 1 :]))


def _shrink_kernel(problem: BackendProblem) -> Iterator[Callable[[], BackendProblem]]:
    """Yield problems of simpler kernels: a constant, one set of positions, a smaller window, fewer anchors."""
    kernel, n = problem.kernel, problem.kernel.n_anchors
    constant = np.zeros((1, len(kernel.window)))
    if n > 1 or type(kernel.interpolator).__name__ != "Nearest":
        yield _with_kernel(
            problem,
            lambda: InterpolatedKernel(constant, kernel.window, "nearest", channel_mode=kernel.channel_mode),
        )
    if kernel.positions.ndim > 2:
        first = (0,) * (kernel.positions.ndim - 2)
        widths = None if kernel.widths is None else kernel.widths[first]
        yield _with_kernel(problem, lambda: kernel.replace(positions=kernel.positions[first], widths=widths))
    for axis, fewer in _lessen(kernel.spatial_window):
        window = (*kernel.window[:axis], fewer, *kernel.window[axis + 1 :])
        yield _with_kernel(problem, lambda window=window: kernel.replace(window=window))  # type: ignore[misc]
    for anchor in range(n if n > 1 else 0):
        kept = [index for index in range(n) if index != anchor]
        yield _with_kernel(problem, lambda kept=kept: _keep_anchors(kernel, kept))  # type: ignore[misc]
    whole = np.round(kernel.positions)
    if not np.array_equal(whole, kernel.positions):
        yield _with_kernel(problem, lambda: kernel.replace(positions=whole))


def _simplify_data(trial: Trial) -> Iterator[Trial]:
    """Yield trials whose arrays are ones, hold zeros in the place of some entries, or whole numbers."""
    plain = replace(trial.problem, data="simple")
    for name, array in trial.arrays.items():
        ones = np.ones_like(array)
        if not np.array_equal(array, ones) and np.count_nonzero(array) > 1:
            yield replace(trial, problem=plain, **{name: ones})
        filled = np.flatnonzero(array)
        for step in _halve(len(filled)):
            for first in range(0, len(filled), step):
                fewer = array.copy()
                fewer.flat[filled[first : first + step]] = 0
                yield replace(trial, problem=plain, **{name: fewer})
        finite = np.isfinite(array)
        for simpler in ((array != 0).astype(array.dtype), np.rint(array)):
            if (simpler != array)[finite].any():
                yield replace(trial, problem=plain, **{name: np.where(finite, simpler, array)})


def _make(problem: BackendProblem, **changes: Any) -> Callable[[], BackendProblem]:
    return lambda: replace(problem, **changes)


def _with_bank(problem: BackendProblem, groups: int, channels: int, filters: int) -> Callable[[], BackendProblem]:
    """Return what makes a problem of so many groups, and channels and filters of a group."""

    def make() -> BackendProblem:
        kernel, d = problem.kernel, problem.kernel.n_dims
        lead = (groups * filters, channels)[: kernel.positions.ndim - 2]
        cells = tuple(slice(0, count) for count in lead)
        changes: dict[str, Any] = {"positions": kernel.positions[cells]}
        if kernel.widths is not None:
            changes["widths"] = kernel.widths[cells]
        if kernel.interpolates_channels:
            changes["window"] = (*kernel.spatial_window, channels)
        between = (channels,) if kernel.channel_mode == "separate" else ()
        return replace(
            problem,
            x_shape=(*problem.x_shape[: -d - 1], groups * channels, *problem.x_shape[-d:]),
            weights_shape=(groups * filters, *between, kernel.n_anchors),
            kernel=kernel.replace(**changes),
            conv_options={**problem.conv_options, "groups": groups},
        )

    return make


def _with_kernel(problem: BackendProblem, make: Callable[[], InterpolatedKernel]) -> Callable[[], BackendProblem]:
    def make_problem() -> BackendProblem:
        kernel = make()
        return replace(problem, kernel=kernel, weights_shape=(*problem.weights_shape[:-1], kernel.n_anchors))

    return make_problem


def _drop_axis(kernel: InterpolatedKernel, axis: int) -> InterpolatedKernel:
    """Return the kernel without an axis, and without anchors that then stand where another does."""
    positions = np.delete(kernel.positions, axis, axis=-1)
    widths = kernel.widths
    if widths is not None and kernel.interpolator.width_axes == 1:
        widths = np.delete(widths, axis, axis=-1)
    window = (*kernel.window[:axis], *kernel.window[axis + 1 :])
    if positions.ndim == 2:
        _, kept = np.unique(positions, axis=0, return_index=True)
        positions, widths = positions[np.sort(kept)], None if widths is None else widths[np.sort(kept)]
    return kernel.replace(positions=positions, widths=widths, window=window)


def _keep_anchors(kernel: InterpolatedKernel, kept: list[int]) -> InterpolatedKernel:
    axis = kernel.positions.ndim - 2
    widths = None if kernel.widths is None else np.take(kernel.widths, kept, axis=axis)
    return kernel.replace(positions=np.take(kernel.positions, kept, axis=axis), widths=widths)


def _halve(count: int) -> Iterator[int]:
    """Yield halves, quarters and so on of a count, down to one of some dozen parts."""
    parts = 2
    while parts <= min(2 * count, _MOST_PARTS) and count > 1:
        yield max(count // parts, 1)
        parts *= 2


def _lessen(sizes: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Yield places with a smaller size: one, the half, two less (even sizes stay even), one less."""
    for place, size in enumerate(sizes):
        for fewer in sorted({1, size // 2, size - 2, size - 1}):
            if 0 < fewer < size:
                yield place, fewer


def _crop(trial: Trial, problem: BackendProblem) -> Trial:
    """Return the trial of a simpler problem, with what its shapes leave of the arrays."""
    shapes = {"x": problem.x_shape, "weights": problem.weights_shape, "grad_y": problem.out_shape}
    return Trial(problem, **{name: _fit(trial.arrays[name], shape) for name, shape in shapes.items()})


def _fit(array: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return an array cut to a shape; where that has fewer axes, the first entries of the leading ones.

    What the shape needs beyond the array's is filled with its entries again.
    """
    while array.ndim > len(shape) and array.size:
        array = array[0]
    if array.ndim == len(shape) and all(there >= wanted for there, wanted in zip(array.shape, shape, strict=True)):
        return array[tuple(slice(0, size) for size in shape)].copy()
    return np.resize(array, shape)
