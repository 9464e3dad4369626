"""Compiled loops: right on every tile and without the compiler, safe from several threads and after a fork."""

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.threads import workspace
from interpolated_kernels.loops.tiles.copies import copy_spaced
from interpolated_kernels.testing import assert_matches_reference

KERNEL = ik.InterpolatedKernel(ik.grid_positions((9, 9), 2), (9, 9), "linear")


def _run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 1000, 100_003])
def test_workspaces_begin_at_cache_lines(size, dtype):
    """Every thread's row begins at a cache line, and holds what was asked for."""
    rows = workspace(size, dtype)
    assert rows.dtype == dtype
    assert rows.shape[1] >= size
    assert [row.ctypes.data % 64 for row in rows] == [0] * len(rows)


@jit
def _copy_spaced(target, at, source, first, step, count):
    copy_spaced(target, at, source, first, step, count)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("step", [-3, -1, 1, 2, 3, 4, 5])
def test_spaced_values_are_copied(dtype, step):
    """Counts below, at and above whole vectors, at every alignment: all values, and nothing beside them."""
    for count in [*range(1, 20), 31, 32, 33]:
        source = np.arange(1, abs(step) * (count - 1) + 2).astype(dtype)  # it ends with the last value
        for at in (0, 1, 5):
            target = np.zeros(at + count + 3, dtype)
            _copy_spaced(target, at, source, 0 if step > 0 else len(source) - 1, step, count)
            np.testing.assert_array_equal(target[at : at + count], source[::step])
            assert not target[:at].any()
            assert not target[at + count :].any()


def test_loops_are_right_without_the_compiler():
    """With `NUMBA_DISABLE_JIT=1` the same loops run as Python, on every tile, with both gradients."""
    _run(
        """
        import numpy as np, interpolated_kernels as ik
        rng = np.random.default_rng(0)
        for window, filters, stride in (
            ((3, 3), 1, 1), ((3, 3), 2, 2), ((3, 3), 3, 1), ((3, 3), 5, 1), ((9, 2), 1, 1), ((5, 4), 1, 3),
        ):
            kernel = ik.InterpolatedKernel(ik.grid_positions(window, 1), window, "linear")
            x, w = rng.standard_normal((1, 2, 11, 12)), rng.standard_normal((filters, 2, kernel.n_anchors))
            results = []
            for path in ("reference", "direct", "lattice"):
                y = ik.conv(x, w, kernel, path=path, padding="same", stride=stride)
                grads = ik.conv_backward(y, x, w, kernel, path=path, padding="same", stride=stride)
                results.append((y, grads.x, grads.weights))
            for expected, *others in zip(*results):
                for ours in others:
                    assert abs(ours - expected).max() < 1e-9, (window, filters, stride)
        """,
        NUMBA_DISABLE_JIT="1",
    )


@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_python_threads_may_convolve_at_once(layer):
    """Several Python threads launch loops at the same time, on every threading layer, and each gets its own result."""
    _run(
        """
        import numpy as np, interpolated_kernels as ik
        from concurrent.futures import ThreadPoolExecutor
        kernel = ik.InterpolatedKernel(ik.grid_positions((9, 9), 2), (9, 9), "linear")
        x = np.random.default_rng(0).standard_normal((300, 300))
        weights = np.arange(25.0)
        expected = [ik.conv(x * k, weights, kernel) for k in range(8)]
        with ThreadPoolExecutor(8) as pool:
            for _ in range(4):
                for ours, single in zip(pool.map(lambda k: ik.conv(x * k, weights, kernel), range(8)), expected):
                    assert np.array_equal(ours, single)
        """,
        NUMBA_THREADING_LAYER=layer,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_convolves():
    """A child forked after a parallel launch gives the same result, on one thread where the layer is not fork-safe."""
    _run(
        """
        import os, warnings, numpy as np, interpolated_kernels as ik
        warnings.simplefilter("ignore", DeprecationWarning)
        kernel = ik.InterpolatedKernel(ik.grid_positions((9, 9), 2), (9, 9), "linear")
        x, weights = np.random.default_rng(0).standard_normal((300, 300)), np.arange(25.0)
        expected = ik.conv(x, weights, kernel)
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(ik.conv(x, weights, kernel), expected) else 1)
        assert os.waitpid(child, 0)[1] == 0
        """
    )


def test_threads_are_set_for_every_caller():
    """`set_num_threads` holds in threads started before and after it."""
    before = ik.get_num_threads()
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(ik.get_num_threads).result()
            ik.set_num_threads(1)
            assert pool.submit(ik.get_num_threads).result() == 1
    finally:
        ik.set_num_threads(before)


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (10**6, ValueError), (1.0, TypeError), (True, TypeError)])
def test_a_number_of_threads_out_of_range_raises(n, error):
    """The number of threads is an int from 1 to what numba started with."""
    with pytest.raises(error, match="`n` must be"):
        ik.set_num_threads(n)


@pytest.mark.parametrize("filters", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("shape", [(9, 9), (9, 16), (40, 23), (57, 64)])
def test_every_tile_and_tail_matches_the_reference(filters, shape):
    """Widths of tiles, rows that fill no tile and columns that fill no vector all match the reference."""
    rng = np.random.default_rng(filters)
    x = rng.standard_normal((2, 1, *shape)).astype(np.float32)
    weights = rng.standard_normal((filters, 1, 25)).astype(np.float32)
    assert_matches_reference(ik.conv(x, weights, KERNEL, path="direct"), x, weights, KERNEL)


def test_info_reports_what_a_bug_report_needs():
    """`info` names versions, threads and the cache folder."""
    assert {"numpy", "numba", "threads", "threading_layer", "cache_folder"} <= set(ik.info())
