"""Draw how the time grows with the window, the anchors and the image, for every path and for torch's dense convolution.

    python benchmarks/growth.py                         docs/images/growth.png
    python benchmarks/growth.py --quick --output /tmp/growth.png

One channel, 16 filters, linear interpolation, no padding: the image is larger than the outputs by the window, so that
all windows have equally many outputs. Medians of a few runs; a path is left out where it is predicted to be slow.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case
from peers import RUNS, is_installed
from timing import Run, seconds_of

import interpolated_kernels as ik
from interpolated_kernels.paths import PATHS

_SECONDS_PER_POINT = 1.0
_PEER = "torch conv2d"
_COLORS = {
    "direct": "#2a7fb8", "lattice": "#c1272d", "fourier": "#3a8f4d", "basis": "#8a5fb0", "reference": "#8c8c8c",
    _PEER: "#222222",
}  # fmt: skip
_MORE_COLORS = ("#e08e0b", "#00897b", "#ad1457")


@dataclass(frozen=True)
class Sweep:
    """One panel: what grows, and the case at each size."""

    title: str
    label: str
    sizes: tuple[int, ...]
    case: Callable[[int], Case]


def case_of(outputs: int, window: int, counts: int) -> Case:
    """Return a convolution to `outputs x outputs` cells with `counts x counts` anchors in a square window."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((window, window), counts=counts), (window, window), "linear")
    side = outputs + window - 1
    return Case("growth", (1, 1, side, side), 16, kernel, {"accuracy": "normwise"})


def sweeps(quick: bool) -> list[Sweep]:
    side = 64 if quick else 512
    every = slice(None, None, 3 if quick else 1)
    # Whole cells between the anchors: 6 intervals in windows of 6 s + 1 cells, and divisors of 60.
    windows, counts = (7, 13, 19, 25, 31, 43, 61, 91, 121)[every], (2, 3, 4, 5, 6, 7, 11, 13, 16, 21, 31)[every]
    sides = (32, 64, 128, 256, 512, 1024, 2048)[: 3 if quick else 7]
    return [
        Sweep(
            "7 x 7 anchors, a growing window", "window (cells along each axis)", windows, lambda n: case_of(side, n, 7)
        ),
        Sweep("Window 61, more anchors", "anchors (along each axis)", counts, lambda n: case_of(side, 61, n)),
        Sweep(
            "Window 31, a growing image",
            "outputs (cells along each axis)",
            sides,
            lambda n: case_of(n, 31, 7),
        ),
    ]


def runs_of(case: Case, threads: int, slowest: float) -> Iterator[tuple[str, Run]]:
    """Yield the forward run of every path that serves the case in time, and of torch."""
    x, weights = case.arrays()
    for path in PATHS:
        try:
            plan = ik.plan(case.x_shape, case.weights_shape, case.kernel, path=path, **case.options)
        except ValueError:  # it cannot serve it
            continue
        if plan.cost.seconds <= slowest:
            yield path, lambda path=path: ik.conv(x, weights, case.kernel, path=path, **case.options)  # type: ignore[misc]
    if is_installed("torch"):
        dense = ik.densify(weights, case.kernel)
        yield _PEER, RUNS["torch"](case, x, dense, dense, threads)[0]


def median(run: Run) -> float:
    """Return the median of up to nine runs within about a second, after one that does not count."""
    run()
    times = [seconds_of(run)]
    while len(times) < 9 and sum(times) < _SECONDS_PER_POINT:
        times.append(seconds_of(run))
    return statistics.median(times)


def measure(sweep: Sweep, threads: int, slowest: float) -> dict[str, list[tuple[int, float]]]:
    """Return the points (size, seconds) of every line."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for size in sweep.sizes:
        for name, run in runs_of(sweep.case(size), threads, slowest):
            lines.setdefault(name, []).append((size, median(run)))
    return lines


def draw(panels: list[tuple[Sweep, dict[str, list[tuple[int, float]]]]], path: Path, threads: int) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.5, 4.5), layout="constrained")
    axes: Any = figure.subplots(1, len(panels), sharey=True)
    names = sorted({name for _, lines in panels for name in lines}, key=lambda name: (name == _PEER, name))
    spare = iter(_MORE_COLORS * len(names))
    colors = {name: _COLORS.get(name) or next(spare) for name in names}
    for ax, (sweep, lines) in zip(axes, panels, strict=True):
        for name, points in lines.items():
            sizes, seconds = zip(*points, strict=True)
            style = "--" if name == _PEER else "-"
            ax.plot(sizes, 1e3 * np.array(seconds), style, color=colors[name], marker="o", markersize=3.5, label=name)
        ax.set(xscale="log", yscale="log", xlabel=sweep.label)
        ax.set_title(sweep.title, fontsize=11)
        _name_sizes(ax, sweep.sizes)
        ax.grid(which="major", alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("forward time, ms")
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend([handles[name] for name in names], names, loc="outside lower center", ncols=len(names), frameon=False)
    problem = panels[0][0].case(panels[0][0].sizes[0])
    outputs = problem.x_shape[-1] - problem.kernel.window[-1] + 1
    what = f"16 filters on one image, {outputs} x {outputs} outputs where they do not grow, {threads} threads"
    figure.suptitle(what, fontsize=12)
    figure.savefig(path, dpi=130)


def _name_sizes(ax: Any, sizes: tuple[int, ...]) -> None:
    """Put a tick at each size, and a number where it does not touch the one before."""
    from matplotlib.ticker import NullLocator

    shown, last = [], 0.0
    room = 0.07 * np.log(sizes[-1] / sizes[0])
    for size in sizes:
        free = np.log(size) - last >= room
        shown.append(str(size) if free else "")
        last = float(np.log(size)) if free else last
    ax.set_xticks(sizes, shown)
    ax.xaxis.set_minor_locator(NullLocator())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "docs" / "images" / "growth.png")
    parser.add_argument("--quick", action="store_true", help="small images, a third of the sizes")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--slowest", type=float, default=3.0, help="predicted seconds beyond which a path is left out")
    arguments = parser.parse_args()
    ik.set_num_threads(arguments.threads)
    slowest = 0.3 if arguments.quick else arguments.slowest
    panels = [(sweep, measure(sweep, arguments.threads, slowest)) for sweep in sweeps(arguments.quick)]
    for sweep, lines in panels:
        print(sweep.title)
        for name, points in lines.items():
            print(f"  {name:13}", "  ".join(f"{size}: {1e3 * seconds:.3g} ms" for size, seconds in points))
    draw(panels, arguments.output, arguments.threads)
    print(arguments.output)


if __name__ == "__main__":
    main()
