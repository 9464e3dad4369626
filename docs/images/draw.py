"""Draw the pictures of README.md and docs/anchors.md: python docs/images/draw.py (needs the extra demo)."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import interpolated_kernels as ik
from interpolated_kernels.plotting import plot_kernel

window = (21, 21)
rng = np.random.default_rng(4)
grid = ik.grid_positions(window, 5)
weights = np.sinc(np.hypot(*(grid - 10).T) / 7) + rng.normal(0, 0.12, len(grid))
scattered = np.array([[10, 10], [3, 4], [4, 15], [16, 3], [17, 16], [0, 10], [10, 0.5], [19.5, 9], [9, 19.5], [13, 13]])

panels = [
    ("25 anchors in a window of 441 cells", ik.InterpolatedKernel(grid, window, "dilated"), weights),
    ("filled by linear interpolation", ik.InterpolatedKernel(grid, window, "linear"), weights),
    ("filled by a polyharmonic spline", ik.InterpolatedKernel(grid, window, "polyharmonic"), weights),
    ("10 anchors anywhere", ik.InterpolatedKernel(scattered, window), rng.normal(0, 1, len(scattered))),
]
figure = Figure(figsize=(12, 3.4), layout="constrained")
for ax, (title, kernel, values) in zip(figure.subplots(1, len(panels)), panels, strict=True):
    plot_kernel(kernel, values, ax, colorbar=False)
    ax.set_title(title, fontsize=11)
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
figure.savefig(Path(__file__).parent / "anchors.png", dpi=90)

volume = (5, 15, 15)
kernel = ik.InterpolatedKernel(ik.random_positions(volume, 24, rng=6), volume, "gaussian", widths=np.full((24, 3), 2.0))
figure = Figure(figsize=(12, 2.9), layout="compressed")
plot_kernel(kernel, rng.normal(size=24), figure.subplots(1, 5, sharex=True, sharey=True))
figure.savefig(Path(__file__).parent / "planes.png", dpi=90)
