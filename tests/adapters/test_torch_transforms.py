"""What torch does with a function besides calling it: derivatives, compile, export, transforms."""

import io

import numpy as np
import pytest

import interpolated_kernels as ik

torch = pytest.importorskip("torch")

from torch.autograd import forward_ad  # noqa: E402 # only where torch is

from interpolated_kernels_torch import InterpolatedConv2d, interpolated_conv  # noqa: E402

KERNEL = ik.InterpolatedKernel(ik.grid_positions((3, 4), counts=(2, 2)), (3, 4), "linear")
TIED = KERNEL.replace(channel_mode="tied")
OPTIONS = {"stride": (2, 1), "padding": ((1, 2), (0, 1)), "padding_mode": "reflect", "groups": 2}
WIDE = {"padding": ((9, 5), (7, 0)), "padding_mode": ("symmetric", "circular")}


def operands(kernel=KERNEL, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shape = (2, 4) if kernel.channel_mode == "tied" else (2, 2, 4)
    x, weights = (torch.randn(size, dtype=dtype, generator=generator) for size in ((2, 4, 4, 4), shape))
    return x.requires_grad_(), weights.requires_grad_()


def conv(engine, kernel=KERNEL, **options):
    return lambda x, weights: interpolated_conv(x, weights, kernel, engine=engine, **{**OPTIONS, **options})


def assert_same(actual, expected):
    """Equal up to float64's rounding of sums of some dozens of terms of order one."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=64 * 2.0**-52 * float(expected.detach().abs().max() + 1))


@pytest.mark.parametrize(
    ("kernel", "options"), [(KERNEL, {}), (TIED, {}), (KERNEL, WIDE)], ids=["separate", "tied", "wide padding"]
)
@pytest.mark.parametrize("engine", ["numba", "native"])
def test_gradients_of_first_and_second_order(engine, kernel, options):
    """Both engines pass gradcheck (with batched gradients) and gradgradcheck."""
    assert torch.autograd.gradcheck(conv(engine, kernel, **options), operands(kernel), check_batched_grad=True)
    assert torch.autograd.gradgradcheck(conv(engine, kernel, **options), operands(kernel))


@pytest.mark.parametrize("options", [{}, WIDE], ids=["", "wide padding"])
def test_native_has_forward_mode(options):
    """The native engine passes gradcheck in forward mode."""
    assert torch.autograd.gradcheck(
        conv("native", **options), operands(), check_forward_ad=True, check_backward_ad=False, fast_mode=True
    )


def test_operators_keep_torch_rules():
    """Both operators pass `opcheck`: schema, fake kernel, autograd registration, dynamic tracing."""
    from interpolated_kernels_torch import constants, numba_engine

    x, weights = operands()
    settled = (2, 1), ((1, 2), (0, 1)), ("reflect", "zeros"), (1, 1), 2
    call = constants.write_call(KERNEL, settled, "auto", "normwise")
    y = conv("numba", padding_mode=("reflect", "zeros"))(x, weights)
    grad = torch.randn_like(y).requires_grad_()
    torch.library.opcheck(numba_engine.conv_op, (x, weights, call))
    for given in ((x, weights), (None, weights), (x, None)):
        torch.library.opcheck(numba_engine.grads_op, (grad, *given, list(x.shape), list(weights.shape), call))


@pytest.mark.parametrize("options", [{}, WIDE], ids=["", "wide padding"])
@pytest.mark.parametrize("engine", ["numba", "native", "auto"])
def test_compiles_without_a_break(engine, options):
    """`torch.compile(fullgraph=True)` gives the eager y and gradients, also for other sizes and another kernel."""
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda x, weights, kernel: conv(engine, kernel, **options)(x, weights), fullgraph=True, backend="aot_eager"
    )
    other = KERNEL.replace(interpolator="nearest")
    for kernel, rows in ((KERNEL, 4), (KERNEL, 5), (KERNEL, 6), (other, 6)):
        x, weights = operands()
        x = torch.cat([x, x], 2)[:, :, :rows].detach().requires_grad_()
        expected = conv("native", kernel, **options)(x, weights)
        y = compiled(x, weights, kernel)
        assert_same(y, expected)
        grads = [torch.autograd.grad((result**2).sum(), (x, weights)) for result in (y, expected)]
        for actual, wanted in zip(*grads, strict=True):
            assert_same(actual, wanted)


def test_compiled_auto_stays_with_the_fast_engine():
    """While compiling, auto and numba put our operator into the graph; native puts none."""
    graphs = []

    def backend(graph, _):
        graphs.append(str(graph.graph))
        return graph

    for engine in ("auto", "numba", "native"):
        torch._dynamo.reset()
        torch.compile(conv(engine), fullgraph=True, backend=backend)(*operands())
    assert ["interpolated_kernels.conv" in graph for graph in graphs] == [True, True, False]


@pytest.mark.parametrize("name", ["jvp", "vmap", "grad"])
def test_compiled_transforms_are_native(name):
    """Inside `torch.compile`, auto serves a transform of torch.func by torch's own operators."""
    torch._dynamo.reset()
    x, weights = (operand.detach() for operand in operands())
    compiled = torch.compile(lambda x, w: TRANSFORMS[name](conv("auto"), x, w), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, weights), TRANSFORMS[name](conv("native"), x, weights))


def test_compiled_forward_mode_raises():
    """A tangent that enters a compiled call with our operator in it raises, and is not dropped."""
    torch._dynamo.reset()
    x, weights = (operand.detach() for operand in operands())
    with forward_ad.dual_level(), pytest.raises(RuntimeError, match="`engine`='numba' cannot serve forward mode"):
        torch.compile(conv("auto"), backend="aot_eager")(forward_ad.make_dual(x, x), weights)


@pytest.mark.parametrize("options", [{}, {"padding": 2, "padding_mode": "reflect"}], ids=["", "reflect"])
def test_traces_serve_other_sizes(options):
    """`torch.jit.trace` records torch's own operators, which serve other sizes."""
    layer = InterpolatedConv2d(4, 2, KERNEL, groups=2, **options)
    traced, x = torch.jit.trace(layer, (torch.randn(1, 4, 6, 7),)), torch.randn(3, 4, 9, 8)
    torch.testing.assert_close(traced(x), layer(x), rtol=0, atol=1e-5)


def exported(layer, strict):
    x = torch.randn(2, 4, 8, 9)
    batch, rows = torch.export.Dim("batch", min=2), torch.export.Dim("rows", min=5)
    return torch.export.export(layer, (x,), dynamic_shapes=({0: batch, 2: rows},), strict=strict)


@pytest.mark.parametrize("options", [{"padding": "same"}, {**WIDE, "padding": 40}], ids=["", "wide padding"])
@pytest.mark.parametrize("strict", [False, True])
def test_exports_native_with_open_sizes(strict, options):
    """A layer exports, saves, loads and runs at other sizes, without an operator of ours in its graph."""
    layer = InterpolatedConv2d(4, 2, KERNEL, groups=2, **options)
    program, buffer = exported(layer, strict), io.BytesIO()
    assert "interpolated_kernels.conv" not in str(program.graph)
    torch.export.save(program, buffer)
    buffer.seek(0)
    x = torch.randn(3, 4, 11, 9)
    torch.testing.assert_close(torch.export.load(buffer).module()(x), layer(x), rtol=0, atol=1e-5)


def test_exports_numba_as_one_operator():
    """With engine="numba" the exported graph holds our operator."""
    program = exported(InterpolatedConv2d(4, 2, KERNEL, groups=2, engine="numba"), strict=False)
    assert "interpolated_kernels.conv" in str(program.graph)


@pytest.mark.parametrize("engine", ["native", "auto"])
def test_forward_mode_is_the_linear_map(engine):
    """`torch.func.jvp` gives conv(dx, w) + conv(x, dw), for conv is linear in both."""
    x, weights = (operand.detach() for operand in operands())
    dx, dweights = torch.randn_like(x), torch.randn_like(weights)
    _, tangent = torch.func.jvp(conv(engine), (x, weights), (dx, dweights))
    assert_same(tangent, conv("numba")(dx, weights) + conv("numba")(x, dweights))


@pytest.mark.parametrize("engine", ["native", "auto"])
def test_transforms_of_torch_func(engine):
    """vmap over kernels' weights, grad and hessian work."""
    x, weights = (operand.detach() for operand in operands())
    batched = torch.func.vmap(conv(engine), (None, 0))(x, torch.stack([weights, 2 * weights]))
    assert_same(batched[1], 2 * conv("numba")(x, weights))
    energy = lambda values: (conv(engine)(x, values) ** 2).sum() / 2  # noqa: E731 # one line says it
    hessian = torch.func.hessian(energy)(weights)
    product = torch.einsum("fcnijk,ijk->fcn", hessian, weights)
    assert_same(product, torch.func.grad(energy)(weights))  # an energy of second order


TRANSFORMS = {
    "jvp": lambda f, x, w: torch.func.jvp(f, (x, w), (x, w)),
    "vmap": lambda f, x, w: torch.func.vmap(f, (None, 0))(x, torch.stack([w, w])),
    "grad": lambda f, x, w: torch.func.grad(lambda values: f(x, values).sum())(w),
}


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_numba_refuses_transforms(name):
    """numba by name raises under `torch.func`, where an operator would give zeros or fail obscurely."""
    with pytest.raises(ValueError, match=r"`engine`='numba' cannot serve this call: the call is under a torch.func"):
        TRANSFORMS[name](conv("numba"), *(operand.detach() for operand in operands()))


def test_numba_refuses_tangents():
    """numba by name raises where x carries a tangent; auto serves it natively."""
    x, weights = (operand.detach() for operand in operands())
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, torch.ones_like(x))
        with pytest.raises(ValueError, match="a tensor carries a tangent"):
            conv("numba")(dual, weights)
        assert_same(
            forward_ad.unpack_dual(conv("auto")(dual, weights)).tangent, conv("auto")(torch.ones_like(x), weights)
        )


def test_numba_refuses_tangents_in_its_backward_pass():
    """Forward mode over numba's reverse mode raises instead of dropping the tangent."""
    x, weights = operands()
    y = conv("numba")(x, weights)
    with forward_ad.dual_level(), pytest.raises(RuntimeError, match="`engine`='numba' cannot serve forward mode"):
        torch.autograd.grad(y, x, forward_ad.make_dual(torch.ones_like(y), torch.ones_like(y)))


def test_fake_tensors_leave_nothing_behind():
    """After a fake run on a GPU first met a kernel, eager calls still work."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        x, weights = torch.empty(2, 4, 5, 6, device="cuda"), torch.empty(2, 2, 4, device="cuda")
        assert conv("native")(x, weights).device.type == "cuda"
    conv("native")(*operands())  # nothing fake was kept


def test_constants_of_a_trace_are_not_kept():
    """After a transform or a fake run first met a kernel, eager calls still work."""
    kernel = KERNEL.replace(positions=np.asarray(KERNEL.positions) + 0.25)
    x, weights = (operand.detach() for operand in operands())
    torch.func.jvp(conv("native", kernel), (x, weights), (x, weights))
    torch.func.vmap(conv("native", kernel), (None, 0))(x, weights[None])
    assert_same(conv("native", kernel)(x, weights), conv("numba", kernel)(x, weights))


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_exports_after_a_transform_met_the_kernel(name):
    """Constants that a transform made, eager or compiled, are plain tensors that an export takes afterwards."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((3, 4), counts=(2, 2)), (3, 4), "linear")
    torch._dynamo.reset()
    function, tensors = conv("native", kernel), [operand.detach() for operand in operands()]
    transformed = torch.compile(lambda *tensors: TRANSFORMS[name](function, *tensors), backend="eager")
    transformed(*tensors)
    layer = InterpolatedConv2d(4, 2, kernel, groups=2, padding="same")
    x = torch.randn(2, 4, 8, 9)
    torch.testing.assert_close(exported(layer, strict=True).module()(x), layer(x), rtol=0, atol=1e-5)


def test_layers_in_a_row_compile():
    """A graph holds the constants of several kernels, and of one kernel twice."""
    torch._dynamo.reset()
    wide = KERNEL.replace(interpolator="polyharmonic")
    model = torch.nn.Sequential(*(InterpolatedConv2d(2, 2, kernel, engine="native") for kernel in (KERNEL, wide, wide)))
    x = torch.randn(1, 2, 12, 12)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), model(x), rtol=0, atol=1e-6)
