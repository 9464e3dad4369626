"""Fit a blur from data, with 49 anchors and with all 961 cells: python docs/images/fit.py (needs the extra demo).

Prints the table of docs/fitting.md and draws its picture. A 512 x 512 image of noise is blurred by a rotated Gaussian
of 31 x 31 cells (sigma 6 and 3), noise is added, and the kernel is fitted to the pair.
"""

from pathlib import Path
from time import perf_counter

import numpy as np
from matplotlib.figure import Figure

import interpolated_kernels as ik

WINDOW, NOISE = (31, 31), (0.1, 1.0)
KERNELS = {
    "49 anchors, cubic": ik.InterpolatedKernel(ik.grid_positions(WINDOW, 5), WINDOW, "cubic"),
    "49 anchors, linear": ik.InterpolatedKernel(ik.grid_positions(WINDOW, 5), WINDOW, "linear"),
}


def rotated_gaussian() -> np.ndarray:
    rows, columns = np.indices(WINDOW) - 15.0
    along, across = (rows + columns) / 2**0.5, (rows - columns) / 2**0.5
    kernel = np.exp(-((along / 6) ** 2 + (across / 3) ** 2) / 2)
    return kernel / kernel.sum()


def fit_every_cell(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the unconstrained least squares, one weight a cell."""
    cells = int(np.prod(WINDOW))
    gram, right = np.zeros((cells, cells)), np.zeros(cells)
    for windows, outputs in zip(np.lib.stride_tricks.sliding_window_view(x, WINDOW), y, strict=True):
        design = windows.reshape(-1, cells)
        gram += design.T @ design
        right += design.T @ outputs
    return np.linalg.solve(gram, right).reshape(WINDOW)


rng, truth = np.random.default_rng(0), rotated_gaussian()
x = rng.standard_normal((512, 512))
every_cell = ik.InterpolatedKernel(np.indices(WINDOW).reshape(2, -1).T, WINDOW, "dilated")
clean = ik.conv(x, truth.ravel(), every_cell)
found: dict[tuple[str, float], np.ndarray] = {}
ik.fit(x[:64, :64], clean[:34, :34], KERNELS["49 anchors, cubic"])  # compile first
print("noise  fitted with         error of the kernel  seconds")
for share in NOISE:
    y = clean + share * clean.std() * rng.standard_normal(clean.shape)
    for name, kernel in [*KERNELS.items(), ("961 cells", None)]:
        start = perf_counter()
        dense = fit_every_cell(x, y) if kernel is None else ik.densify(ik.fit(x, y, kernel).weights, kernel)
        seconds = perf_counter() - start
        found[name, share] = dense
        error = np.linalg.norm(dense - truth) / np.linalg.norm(truth)
        print(f"{share:4.0%}   {name:20}{error:16.2%}   {seconds:10.2f}")

names = ["truth", "49 anchors, cubic", "961 cells"]
figure = Figure(figsize=(9, 6.2), layout="constrained")
for axes, share in zip(figure.subplots(2, 3), NOISE, strict=True):
    for ax, name in zip(axes, names, strict=True):
        ax.imshow(truth if name == "truth" else found[name, share], vmin=-0.2 * truth.max(), vmax=truth.max())
        ax.set(title=name if name == "truth" else f"{name}, noise {share:.0%}", xticks=[], yticks=[])
figure.savefig(Path(__file__).parent / "fit.png", dpi=80)
