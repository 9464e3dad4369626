"""Pictures: the dense kernel with its anchors, and where the anchors stand. matplotlib is loaded at first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.densify import densify
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.lazy import load

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = "RdBu_r"


def plot_kernel(kernel: InterpolatedKernel, weights: Any, ax: Axes | None = None) -> Axes:
    """Draw the dense kernel of the weights with the anchors on it, each in the colour (or at the height) of its weight.

    Parameters
    ----------
    kernel : InterpolatedKernel
        1-D or 2-D, with positions that all filters share.
    weights : (n,) array of float
        One filter and channel: `weights[f, c]` of a bank.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default. Show or save it yourself: `ax.figure.savefig("kernel.png")`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        For a kernel or weights that are not one plane of one kernel.

    Notes
    -----
    Colours run from -m to m, m being the largest absolute value of the cells and the weights, so that zero is white.

    Examples
    --------
    >>> import numpy, interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "linear")
    >>> plot_kernel(kernel, numpy.arange(9.0)).images[0].get_array().shape
    (5, 5)
    """
    _check(kernel, "plot_kernel")
    weights = np.asarray(weights)
    if weights.ndim != 1:
        raise ValueError(
            f"`weights` must be those of one filter and channel, ({kernel.n_anchors},), for example `weights[0, 0]`, "
            f"got shape {weights.shape}."
        )
    dense = densify(weights, kernel)
    ax = _new_axes() if ax is None else ax
    if kernel.n_dims == 1:
        return _draw_line(ax, kernel, weights, dense)
    limit = max(_largest(dense), _largest(weights)) or 1.0
    ax.imshow(dense, cmap=_COLORS, vmin=-limit, vmax=limit, interpolation="nearest")
    rows, columns = kernel.positions.reshape(-1, kernel.n_anchors, 2)[0].T
    # Dots that nearly touch hide the kernel: they shrink as anchors come closer.
    size = float(np.clip(1200 / kernel.n_anchors, 6, 40))
    ax.scatter(
        columns, rows, s=size, c=weights, cmap=_COLORS, vmin=-limit, vmax=limit, edgecolors="black", linewidths=0.7
    )
    return _label_plane(ax, kernel)


def plot_anchors(kernel: InterpolatedKernel, ax: Axes | None = None) -> Axes:
    """Draw where the anchors stand in the window's cells, each with its index: the number that error messages name.

    Parameters
    ----------
    kernel : InterpolatedKernel
        1-D or 2-D, with positions that all filters share.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        For a kernel of three axes, or with positions or channels of its own for every filter.

    Examples
    --------
    >>> import interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "linear")
    >>> [text.get_text() for text in plot_anchors(kernel).texts][:3]
    ['0', '1', '2']
    """
    _check(kernel, "plot_anchors")
    ax = _new_axes() if ax is None else ax
    positions = kernel.positions.reshape(-1, kernel.n_anchors, kernel.n_dims)[0]
    plane = positions if kernel.n_dims == 2 else np.column_stack([np.zeros(len(positions)), positions])
    n_rows, n_columns = kernel.window if kernel.n_dims == 2 else (1, kernel.window[0])
    for edge in range(n_rows + 1):
        ax.plot([-0.5, n_columns - 0.5], [edge - 0.5] * 2, color="0.85", linewidth=0.6, zorder=0)
    for edge in range(n_columns + 1):
        ax.plot([edge - 0.5] * 2, [-0.5, n_rows - 0.5], color="0.85", linewidth=0.6, zorder=0)
    ax.add_patch(load("matplotlib.patches").Rectangle((-0.5, -0.5), n_columns, n_rows, fill=False, edgecolor="black"))
    ax.scatter(plane[:, 1], plane[:, 0], s=30, color="tab:blue", edgecolors="black", linewidths=0.7, zorder=2)
    for index, (row, column) in enumerate(plane):
        ax.annotate(str(index), (column, row), xytext=(3, 3), textcoords="offset points", fontsize="x-small")
    ax.set_aspect("equal")
    return _label_plane(ax, kernel)


def _new_axes() -> Axes:
    axes: Axes = load("matplotlib.pyplot").subplots()[1]
    return axes


def _check(kernel: InterpolatedKernel, name: str) -> None:
    if kernel.n_dims > 2 or kernel.interpolates_channels or not kernel.shares_positions:
        raise ValueError(
            f"`{name}` draws kernels of one or two axes with positions that all filters share, got {kernel!r}: "
            "draw one filter's plane with `kernel.replace(positions=...)`."
        )


def _largest(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.abs(finite).max(initial=0.0))


def _draw_line(ax: Axes, kernel: InterpolatedKernel, weights: FloatArray, dense: FloatArray) -> Axes:
    ax.axhline(0.0, color="0.8", linewidth=0.8)
    ax.plot(np.arange(len(dense)), dense, marker=".", color="tab:red", linewidth=1.0)
    places = kernel.positions.reshape(-1, kernel.n_anchors)[0]
    ax.scatter(places, weights, s=40, color="white", edgecolors="black", zorder=3)
    ax.set_xlabel("cell")
    return ax


def _label_plane(ax: Axes, kernel: InterpolatedKernel) -> Axes:
    """Set the limits around the window and every anchor, rows downwards, whole cells as ticks."""
    positions = kernel.positions.reshape(-1, kernel.n_anchors, kernel.n_dims)[0]
    low = np.minimum(positions.min(axis=0), 0.0) - 0.5
    high = np.maximum(positions.max(axis=0), np.array(kernel.window) - 1.0) + 0.5
    ax.set_xlim(float(low[-1]), float(high[-1]))
    if kernel.n_dims == 1:
        ax.set_yticks([])
        ax.set_xlabel("cell")
        return ax
    ax.set_ylim(float(high[0]), float(low[0]))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(load("matplotlib.ticker").MaxNLocator(integer=True))
    ax.set_xlabel("column")
    ax.set_ylabel("row")
    return ax
