"""Times to compare between versions, with pytest-benchmark; not part of the tests.

make regressions ARGS="--benchmark-save=before"
make regressions ARGS="--benchmark-compare=0001 --benchmark-compare-fail=median:15%"
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.paths import PATHS

_TOO_SLOW = 0.5  # predicted seconds


def _grid(window: tuple[int, ...], spacing: int, interpolator: str = "linear") -> ik.InterpolatedKernel:
    return ik.InterpolatedKernel(ik.grid_positions(window, spacing), window, interpolator)


def _scattered(window: tuple[int, ...], count: int) -> ik.InterpolatedKernel:
    cells = np.random.default_rng(0).choice(int(np.prod(window)), count, replace=False)
    return ik.InterpolatedKernel(np.stack(np.unravel_index(cells, window), axis=-1), window)


# x's shape, filters, kernel, options
SHAPES: dict[str, tuple[tuple[int, ...], int, ik.InterpolatedKernel, dict[str, Any]]] = {
    "landscape": ((1, 1, 256, 256), 16, _grid((31, 31), 5), {}),
    "landscape wide": ((1, 1, 256, 256), 4, _grid((61, 61), 10), {"padding": "same"}),
    "one filter": ((1, 1, 512, 512), 1, _grid((31, 31), 5), {"padding": "same"}),
    "depthwise": ((2, 32, 56, 56), 32, _grid((31, 31), 5), {"padding": "same", "groups": 32}),
    "original": ((16, 1, 112, 112), 32, _grid((12, 12), 2, "polyharmonic"), {}),
    "scattered": ((1, 1, 256, 256), 8, _scattered((31, 31), 49), {"accuracy": "normwise"}),
    "few scattered, many filters": ((2, 4, 64, 64), 32, _scattered((15, 15), 6), {}),
    "many channels": ((2, 16, 64, 64), 16, _grid((15, 15), 2), {"padding": "same"}),
    "strided": ((4, 3, 128, 128), 16, _grid((16, 16), 4), {"stride": 4}),
    "dilated": ((1, 4, 128, 128), 8, _grid((13, 13), 3, "dilated"), {"dilation": 2}),
    "signal": ((4, 2, 20_000), 8, _grid((201,), 20), {"padding": "same"}),
    "volume": ((1, 1, 40, 40, 40), 4, _grid((11, 11, 11), 5), {}),
}


def _plan(shape: str, path: str) -> ik.Plan:
    x_shape, filters, kernel, options = SHAPES[shape]
    weights_shape = (filters, x_shape[1] // options.get("groups", 1), kernel.n_anchors)
    try:
        plan = ik.plan(x_shape, weights_shape, kernel, path=path, **options)
    except ValueError as error:
        pytest.skip(str(error))
    if plan.cost.seconds * x_shape[0] > _TOO_SLOW:
        pytest.skip("too slow to watch")
    return plan


def _arrays(plan: ik.Plan) -> list[np.ndarray]:
    rng, problem = np.random.default_rng(0), plan.problem
    shapes = (problem.y_shape, problem.x_shape, problem.weights_shape)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("path", sorted(PATHS))
def test_forward(path: str, shape: str, benchmark: Any) -> None:
    plan = _plan(shape, path)
    benchmark(plan.forward, *_arrays(plan)[1:])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("path", sorted(PATHS))
def test_backward(path: str, shape: str, benchmark: Any) -> None:
    plan = _plan(shape, path)
    benchmark(plan.backward, *_arrays(plan))


@pytest.mark.parametrize("path", ["auto", *sorted(PATHS)])
def test_small_call(path: str, benchmark: Any) -> None:
    kernel = _grid((5, 5), 2)
    x, weights = np.ones((1, 1, 16, 16), np.float32), np.ones((2, 1, kernel.n_anchors), np.float32)
    try:
        ik.conv(x, weights, kernel, path=path, accuracy="normwise")
    except ValueError as error:
        pytest.skip(str(error))
    benchmark(ik.conv, x, weights, kernel, path=path, accuracy="normwise")


def test_planning_a_known_problem(benchmark: Any) -> None:
    benchmark(ik.plan, (1, 1, 256, 256), (16, 1, 49), _grid((31, 31), 5))


def test_planning_a_new_problem(benchmark: Any) -> None:
    kernel, sides = _grid((31, 31), 5), iter(range(64, 1_000_000))
    benchmark.pedantic(lambda: ik.plan((1, 1, next(sides), 64), (16, 1, 49), kernel), rounds=50)


def test_densify(benchmark: Any) -> None:
    kernel = _grid((31, 31), 5)
    benchmark(ik.densify, np.ones((64, 1, kernel.n_anchors), np.float32), kernel)


def test_import(benchmark: Any) -> None:
    words = [sys.executable, "-c", "import interpolated_kernels"]
    benchmark.pedantic(subprocess.run, (words,), {"check": True}, rounds=5)
