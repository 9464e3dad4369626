"""The cost model of a GPU, and the memory that computations keep for one another."""

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels import calibration, machine
from interpolated_kernels.loops.cuda import compile as cuda_compile
from interpolated_kernels.loops.cuda import frame, memory, release, scratch

pytestmark = pytest.mark.skipif(
    not (cuda_compile.SIMULATES or cuda_compile.cuda.is_available()), reason="needs a GPU, or CUDA's simulator"
)


def test_constants_are_measured_on_the_gpu(monkeypatch, tmp_path):
    """`calibrate(device="cuda")` keeps them for that GPU, and later plans use them."""
    monkeypatch.setenv("INTERPOLATED_KERNELS_CACHE_DIR", str(tmp_path))
    if cuda_compile.SIMULATES:
        small = calibration._Probe("multiply_adds_per_second", "direct", (1, 1, 8, 8), (2, 1), (5, 5), 4)
        monkeypatch.setitem(calibration.PROBES, "cuda", (calibration.PROBES["cuda"][0], small))
        monkeypatch.setitem(calibration.BYTES_WRITTEN, "cuda", 64)
        monkeypatch.setattr(calibration, "FILTERS_MADE", 1)
    found = ik.calibrate(device="cuda")
    assert (tmp_path / "machine-cuda.json").is_file()
    assert found.name.startswith("calibrated ")
    assert machine.current_machine("cuda:0") == found
    kernel = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "linear")
    assert f"cost model: {found.name}" in str(ik.plan((1, 1, 9, 9), (1, 1, 9), kernel, device="cuda"))


def test_memory_serves_the_next_computation():
    """What a frame took is free after it; the smallest that is large enough is taken, and the largest replaced."""
    release()
    with frame():
        first, second = scratch((3, 4), np.float32), scratch((5,), np.float32)
        assert first.shape == (3, 4)
        assert not memory.shares_memory(first, second)
    with frame():
        again = scratch((2, 2), np.float32)
        assert memory.shares_memory(again, second)
        with frame():
            larger = scratch((20,), np.float32)
            assert not memory.shares_memory(larger, first)
        assert memory.shares_memory(scratch((20,), np.float32), larger)
    assert release()
    assert not release()


def test_results_are_not_taken_back():
    """What a call returned keeps its values when the next one computes."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((3, 3), 2), (3, 3), "linear")
    x, weights = np.arange(36.0).reshape(1, 1, 6, 6), np.ones((1, 1, 4))
    on_gpu = cuda_compile.cuda.to_device(x), cuda_compile.cuda.to_device(weights)
    grads = ik.conv_backward(cuda_compile.cuda.to_device(np.ones((1, 1, 4, 4))), *on_gpu, kernel)
    y = ik.conv(*on_gpu, kernel)
    kept = y.copy_to_host(), grads.x.copy_to_host(), grads.weights.copy_to_host()
    ik.conv(cuda_compile.cuda.to_device(-x), on_gpu[1], kernel)
    ik.conv_backward(cuda_compile.cuda.to_device(np.zeros((1, 1, 4, 4))), *on_gpu, kernel)
    for array, values in zip((y, grads.x, grads.weights), kept, strict=True):
        np.testing.assert_array_equal(array.copy_to_host(), values)
