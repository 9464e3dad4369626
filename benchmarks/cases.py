"""The benchmark's cases: what is convolved, and which peers can do the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

import interpolated_kernels as ik

_TORCH = ("torch", "torch, padded first")


@dataclass(frozen=True)
class Case:
    """One row of the table: shapes, a kernel, options, the peers that serve them, and what gradients are taken by."""

    name: str
    x_shape: tuple[int, ...]
    filters: int
    kernel: ik.InterpolatedKernel
    options: dict[str, Any] = field(default_factory=dict)
    peers: tuple[str, ...] = ("torch",)
    backward: bool = True
    wrt: tuple[str, ...] = ("x", "weights")

    @property
    def moves(self) -> bool:
        """Whether anchors are learned: then every run has a new kernel."""
        return "positions" in self.wrt

    @property
    def groups(self) -> int:
        return int(self.options.get("groups", 1))

    @property
    def weights_shape(self) -> tuple[int, int, int]:
        return (self.filters, self.x_shape[1] // self.groups, self.kernel.n_anchors)

    def arrays(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return x and weights, float32, normal."""
        rng = np.random.default_rng(seed)
        return (
            rng.standard_normal(self.x_shape).astype(np.float32),
            rng.standard_normal(self.weights_shape).astype(np.float32),
        )


def linear_grid(window: tuple[int, ...], spacing: int | tuple[int, ...]) -> ik.InterpolatedKernel:
    return ik.InterpolatedKernel(ik.grid_positions(window, spacing), window, "linear")


def scattered(window: tuple[int, int], count: int, seed: int = 0) -> ik.InterpolatedKernel:
    """Return a polyharmonic kernel of anchors on distinct random cells."""
    cells = np.random.default_rng(seed).choice(int(np.prod(window)), count, replace=False)
    return ik.InterpolatedKernel(np.stack(np.unravel_index(cells, window), axis=-1), window)


def splats(channels: int, window: tuple[int, int], count: int, seed: int = 0) -> ik.InterpolatedKernel:
    """Return Gaussian splats with positions and widths of their own for every channel, as dcls draws them."""
    rng, middle = np.random.default_rng(seed), np.array(window) // 2
    positions = np.clip(rng.normal(middle, 0.5 * middle, (channels, 1, count, 2)), 0, np.array(window) - 1)
    return ik.InterpolatedKernel(positions, window, "gaussian", widths=np.full(positions.shape, 0.23))


def standard_cases() -> list[Case]:
    """Return the cases that the project's own figures are for."""
    a = linear_grid((31, 31), 5)
    original = ik.InterpolatedKernel(ik.grid_positions((12, 12), 2), (12, 12))
    return [
        Case("A landscape", (1, 1, 1024, 1024), 16, a, {}, ("torch", "scipy")),
        Case(
            "B one filter", (1, 1, 1024, 1024), 1, a, {"padding": "same"}, (*_TORCH, "opencv", "scipy"), backward=False
        ),
        Case("C depthwise", (8, 64, 56, 56), 64, a, {"padding": "same", "groups": 64}, _TORCH),
        Case("D original", (128, 1, 112, 112), 32, original, {}, ("torch", "tensorflow")),
        Case("D' linear", (128, 1, 112, 112), 32, linear_grid((12, 12), 2)),
        Case("E scattered", (1, 1, 1024, 1024), 16, scattered((31, 31), 49), {"accuracy": "normwise"}),
        Case("F channels", (4, 16, 256, 256), 16, a),
        Case("G volume", (1, 1, 96, 96, 96), 4, linear_grid((16, 16, 16), 5)),
        Case(
            "H splats",
            (4, 96, 56, 56),
            96,
            splats(96, (17, 17), 34),
            {"padding": "same", "groups": 96, "accuracy": "normwise"},
            ("dcls",),
            wrt=("x", "weights", "positions", "widths"),
        ),
    ]


def growth_cases() -> tuple[Case, Case]:
    """Return A with padding "same" and windows of 31 and 61, both of 7 x 7 anchors."""
    shape, same = (1, 1, 1024, 1024), {"padding": "same"}
    return (
        Case("I window 31", shape, 16, linear_grid((31, 31), 5), same),
        Case("I window 61", shape, 16, linear_grid((61, 61), 10), same),
    )


def gpu_cases() -> list[Case]:
    """Return the cases that a GPU is measured on: A and C, larger, and two whose time is that of their bytes (M)."""
    a, small = linear_grid((31, 31), 5), linear_grid((9, 9), 4)
    depthwise = {"padding": "same", "groups": 256}
    return [
        Case("GPU A landscape", (1, 1, 4096, 4096), 16, a),
        Case("GPU C depthwise", (64, 256, 56, 56), 256, a, depthwise),
        Case("GPU M one filter", (1, 1, 8192, 8192), 1, small, {"padding": "same"}),
        Case("GPU M depthwise", (64, 256, 56, 56), 256, small, depthwise),
    ]


def random_cases(count: int, seed: int) -> list[Case]:
    """Return neighbours of A and C: other windows, spacings, grids that do not fit or are uneven, sizes, strides.

    C's peer is torch on an image that is padded first, since its own padding there takes many times as long.
    """
    rng = np.random.default_rng(seed)
    cases = []
    for index in range(count):
        window = (int(rng.integers(9, 64)), int(rng.integers(9, 64)))
        axes = []
        for cells in window:
            spacing = int(rng.integers(2, 10))
            axis = np.arange(0, cells, spacing)
            if rng.random() < 0.3 and len(axis) > 2:
                axis = np.sort(rng.choice(cells, len(axis), replace=False))
            axes.append(axis)
        positions = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
        kernel = ik.InterpolatedKernel(positions, window, "linear")
        options: dict[str, Any] = {"padding": "same", "stride": int(rng.choice([1, 1, 1, 2, 3]))}
        if index % 2:
            channels = int(rng.integers(16, 97))
            side = int(rng.integers(40, 90))
            shape = (int(rng.integers(1, 5)), channels, side, side + int(rng.integers(0, 9)))
            cases.append(
                Case(f"C{index}", shape, channels, kernel, {**options, "groups": channels}, ("torch, padded first",))
            )
        else:
            shape = (1, 1, int(rng.integers(300, 900)), int(rng.integers(300, 900)))
            cases.append(Case(f"A{index}", shape, int(rng.integers(4, 25)), kernel, options))
    return cases
