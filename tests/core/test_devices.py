"""Arrays in the wrong place, and places that are not there: what a user is told where there is no GPU."""

import os
import re
import subprocess
import sys
import types

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.arrays import is_on_gpu
from interpolated_kernels.loops.cuda import compile as cuda_compile
from interpolated_kernels.loops.cuda import memory as cuda_memory

KERNEL = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "linear")
X, WEIGHTS = np.ones((1, 1, 9, 9), np.float32), np.ones((2, 1, 9), np.float32)

without_gpu = pytest.mark.skipif(
    cuda_compile.SIMULATES or cuda_compile.cuda.is_available(), reason="says what happens without a GPU"
)


class OnGpu:
    """What any library's array on a GPU looks like from outside."""

    def __init__(self, array, pointer=4096):
        self.__cuda_array_interface__ = {
            "shape": array.shape, "typestr": array.dtype.str, "data": (pointer, False), "version": 3,
        }  # fmt: skip


class Unshared:
    """A tensor that needs a gradient, which torch does not share."""

    @property
    def __cuda_array_interface__(self):
        raise RuntimeError("Can't get __cuda_array_interface__ on Variable that requires grad.")


@without_gpu
@pytest.mark.parametrize(
    "call",
    [
        lambda: ik.conv(OnGpu(X), OnGpu(WEIGHTS), KERNEL),
        lambda: ik.conv(OnGpu(X), WEIGHTS, KERNEL),
        lambda: ik.conv(X, WEIGHTS, KERNEL, out=OnGpu(X)),
        lambda: ik.densify(OnGpu(WEIGHTS), KERNEL),
        lambda: ik.conv_transpose(OnGpu(X), OnGpu(WEIGHTS), KERNEL),
        lambda: ik.plan(X.shape, WEIGHTS.shape, KERNEL, device="cuda"),
        lambda: ik.fit(OnGpu(X), OnGpu(X), KERNEL),
    ],
)
def test_without_a_driver_the_error_says_so(call):
    """Arrays that claim to live on a GPU are not looked for on the host."""
    with pytest.raises(RuntimeError, match=r"No GPU can be used: .*driver"):
        call()


@without_gpu
def test_a_gpu_is_planned_for_without_one():
    """A numbered device is a matter of words: its plan names the paths that have loops there."""
    plan = ik.plan(X.shape, WEIGHTS.shape, KERNEL, device="cuda:0")
    assert plan.path in ("direct", "lattice")
    why_not = {row.path: row.why_not for row in plan.candidates if row.cost is None}
    assert set(why_not) == {"basis", "fourier", "reference"}
    assert all("cuda:0" in reason for reason in why_not.values())
    assert "on the GPU" in str(plan)


@pytest.mark.parametrize("name", ["positions", "widths"])
def test_anchors_live_on_the_host(name):
    """A kernel's positions and widths on a GPU are refused by name: no copy is made silently."""
    there = {"positions": np.zeros((3, 2)), "widths": np.ones((3, 2)), name: OnGpu(X)}
    with pytest.raises(TypeError, match=f"`{name}` must live on the CPU, and lives on a GPU"):
        ik.InterpolatedKernel(there["positions"], (5, 5), "gaussian", widths=there["widths"])


@without_gpu
def test_info_says_why_there_is_no_gpu():
    """A bug report holds numba-cuda's version, and what it lacks."""
    assert re.match(r"numba-cuda \d.*: No GPU can be used: ", ik.info()["gpu"])


def test_holes_are_weighed_on_the_host_alone():
    """missing="renormalize" on a GPU raises instead of moving arrays."""
    with pytest.raises(ValueError, match="`missing`='renormalize' weighs arrays on the CPU, got arrays on cuda:0"):
        ik.plan(X.shape, WEIGHTS.shape, KERNEL, device="cuda:0", missing="renormalize")


def test_without_numba_cuda_the_error_says_what_to_install(monkeypatch):
    """Numba's own CUDA has been given up: it is not used by chance."""
    monkeypatch.setattr(cuda_compile.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(cuda_compile, "SIMULATES", False)
    cuda_compile.check_ready.cache_clear()
    with pytest.raises(ImportError, match=r"need numba-cuda: `pip install 'interpolated-kernels\[cuda\]'`"):
        cuda_compile.check_ready()


def test_without_the_compiler_the_error_says_what_to_install(monkeypatch):
    """A driver alone compiles nothing."""

    def fail():
        raise OSError("libNVVM cannot be found")

    monkeypatch.setattr(cuda_compile, "SIMULATES", False)
    monkeypatch.setattr(cuda_compile.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda_compile.nvvm, "NVVM", fail)
    cuda_compile.check_ready.cache_clear()
    with pytest.raises(RuntimeError, match="CUDA's compiler is missing, libNVVM"):
        cuda_compile.check_ready()


def test_released_memory_is_refused(monkeypatch):
    """A null pointer with cells behind it is what a freed tensor leaves."""
    monkeypatch.setattr(cuda_memory, "SIMULATES", False)
    monkeypatch.setattr(cuda_memory, "check_ready", lambda: None)
    with pytest.raises(ValueError, match="`x` has no memory: what it was on the GPU has been released"):
        cuda_memory.view("x", OnGpu(X, pointer=0))


def test_a_tensor_that_is_not_shared_is_refused(monkeypatch):
    """What a library says about it is passed on."""
    monkeypatch.setattr(cuda_memory, "SIMULATES", False)
    monkeypatch.setattr(cuda_memory, "check_ready", lambda: None)
    assert is_on_gpu(Unshared())
    with pytest.raises(TypeError, match=r"`weights` must be an array that can be shared on the GPU: .*requires grad"):
        cuda_memory.view("weights", Unshared())


class Pointers:
    """A driver that knows one pointer, on the third GPU."""

    class binding:  # noqa: N801  # as the driver's module has it
        CUdeviceptr = int

        class CUpointer_attribute:  # noqa: N801
            CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9

    @property
    def driver(self):
        return self

    def cuPointerGetAttribute(self, attribute, pointer):  # noqa: N802
        assert attribute == 9
        if pointer != 4096:
            raise OSError("CUDA_ERROR_INVALID_VALUE")
        return 2


def test_the_driver_says_where_an_array_lives(monkeypatch):
    """Whatever library it comes from, and whichever GPU is the current one; a released pointer is refused."""
    monkeypatch.setattr(cuda_memory, "SIMULATES", False)
    monkeypatch.setattr(cuda_memory, "check_ready", lambda: None)
    monkeypatch.setattr(cuda_memory, "driver", Pointers())
    assert cuda_memory.find_device(OnGpu(X), "x") == 2
    with pytest.raises(ValueError, match=r"`x` must be an array on a GPU, and the driver does not know its memory"):
        cuda_memory.find_device(OnGpu(X, pointer=8192), "x")


class ManyGpus:
    """What is used of numba's `cuda`, with the number of the current GPU, and a record of what was done."""

    def __init__(self):
        self.current, self.done = 0, []
        self.gpus = [self._hold(number) for number in range(3)]

    def _hold(self, number):
        many = self

        class Hold:
            def __enter__(self):
                self.before, many.current = many.current, number

            def __exit__(self, *_):
                many.current = self.before

        return Hold()

    def as_cuda_array(self, value):
        device = types.SimpleNamespace(id=self.current)
        owned = types.SimpleNamespace(context=types.SimpleNamespace(device=device))
        interface = value.__cuda_array_interface__
        return types.SimpleNamespace(
            gpu_data=owned,
            __cuda_array_interface__=interface,
            copy_to_host=lambda stream: self.done.append(self.current),
        )

    def current_context(self):
        return types.SimpleNamespace(device=types.SimpleNamespace(id=self.current))

    def to_device(self, array, stream):
        self.done.append("copied")

    def default_stream(self):
        return types.SimpleNamespace(synchronize=lambda: self.done.append("waited"))


@pytest.fixture
def many_gpus(monkeypatch):
    """Three GPUs, of which the first is the current one."""
    many = ManyGpus()
    monkeypatch.setattr(cuda_memory, "SIMULATES", False)
    monkeypatch.setattr(cuda_memory, "check_ready", lambda: None)
    monkeypatch.setattr(cuda_memory, "cuda", many)
    return many


def test_an_array_is_viewed_where_it_lives(many_gpus, monkeypatch):
    """The view of an array that another library has on a GPU belongs to that GPU, whichever is the current one."""
    monkeypatch.setattr(cuda_memory, "driver", Pointers())
    viewed = cuda_memory.view("x", OnGpu(X))
    assert (viewed.gpu_data.context.device.id, many_gpus.current) == (2, 0)
    cuda_memory.download(viewed)
    assert (many_gpus.done, many_gpus.current) == ([2], 0)


def test_a_table_is_there_before_it_is_kept(many_gpus):
    """A copy to the GPU is done when `upload` returns: other streams may read what is kept of it."""
    cuda_memory.upload(X)
    assert many_gpus.done == ["copied", "waited"]


SCRIPT = """
import numpy as np, interpolated_kernels as ik
from interpolated_kernels.loops.cuda import memory
from numba import cuda
kernel = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "linear")
x, weights = np.ones((1, 1, 9, 9), np.float32), np.ones((2, 1, 9), np.float32)
def attempt(call):
    try:
        call()
    except Exception as error:
        print(type(error).__name__, error)
attempt(lambda: ik.conv(cuda.to_device(x), weights, kernel))
attempt(lambda: ik.conv(x, weights, kernel, out=cuda.to_device(x)))
attempt(lambda: ik.conv(cuda.to_device(x), cuda.to_device(weights), kernel, out=cuda.to_device(x)))
attempt(lambda: ik.conv(cuda.to_device(x.astype(int)), cuda.to_device(weights), kernel))
def no_room(*_, **__):
    raise RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")
memory.cuda.device_array = no_room
attempt(lambda: ik.conv(cuda.to_device(x), cuda.to_device(weights), kernel, path="lattice"))
"""


def test_the_simulator_meets_the_same_errors():
    """Arrays in two places, of a wrong shape or dtype, and a GPU without room."""
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=environment)
    mixed, out, shape, dtype, room = done.stdout.strip().splitlines()
    assert mixed.startswith("TypeError `weights` must live where `x` does, on cuda:0, and lives on cpu")
    assert out.startswith("TypeError `out` must live where `x` does, on cpu, and lives on cuda:0")
    assert shape.startswith("ValueError `out` must have the result's shape (1, 2, 5, 5), got (1, 1, 9, 9)")
    assert dtype.startswith("TypeError `x` must be a floating array, got int64")
    assert room.startswith("MemoryError The GPU has no room for 200 bytes. path='lattice' needs ")
    assert "max_memory" in room
