"""Tensors of a GPU, as far as one can go without it: which engine serves, its errors, whose stream it is."""

import contextlib
import types

import pytest

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels.adapting import devices

torch = pytest.importorskip("torch")

from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402 # only where torch is

from interpolated_kernels_torch import interpolated_conv, numba_engine, sharing  # noqa: E402
from interpolated_kernels_torch.constants import write_call  # noqa: E402

KERNEL = ik.InterpolatedKernel(ik.grid_positions((3, 4), counts=(2, 2)), (3, 4), "linear")
MOVING = ik.InterpolatedKernel(ik.grid_positions((3, 4), counts=(2, 2)), (3, 4), "gaussian")


@pytest.fixture
def why_not(monkeypatch):
    """`why_not(reason)` lets the core say of CUDA's loops why they cannot run, or None."""
    return lambda reason: monkeypatch.setattr(adapting, "why_not_cuda", lambda: reason)


def make_operands():
    """Return x and weights, without values, on the second GPU of a machine that needs none."""
    return torch.empty(2, 4, 5, 6, device="cuda:1"), torch.empty(2, 2, 4, device="cuda:1")


@pytest.mark.parametrize("engine", ["auto", "numba"])
def test_the_loops_serve_where_they_can_run(engine, why_not, monkeypatch):
    """Where CUDA's loops can run, both "auto" and "numba" call the core's operator, whose y is on x's GPU."""
    why_not(None)
    called, conv = [], numba_engine.conv
    monkeypatch.setattr(numba_engine, "conv", lambda *arguments: called.append(1) or conv(*arguments))
    with FakeTensorMode():
        x, weights = make_operands()
        y = interpolated_conv(x, weights, KERNEL, groups=2, engine=engine)
    assert (y.shape, y.device, called) == ((2, 2, 3, 3), x.device, [1])


def test_gradients_are_on_the_gpu():
    """The operators of gradients tell a trace that these live where their operands do."""
    call, moving = (
        write_call(kernel, ((1, 1), ((0, 0),) * 2, ("zeros",) * 2, (1, 1), 2), "auto", "normwise")
        for kernel in (KERNEL, MOVING)
    )
    operators = torch.ops.interpolated_kernels
    with FakeTensorMode():
        x, weights = make_operands()
        grad_y, moved = x.new_empty(2, 2, 3, 3), [x.new_empty(4, 2, dtype=torch.float64)] * 2
        grads = operators.conv_grads(grad_y, x, weights, x.shape, weights.shape, call)
        wrt = ["x", "weights", "positions", "widths"]
        by_all = operators.conv_moving_grads(grad_y, x, weights, *moved, x.shape, wrt, moving)
    for found, operands in ((grads, (x, weights)), (by_all, (x, weights, *moved))):
        likes = [(tensor.shape, tensor.device, tensor.dtype) for tensor in operands]
        assert [(grad.shape, grad.device, grad.dtype) for grad in found] == likes


def test_the_native_engine_serves_where_they_cannot(why_not):
    """Without a driver "auto" takes torch's own operators, and "numba" says what is missing and where x is."""
    why_not("no driver")
    with FakeTensorMode():
        x, weights = make_operands()
        assert interpolated_conv(x, weights, KERNEL, groups=2).device == x.device
        with pytest.raises(ValueError, match="on cuda:1, and its loops cannot run there: no driver"):
            interpolated_conv(x, weights, KERNEL, groups=2, engine="numba")


@pytest.fixture
def autocast():
    """`autocast(dtype)` switches autocast on for GPUs, which `torch.autocast` refuses where there is none."""
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    yield lambda dtype: (torch.set_autocast_enabled("cuda", True), torch.set_autocast_dtype("cuda", dtype))
    torch.set_autocast_enabled("cuda", before[0])
    torch.set_autocast_dtype("cuda", before[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_decides_the_dtype(dtype, why_not, autocast):
    """Under autocast y has its dtype on a GPU too, whatever x and weights have; float64 stays."""
    why_not(None)
    autocast(dtype)
    with FakeTensorMode():
        x, weights = make_operands()
        assert interpolated_conv(x, weights, KERNEL, groups=2).dtype == dtype
        assert interpolated_conv(x.double(), weights, KERNEL, groups=2).dtype == torch.float64


def test_other_accelerators_are_not_cuda(why_not):
    """A tensor of another kind of device is refused by name, whatever CUDA's loops could do."""
    why_not(None)
    with FakeTensorMode(), pytest.raises(ValueError, match="a tensor is on xpu:0"):
        interpolated_conv(torch.empty(5, 6, device="xpu"), torch.empty(4, device="xpu"), KERNEL, engine="numba")


@pytest.fixture
def fresh():
    """What is asked once a process is asked anew, before and after."""
    devices.why_not_cuda.cache_clear()
    yield
    devices.why_not_cuda.cache_clear()


@pytest.mark.parametrize("error", [ImportError, RuntimeError])
def test_what_the_loops_lack_is_passed_on_once(error, fresh, monkeypatch):
    """What the loops say they lack is the reason; it is asked once: a call of a layer does not ask again."""
    asked = []

    def check_ready():
        asked.append(1)
        raise error("Install this.")

    monkeypatch.setattr(devices, "cuda_loops", types.SimpleNamespace(SIMULATES=False, check_ready=check_ready))
    assert [devices.why_not_cuda(), devices.why_not_cuda(), asked] == ["Install this", "Install this", [1]]


def test_a_stream_needs_the_loops(monkeypatch):
    """Whoever asks for a stream where the loops cannot run is told what is missing."""

    def check_ready():
        raise RuntimeError("No GPU can be used")

    monkeypatch.setattr(devices, "cuda_loops", types.SimpleNamespace(check_ready=check_ready))
    with pytest.raises(RuntimeError, match="No GPU can be used"), devices.on_stream(0, 0):
        pass


def test_the_tensor_s_own_gpu_and_stream_are_held(monkeypatch):
    """A call runs on the GPU of its tensor and on torch's current stream there, whichever GPU is the current one."""
    held = []

    @contextlib.contextmanager
    def hold(*what):
        held.append(what)
        yield
        held.append("released")

    monkeypatch.setattr(torch.cuda, "device", lambda device: hold(device))
    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda device: types.SimpleNamespace(cuda_stream=70 + device.index)
    )
    monkeypatch.setattr(adapting, "on_stream", hold)
    second = torch.device("cuda", 1)
    with sharing.hold_device(types.SimpleNamespace(is_cuda=True, device=second)):
        assert held == [(second,), (71, 1)]
    assert held[2:] == ["released", "released"]
    with sharing.hold_device(torch.zeros(3)):
        assert len(held) == 4


def test_memory_is_handed_over_as_it_stands(monkeypatch):
    """A contiguous tensor is handed over itself, without its gradient; others as torch's contiguous copies."""
    monkeypatch.setattr(sharing, "is_on_cuda", lambda tensor: True)
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    shared = sharing.as_array(x)
    assert (shared.data_ptr(), shared.requires_grad) == (x.data_ptr(), False)
    negative = torch.view_as_complex(torch.ones(3, 2)).conj().imag
    assert negative.is_neg()
    for scattered in (x.detach().T, x.detach()[:, ::2], torch.ones(1).expand(4), negative):
        handed = sharing.as_array(scattered)
        assert handed.is_contiguous()
        assert not handed.is_neg()
        assert torch.equal(handed, scattered)


def test_operators_are_there_for_cuda():
    """Every operator of this project's has a kernel for tensors on a GPU, as it has for those on the CPU."""
    for name in ("conv", "conv_grads", "conv_moving", "conv_moving_grads", "densify", "densify_grads"):
        for device in ("CPU", "CUDA"):
            assert torch._C._dispatch_has_kernel_for_dispatch_key(f"interpolated_kernels::{name}", device), name
