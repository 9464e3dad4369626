"""The two pictures: a dense kernel with its anchors, and anchors with their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from interpolated_kernels.arguments import as_floats
from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.densify import densify
from interpolated_kernels.edge import fetch
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.lazy import load
from interpolated_kernels.plotting.frames import (
    add_color_bar,
    as_axes,
    frame_plane,
    make_chart,
    tick_cells,
    title_plane,
)
from interpolated_kernels.plotting.planes import Planes
from interpolated_kernels.problem import check_kernel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS, _COLOR_OF_NAN = "RdBu_r", "0.5"
_MOST_LINES = 256
_BORDER = 1 / 8
"""The share of a picture's height in which numbers are kept away from its edge."""


def plot_kernel(kernel: InterpolatedKernel, weights: Any, ax: Any = None, *, colorbar: bool = True) -> Any:
    """Draw the dense kernel of the weights with the anchors on it, each in the colour (or at the height) of its weight.

    Parameters
    ----------
    kernel : InterpolatedKernel
        With positions that all filters share. One axis is drawn as a line, two as an image, three as an image of each
        plane of the first axis with the anchors that are nearest to it (beyond 25 planes, of every second, third, ...).
    weights : (n,) array of float
        One filter and channel: `weights[f, c]` of a bank.
    ax : matplotlib.axes.Axes, or an array or list of them, optional
        Where to draw; a new figure by default. A kernel of three axes takes one for each plane that is drawn:
        `figure.subplots(1, 5)`. Show or save it yourself: `ax.figure.savefig("kernel.png")`.
    colorbar : bool, default True
        Whether an image has a colour bar at its right; the planes of three axes share one, and its scale.

    Returns
    -------
    matplotlib.axes.Axes, or an array of them
        An array `(planes,)` for a kernel of three axes.

    Raises
    ------
    TypeError
        For what is no kernel, no floats or no Axes.
    ValueError
        For a kernel or weights that are not one kernel, or Axes that are not one a plane.

    Notes
    -----
    Colours run from -m to m, m being the largest absolute value of the cells and the weights, so that zero is white.
    Splats, which spread a weight over many cells, have an m for the cells, which the colour bar shows, and another one
    for the anchors; on a line, an axis at the right for these. NaN is grey. Cells are squares, but where a plane would
    be more than eight times as long as wide.

    Examples
    --------
    >>> import numpy, interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "linear")
    >>> plot_kernel(kernel, numpy.arange(9.0)).images[0].get_array().shape
    (5, 5)
    """
    _check(kernel, "plot_kernel")
    weights = fetch(as_floats("weights", weights))
    if weights.ndim != 1:
        raise ValueError(
            f"`weights` must be those of one filter and channel, ({kernel.n_anchors},), for example `weights[0, 0]`, "
            f"got shape {weights.shape}."
        )
    dense, weights = densify(weights, kernel).astype(np.float64), weights.astype(np.float64)
    planes = Planes(kernel)
    if kernel.n_dims == 1:
        return _draw_line(make_chart() if ax is None else as_axes(ax, planes)[0], planes, weights, dense)
    axes = as_axes(ax, planes)
    of_cells, of_anchors = _choose_scales(kernel, dense, weights)
    # Dots that nearly touch hide the kernel: they shrink as anchors come closer.
    size = float(np.clip(1200 / kernel.n_anchors, 6, 40))
    halo = load("matplotlib.patheffects").withStroke(linewidth=2, foreground="white")  # a dot is seen on any colour
    for each, plane in zip(axes, planes.drawn, strict=True):
        image = each.imshow(dense.reshape(planes.shape)[plane], interpolation="nearest", **of_cells)
        here = planes.find_anchors(plane)
        rows, columns = planes.positions[here, 1:].T
        each.scatter(
            columns, rows, s=size, c=weights[here], plotnonfinite=True, edgecolors="black", linewidths=0.7,
            path_effects=[halo], **of_anchors,
        )  # fmt: skip
        _draw_border(each, planes)
    _finish(axes, planes)
    if colorbar:
        add_color_bar(image, axes)
    return axes[0] if kernel.n_dims == 2 else axes


def plot_anchors(kernel: InterpolatedKernel, ax: Any = None) -> Any:
    """Draw where the anchors stand in the window's cells, each with its index: the number that error messages name.

    Parameters
    ----------
    kernel : InterpolatedKernel
        With positions that all filters share; planes of three axes are drawn as by `plot_kernel`.
    ax : matplotlib.axes.Axes, or an array or list of them, optional
        Where to draw, as for `plot_kernel`.

    Returns
    -------
    matplotlib.axes.Axes, or an array of them
        An array `(planes,)` for a kernel of three axes.

    Raises
    ------
    TypeError
        For what is no kernel or no Axes.
    ValueError
        For a kernel with positions or channels of its own for every filter, or Axes that are not one a plane.

    Examples
    --------
    >>> import interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "linear")
    >>> [text.get_text() for text in plot_anchors(kernel).texts][:3]
    ['0', '1', '2']
    """
    _check(kernel, "plot_anchors")
    planes = Planes(kernel)
    axes = as_axes(ax, planes)
    for each, plane in zip(axes, planes.drawn, strict=True):
        _draw_numbers(each, planes, plane)
        _draw_cells(each, planes)
        _draw_border(each, planes)
    _finish(axes, planes)
    return axes if kernel.n_dims == 3 else axes[0]


def _check(kernel: InterpolatedKernel, name: str) -> None:
    check_kernel(kernel)
    if kernel.interpolates_channels:
        raise ValueError(
            f"`{name}` draws spatial axes, got {kernel!r}: draw the channels as a further axis, "
            "`kernel.replace(channel_mode='separate')`."
        )
    if not kernel.shares_positions:
        raise ValueError(
            f"`{name}` draws kernels with positions that all filters share, got {kernel!r}: draw one filter's, "
            f"`kernel.replace(positions=kernel.positions[{', '.join('0' * (kernel.positions.ndim - 2))}]"
            f"{'' if kernel.widths is None else ', widths=...'})`."
        )


def _choose_scales(
    kernel: InterpolatedKernel, dense: FloatArray, weights: FloatArray
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the colours of the cells and of the anchors: the same where a weight is as large as the cells about it."""
    limits = [_largest(dense), _largest(weights)]
    if _shares_scale(kernel):
        limits = [max(limits)] * 2
    colors = load("matplotlib").colormaps[_COLORS].with_extremes(bad=_COLOR_OF_NAN)
    of_cells, of_anchors = ({"cmap": colors, "vmin": -(limit or 1.0), "vmax": limit or 1.0} for limit in limits)
    return of_cells, of_anchors


def _shares_scale(kernel: InterpolatedKernel) -> bool:
    """Return whether a weight is as large as the cells about its anchor."""
    return kernel.interpolator.exact or kernel.interpolator.constants


def _largest(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.abs(finite).max(initial=0.0))


def _finish(axes: Any, planes: Planes) -> None:
    for ax, plane in zip(axes, planes.drawn, strict=True):
        frame_plane(ax, planes)
        if planes.kernel.n_dims == 3:
            title_plane(ax, plane)


def _draw_line(ax: Axes, planes: Planes, weights: FloatArray, dense: FloatArray) -> Axes:
    ax.axhline(0.0, color="0.8", linewidth=0.8)
    ax.plot(np.arange(len(dense)), dense, marker=".", color="tab:red", linewidth=1.0)
    dots = ax
    if not _shares_scale(planes.kernel):
        dots = ax.twinx()
        dots.set_ylabel("weight")
        for each, values in ((ax, dense), (dots, weights)):  # with both zeros at one height
            limit = 1.1 * (_largest(values) or 1.0)
            each.set_ylim(-limit, limit)
    dots.scatter(planes.positions[:, 2], weights, s=40, color="white", edgecolors="black", zorder=3)
    tick_cells(ax.xaxis)
    ax.set(xlabel="cell", ylabel="value", xlim=planes.bounds[:, 1])
    return ax


def _draw_numbers(ax: Axes, planes: Planes, plane: int) -> None:
    """Draw a plane's anchors with their numbers, each on that side of its anchor where there is room for it."""
    here = planes.find_anchors(plane)
    rows, columns = planes.positions[here, 1:].T
    ax.scatter(columns, rows, s=30, color="tab:blue", edgecolors="black", linewidths=0.7, zorder=2)
    size = float(np.clip(70 / np.sqrt(planes.kernel.n_anchors), 4, 7))
    low, high = planes.bounds
    shares = (planes.positions[here, 1:] - low) / (high - low)
    for index, row, column, (down, across) in zip(here.tolist(), rows, columns, shares, strict=True):
        side = "left" if across <= 0.5 else "right"
        height = "top" if down < _BORDER else "bottom" if down > 1 - _BORDER else "center"
        ax.annotate(
            str(index), (column, row), xytext=(5 if side == "left" else -5, 0), textcoords="offset points",
            ha=side, va=height, fontsize=size,
        )  # fmt: skip


def _draw_cells(ax: Axes, planes: Planes) -> None:
    """Draw the window's cells, where these are wider than a line."""
    n_rows, n_columns = planes.shape[1:]
    if max(n_rows, n_columns) <= _MOST_LINES:
        style: dict[str, Any] = {"color": "0.85", "linewidth": 0.6, "zorder": 0}
        ax.hlines(np.arange(1, n_rows) - 0.5, -0.5, n_columns - 0.5, **style)
        ax.vlines(np.arange(1, n_columns) - 0.5, -0.5, n_rows - 0.5, **style)


def _draw_border(ax: Axes, planes: Planes) -> None:
    """Draw the window's border, which is seen where anchors stand beyond it."""
    n_rows, n_columns = planes.shape[1:]
    ax.add_patch(load("matplotlib.patches").Rectangle((-0.5, -0.5), n_columns, n_rows, fill=False, edgecolor="black"))
