"""Random problems for the planner: all that changes which path is fastest, from tiny ones to some ten milliseconds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import interpolated_kernels as ik

FASTEST_SECONDS = (2e-5, 3e-2)  # what the cheapest path is predicted to take, one sample after the other on one thread
_WIDEST_WINDOW = {1: 255, 2: 45, 3: 15}
_LARGEST_SIDE = {1: 200_000, 2: 1500, 3: 120}


@dataclass(frozen=True)
class Trial:
    """Shapes, a kernel and options; no arrays."""

    x_shape: tuple[int, ...]
    filters: int
    kernel: ik.InterpolatedKernel
    dtype: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def weights_shape(self) -> tuple[int, ...]:
        return (self.filters, self.x_shape[1] // self.options["groups"], self.kernel.n_anchors)

    def plan(self, path: str = "auto") -> ik.Plan:
        return ik.plan(self.x_shape, self.weights_shape, self.kernel, dtype=self.dtype, path=path, **self.options)

    def arrays(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        return rng.standard_normal(self.x_shape).astype(self.dtype), rng.standard_normal(self.weights_shape).astype(
            self.dtype
        )

    def __str__(self) -> str:
        kernel, options = self.kernel, self.options
        name = type(kernel.interpolator).__name__.lower()
        extras = [f"{key} {options[key]}" for key, usual in _USUAL.items() if options[key] != usual]
        shape = f"{_by_x(self.x_shape)} -> {self.filters}"
        words = [f"{shape:26}", f"window {_by_x(kernel.window)}", f"{kernel.n_anchors} {name}", self.dtype, *extras]
        return ", ".join(words)


_USUAL = {"groups": 1, "stride": 1, "dilation": 1, "padding": "valid", "accuracy": "componentwise"}


def _by_x(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def random_trials(count: int, seed: int) -> Iterator[Trial]:
    """Yield random problems, the same for the same seed and version."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        d = int(rng.choice([1, 2, 2, 2, 3]))
        kernel = random_kernel(rng, d)
        groups, channels, filters = _random_channels(rng)
        options = {
            "groups": groups,
            "stride": int(rng.choice([1, 1, 1, 2, 3])),
            "dilation": int(rng.choice([1, 1, 1, 1, 2])),
            "padding": str(rng.choice(["valid", "same"])),
            "accuracy": str(rng.choice(["componentwise", "normwise"])),
        }
        dtype = str(rng.choice(["float32", "float32", "float64"]))
        batch = int(rng.choice([1, 1, 2, 4]))
        target = float(np.exp(rng.uniform(*np.log(FASTEST_SECONDS))))
        reach = [(cells - 1) * options["dilation"] + 1 for cells in kernel.window]
        more = rng.uniform(0.2, 1.0, d) * _LARGEST_SIDE[d]
        while True:
            spatial = (cells + int(size) for cells, size in zip(reach, more, strict=True))
            trial = Trial((batch, channels, *spatial), filters, kernel, dtype, options)
            if batch * trial.plan().cost.seconds <= target or more.max() < 1:
                break
            more = more * 0.8
        yield trial


def random_kernel(rng: np.random.Generator, d: int) -> ik.InterpolatedKernel:
    """Return a kernel of d axes: anchors on even and uneven grids, or scattered over the window's cells."""
    window = tuple(int(cells) for cells in rng.integers(3, _WIDEST_WINDOW[d] + 1, d))
    interpolator = str(rng.choice(["linear", "linear", "nearest", "polyharmonic", "dilated"]))
    if interpolator in ("polyharmonic", "dilated") and rng.random() < 0.5:
        cells = int(np.prod(window))
        count = int(rng.integers(min(2 * d + 2, cells), min(60, cells) + 1))
        picked = rng.choice(cells, count, replace=False)
        positions = np.stack(np.unravel_index(picked, window), axis=-1)
    else:
        axes = [_random_axis(rng, cells) for cells in window]
        positions = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, d)
        if len(positions) > 400 and interpolator == "polyharmonic":  # its matrix is solved
            positions = rng.permutation(positions)[:400]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ik.AnchorWarning)  # a line of anchors is a problem like any other here
        return ik.InterpolatedKernel(positions, window, interpolator)


def _random_axis(rng: np.random.Generator, cells: int) -> np.ndarray:
    axis = np.arange(0, cells, int(rng.integers(1, 10)))
    if rng.random() < 0.2 and len(axis) > 2:
        return np.sort(rng.choice(cells, len(axis), replace=False))
    return axis


def _random_channels(rng: np.random.Generator) -> tuple[int, int, int]:
    """Return groups, channels and filters: one channel, depthwise, or many channels mixed."""
    kind = rng.choice(["one", "one", "depthwise", "many"])
    if kind == "one":
        return 1, 1, int(rng.integers(1, 33))
    if kind == "depthwise":
        channels = int(rng.integers(2, 65))
        return channels, channels, channels * int(rng.choice([1, 1, 2]))
    groups = int(rng.choice([1, 1, 2]))
    return groups, groups * int(rng.integers(2, 17)), groups * int(rng.integers(1, 17))
