"""The Axes of a picture: taken or made, bounded and labelled; and the colour bar beside them. Sizes are in inches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from interpolated_kernels.lazy import load
from interpolated_kernels.plotting.planes import Planes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.image import AxesImage
    from matplotlib.transforms import Bbox

_ONE_PLANE, _EACH_OF_MANY, _NARROWEST = 4.4, 1.7, 0.4
_TICKS = 4
_LABELS = np.array([1.4, 0.9])
_TITLE = np.array([0.1, 0.35])
_GAP_OF_BAR, _WIDTH_OF_BAR = 0.1, 0.15


def as_axes(ax: Any, planes: Planes) -> npt.NDArray[Any]:
    """Return an array of one Axes for every plane that is drawn: those given, or those of a new figure.

    Raises
    ------
    TypeError
        If something else than Axes is given.
    ValueError
        If more or fewer are given than there are planes.
    """
    n_planes = len(planes.drawn)
    if ax is None:
        return _make_axes(planes)
    axes = np.array(ax, dtype=object).ravel()
    expected = f"{n_planes} Axes, one a plane, for example `figure.subplots(1, {n_planes})`"
    if n_planes == 1:
        expected = "one Axes, for example `figure.subplots()`"
    for entry in axes:
        if not isinstance(entry, load("matplotlib.axes").Axes):
            raise TypeError(f"`ax` must be matplotlib's: {expected}, got {type(entry).__name__}.")
    if len(axes) != n_planes:
        raise ValueError(f"`ax` must be {expected}, got {len(axes)}.")
    return axes


def make_chart() -> Axes:
    """Return the Axes of a new figure for a line."""
    axes: Axes = load("matplotlib.pyplot").subplots(layout="constrained")[1]
    return axes


def _make_axes(planes: Planes) -> npt.NDArray[Any]:
    """Return the Axes of a new figure, as large as its planes ask for: row by row, about three wide for two high."""
    n_planes, ratio = len(planes.drawn), planes.width_by_height
    n_rows = int(np.ceil(n_planes / np.ceil((1.5 * n_planes / ratio) ** 0.5)))
    n_columns = int(np.ceil(n_planes / n_rows))
    longest = _ONE_PLANE if n_planes == 1 else max(_EACH_OF_MANY, _NARROWEST * max(ratio, 1 / ratio))
    plane = longest * np.array([min(ratio, 1.0), min(1 / ratio, 1.0)])
    size = _LABELS + (plane + _TITLE * (n_planes > 1)) * (n_columns, n_rows)
    # "compressed" is the layout for planes whose shape is given: it leaves no gaps between them.
    figure = load("matplotlib.pyplot").figure(figsize=size, layout="compressed")
    axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
    for unused in axes[n_planes:]:
        unused.remove()
    return axes[:n_planes]


def frame_plane(ax: Axes, planes: Planes) -> None:
    """Set the limits around the window and every anchor, rows downwards, whole cells as ticks, and name the axes."""
    (top, left), (bottom, right) = planes.bounds.tolist()
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect=planes.cell_aspect)
    ratio = planes.width_by_height
    tick_cells(ax.xaxis, _choose_ticks(planes, ratio))
    if planes.kernel.n_dims == 1:
        ax.set(yticks=[], xlabel="cell")
        return
    tick_cells(ax.yaxis, _choose_ticks(planes, 1 / ratio))
    # Axes that hide the labels of their ticks, as inner ones that share an axis do, have no name for it either.
    if ax.xaxis.get_tick_params().get("labelbottom", True):
        ax.set_xlabel("column")
    if ax.yaxis.get_tick_params().get("labelleft", True):
        ax.set_ylabel("row")


def tick_cells(axis: Axis, n_ticks: int | str = "auto") -> None:
    """Set ticks on whole cells, so many at most or as many as there is room for."""
    axis.set_major_locator(load("matplotlib.ticker").MaxNLocator(n_ticks, integer=True, min_n_ticks=1))


def _choose_ticks(planes: Planes, length: float) -> int | str:
    """Return how many ticks a side has that is so many times as long as the other one: few where planes are many."""
    return "auto" if len(planes.drawn) == 1 else max(1, round(_TICKS * min(1.0, length)))


def title_plane(ax: Axes, plane: int) -> None:
    """Write which plane of three axes it is."""
    ax.set_title(f"plane {plane}", fontsize="small")


def add_color_bar(image: AxesImage, axes: npt.NDArray[Any]) -> None:
    """Draw one colour bar for all Axes, at their right."""
    if len(axes) > 1:
        axes[0].figure.colorbar(image, ax=list(axes), aspect=30)
        return
    axes[0].figure.colorbar(image, ax=axes[0]).ax.set_axes_locator(_Beside(axes[0]))


@dataclass(frozen=True)
class _Beside:
    """Where a colour bar stands: right beside its Axes, as high as these are drawn, and as wide for any shape."""

    ax: Axes

    def __call__(self, bar: Axes, renderer: Any) -> Bbox:
        bar.set_box_aspect(None)  # which every run of a layout sets anew
        box, figure = self.ax.get_position(), self.ax.figure
        inch = figure.dpi / figure.bbox.width
        return load("matplotlib.transforms").Bbox.from_bounds(
            box.x1 + _GAP_OF_BAR * inch, box.y0, _WIDTH_OF_BAR * inch, box.height
        )
