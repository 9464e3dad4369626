"""Arrays on a GPU, or on the simulator that numba switches on by `NUMBA_ENABLE_CUDASIM=1`: the same tests serve both.

The simulator runs a thread of a GPU as a thread of Python, so grids are cut to a few blocks there, which loop on as
they do where a grid is larger than CUDA allows, and hypothesis draws few examples.
"""

import os
import sys

import hypothesis
import numpy as np
import pytest

SIMULATES = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")
BLOCKS = (3, 2, 2)
SECONDS_OF_TURN = 1e-4  # the simulator polls its threads: whoever polls must give way soon

if SIMULATES:
    hypothesis.settings.register_profile("simulator", parent=hypothesis.settings.default, max_examples=8)
    hypothesis.settings.load_profile("simulator")


def _share_array(shared, shape, dtype, alignment=None):
    """An array that the threads of a block find by the line that asks for it; two of them may make numba's own."""
    caller = sys._getframe(1)
    place = caller.f_code.co_filename, caller.f_lineno
    return shared._allocations.setdefault(place, np.empty(shape, np.dtype(dtype)))  # which no thread interrupts


if SIMULATES:
    from numba.cuda.simulator.kernelapi import FakeCUDAShared

    FakeCUDAShared.array = _share_array


class Device:
    """How arrays get to a GPU and back."""

    simulates = SIMULATES

    def send(self, array):
        """A copy of a NumPy array on the GPU."""
        from numba import cuda

        return cuda.to_device(np.ascontiguousarray(array))

    def send_strided(self, array, step):
        """The same with gaps: `step` values apart along every axis."""
        wide = np.zeros([size * step for size in array.shape], array.dtype)
        every = (slice(None, None, step),) * array.ndim
        wide[every] = array
        return self.send(wide)[every]

    def take(self, array):
        """A copy on the host of an array on the GPU; what lives on the host is what it is."""
        return array.copy_to_host() if hasattr(array, "__cuda_ndarray__") else array

    def run(self, function, *arguments, **options):
        """What a function gives for copies on the GPU of the arrays among its arguments: an array there, taken back."""
        found = function(*map(self._send_array, arguments), **options)
        assert hasattr(found, "__cuda_ndarray__"), type(found)
        return self.take(found)

    def differentiate(self, function, *arguments, **options):
        """The same for a function that gives gradients: by name, those that are there."""
        found = function(*map(self._send_array, arguments), **options)
        assert all(grad is None or hasattr(grad, "__cuda_ndarray__") for grad in (found.x, found.weights))
        return {name: self.take(grad) for name, grad in vars(found).items() if grad is not None}

    def results(self, case, **options):
        """Y and both gradients of a case of `testing.strategies`, computed there."""
        sent = case.replace(**{name: self.send(getattr(case, name)) for name in ("x", "weights", "grad_y")})
        found = sent.results(**options)
        assert all(hasattr(each, "__cuda_ndarray__") for each in found.values())
        return {quantity: self.take(each) for quantity, each in found.items()}

    def _send_array(self, argument):
        return self.send(argument) if isinstance(argument, np.ndarray) else argument


@pytest.fixture(scope="session")
def device():
    """A `Device`; what asks for it is skipped where there is neither a GPU nor the simulator."""
    cuda = pytest.importorskip("numba.cuda")
    if not cuda.is_available():
        pytest.skip("no GPU is there; NUMBA_ENABLE_CUDASIM=1 runs this on numba's simulator")
    if not SIMULATES:
        yield Device()
        return
    before = sys.getswitchinterval()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("interpolated_kernels.loops.cuda.compile._MOST_BLOCKS", BLOCKS)
        sys.setswitchinterval(SECONDS_OF_TURN)
        yield Device()
        sys.setswitchinterval(before)


def pytest_collection_modifyitems(items):
    """NumPy's warnings in the simulator's threads, which no `errstate` reaches, are no failures."""
    for item in items:
        if SIMULATES and "/tests/cuda/" in item.path.as_posix():
            item.add_marker(pytest.mark.filterwarnings(r"ignore::RuntimeWarning:interpolated_kernels\.loops\.cuda"))
