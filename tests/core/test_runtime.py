import subprocess
import sys

import numpy as np
import pytest

import interpolated_kernels as ik


def test_threads_are_set_for_every_calling_thread(threads):
    """The number of threads is what was set, from any Python thread."""
    from concurrent.futures import ThreadPoolExecutor

    for n in (1, 2):
        threads(n)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(ik.get_num_threads).result() == n


@pytest.mark.parametrize(
    ("n", "error", "match"),
    [
        (0, ValueError, "`n` must be from 1 to"),
        (10**6, ValueError, "`n` must be from 1 to"),
        (1.0, TypeError, "`n` must be an int"),
        (True, TypeError, "`n` must be an int"),
    ],
)
def test_bad_numbers_of_threads(n, error, match):
    """Only 1 up to what numba started with."""
    with pytest.raises(error, match=match):
        ik.set_num_threads(n)


@pytest.mark.parametrize("mode", ["separate", "tied", "interpolated"])
@pytest.mark.parametrize("channels", [1, 3])
def test_initial_weights_have_torchs_mean_square(mode, channels):
    """The dense kernel's mean square is `1 / (3 fan_in)`, that of `nn.ConvNd`'s default."""
    window = (9, 7, channels) if mode == "interpolated" else (9, 7)
    kernel = ik.InterpolatedKernel(ik.grid_positions(window, 2), window, "linear", channel_mode=mode)
    weights = ik.initial_weights(kernel, 2000, channels, np.random.default_rng(0))
    assert weights.shape == (2000, channels, kernel.n_anchors) if mode == "separate" else (2000, kernel.n_anchors)
    mean_square = np.square(ik.densify(weights, kernel)).mean()
    assert abs(mean_square * 3 * channels * 63 - 1) < 0.05
    assert abs(weights.mean()) < 0.01 * np.abs(weights).max()


def test_initial_weights_refuse_nothing_to_make():
    """Filters and channels are at least one."""
    kernel = ik.InterpolatedKernel([[0]], 1, "nearest")
    with pytest.raises(ValueError, match="`filters` must be at least 1, got 0"):
        ik.initial_weights(kernel, 0, 1, np.random.default_rng(0))


_FIRST_CALLS = """
import threading
import numpy as np, interpolated_kernels as ik

rng, errors, start = np.random.default_rng(0), [], threading.Barrier(8)
names = ["polyharmonic", "rbf", "delaunay", "voronoi", "gaussian", "cone", "inverse_distance", "triangle"]
kernels = [ik.InterpolatedKernel(rng.uniform(0, 4, (6, 2)), (5, 5), name) for name in names]

def run(kernel, path):
    start.wait()
    try:
        ik.conv(np.ones((1, 1, 40, 40)), np.ones((1, 1, 6)), kernel, path=path, accuracy="normwise")
    except Exception as error:
        errors.append(repr(error))

paths = ["direct", "fourier"] * 4
threads = [threading.Thread(target=run, args=pair) for pair in zip(kernels, paths)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(errors)
"""


def test_first_calls_from_many_threads():
    """Eight threads whose first calls import numba and SciPy at once all get their results."""
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", _FIRST_CALLS], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
