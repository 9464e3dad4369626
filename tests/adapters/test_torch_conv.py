"""The function: both engines against the reference, dtypes, layouts, and the errors of mistakes."""

import warnings

import hypothesis
import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.testing import strategies

torch = pytest.importorskip("torch")

from interpolated_kernels_torch import interpolated_conv  # noqa: E402 # only where torch is

ENGINES = ("numba", "native")


def make_case(seed, kernel, x_shape, weights_shape, dtype="float64", **options):
    rng = np.random.default_rng(seed)
    x, weights = rng.standard_normal(x_shape), rng.standard_normal(weights_shape)
    grad_y = rng.standard_normal(ik.conv(x, weights, kernel, path="reference", **options).shape)
    return strategies.Case(*(array.astype(dtype) for array in (x, weights, grad_y)), kernel, options)


def grid(window, interpolator="linear", **options):
    return ik.InterpolatedKernel(ik.grid_positions(window, counts=(2,) * len(window)), window, interpolator, **options)


def per_filter(lead, **options):
    positions = np.random.default_rng(3).uniform(0, 3, (*lead, 4, 2))
    return ik.InterpolatedKernel(positions, (4, 3), "polyharmonic", **options)


CASES = {
    "plain": (grid((3, 4)), (6, 7), (4,), {}),
    "plain_stack": (grid((3,)), (2, 3, 8), (2,), {"padding": "same"}),
    "unbatched": (grid((3, 4)), (2, 6, 7), (3, 2, 4), {"stride": (1, 2)}),
    "one_axis_causal": (grid((4,)), (2, 2, 9), (3, 2, 2), {"padding": "causal", "dilation": 2}),
    "three_axes": (grid((2, 3, 4)), (2, 2, 4, 5, 6), (2, 2, 8), {"padding": ((1, 0), (0, 2), (1, 1))}),
    "groups": (grid((3, 4), "nearest"), (2, 4, 6, 7), (6, 2, 4), {"groups": 2, "padding": 2}),
    "tied": (grid((3, 4), channel_mode="tied"), (2, 6, 6, 7), (4, 4), {"groups": 2, "padding": "same", "stride": 2}),
    "interpolated": (grid((3, 4, 2), channel_mode="interpolated"), (2, 4, 6, 7), (2, 8), {"groups": 2}),
    "per_filter": (per_filter((3,)), (2, 2, 6, 7), (3, 2, 4), {}),
    "per_filter_tied": (per_filter((3,), channel_mode="tied"), (2, 2, 6, 7), (3, 4), {}),
    "per_channel": (per_filter((2, 3)), (2, 3, 6, 7), (2, 3, 4), {}),
    "empty_batch": (grid((3, 4), channel_mode="tied"), (0, 6, 6, 7), (4, 4), {"groups": 2}),
    **{
        mode: (grid((3, 4)), (2, 2, 6, 7), (3, 2, 4), {"padding": ((1, 2), (3, 0)), "padding_mode": mode})
        for mode in ("zeros", "reflect", "replicate", "circular", "symmetric")
    },
    **{
        f"wide_{mode}": (grid((3, 4)), (2, 2, 6, 1), (3, 2, 4), {"padding": ((13, 6), (3, 9)), "padding_mode": mode})
        for mode in ("reflect", "replicate", "circular", "symmetric")
    },
    "modes": (grid((3, 4)), (2, 2, 6, 7), (3, 2, 4), {"padding": (4, 9), "padding_mode": ("zeros", "reflect")}),
    "a_mode_twice": (
        grid((2, 3, 4)),
        (2, 2, 4, 5, 6),
        (2, 2, 8),
        {"padding": ((3, 2), (0, 2), (1, 1)), "padding_mode": ["reflect", "circular", "reflect"]},
    ),
}


def assert_engine_matches(case, engine):
    """Hold y and both gradients of one engine to the bounds of the reference."""
    x, weights = (torch.from_numpy(array.copy()).requires_grad_() for array in (case.x, case.weights))
    y = interpolated_conv(x, weights, case.kernel, engine=engine, **case.options)
    y.backward(torch.from_numpy(case.grad_y.copy()))
    case.assert_matches("y", y.detach().numpy())
    case.assert_matches("grad_x", x.grad.numpy())
    case.assert_matches("grad_weights", weights.grad.numpy(), arithmetic=case.x.dtype.name)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", sorted(CASES))
def test_engines_match_the_reference(name, engine):
    """Every shape, channel mode and padding gives the reference's y and gradients on both engines."""
    kernel, x_shape, weights_shape, options = CASES[name]
    assert_engine_matches(make_case(1, kernel, x_shape, weights_shape, **options), engine)


@hypothesis.given(case=strategies.cases(), engine=hypothesis.strategies.sampled_from(ENGINES))
@hypothesis.settings(deadline=None, max_examples=25)
def test_engines_match_the_reference_everywhere(case, engine):
    """For random problems both engines give the reference's y within its bound."""
    x, weights = torch.from_numpy(case.x), torch.from_numpy(case.weights)
    case.assert_matches("y", interpolated_conv(x, weights, case.kernel, engine=engine, **case.options).numpy())


@pytest.mark.parametrize("engine", ENGINES)
def test_bias_is_added_to_every_filter(engine):
    """y with a bias is y without it, plus one value a filter."""
    case = make_case(2, grid((3, 4)), (2, 2, 6, 7), (3, 2, 4))
    x, weights, bias = torch.from_numpy(case.x), torch.from_numpy(case.weights), torch.tensor([1.0, 2.0, 3.0])
    y = interpolated_conv(x, weights, case.kernel, bias, engine=engine)
    without = interpolated_conv(x, weights, case.kernel, engine=engine)
    torch.testing.assert_close(y, without + bias[:, None, None], rtol=0, atol=0)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_dtypes_compute_in_float32(dtype, engine):
    """float16 and bfloat16 give the float32 result of the same values, rounded once, and gradients as they came."""
    case = make_case(3, grid((3, 4)), (2, 2, 6, 7), (3, 2, 4), "float32")
    x, weights = torch.from_numpy(case.x).to(dtype), torch.from_numpy(case.weights).to(dtype).requires_grad_()
    y = interpolated_conv(x, weights, case.kernel, engine=engine)
    wide = interpolated_conv(x.float(), weights.float(), case.kernel, engine=engine)
    torch.testing.assert_close(y, wide.to(dtype), rtol=0, atol=0)
    y.sum().backward()
    assert (y.dtype, weights.grad.dtype) == (dtype, dtype)


@pytest.mark.parametrize("engine", ENGINES)
def test_dtypes_promote_as_in_numpy(engine):
    """float32 x with float64 weights give float64."""
    x, weights = torch.ones(1, 1, 6, 7), torch.ones(1, 1, 4, dtype=torch.float64)
    assert interpolated_conv(x, weights, grid((3, 4)), engine=engine).dtype == torch.float64


@pytest.mark.parametrize("engine", ENGINES)
def test_layouts_do_not_matter(engine):
    """Transposed, strided and broadcast inputs and gradients give what their contiguous copies give."""
    case = make_case(4, grid((3, 4)), (2, 2, 6, 7), (3, 2, 4))
    base = torch.from_numpy(np.repeat(case.x.transpose(3, 2, 0, 1), 2, axis=0))
    weights = torch.from_numpy(case.weights.transpose(2, 1, 0).copy()).permute(2, 1, 0)
    x = base[::2].permute(2, 3, 1, 0)
    assert not x.is_contiguous()
    grads = []
    for operands in ((x, weights), (x.contiguous(), weights.contiguous())):
        leaves = [operand.detach().requires_grad_() for operand in operands]
        y = interpolated_conv(*leaves, case.kernel, engine=engine)
        case.assert_matches("y", y.detach().numpy())
        y.sum().backward()  # its gradient is one value, expanded with strides of 0
        grads.append([leaf.grad for leaf in leaves])
    for scattered, contiguous in zip(*grads, strict=True):
        torch.testing.assert_close(scattered, contiguous, rtol=0, atol=1e-13)


def test_contiguous_tensors_are_not_copied(monkeypatch):
    """The core sees the tensors' own memory."""
    seen = []
    monkeypatch.setattr(ik, "conv", lambda x, weights, **options: seen.extend((x, weights)) or np.zeros((1, 1, 4, 4)))
    x, weights = torch.zeros(1, 1, 6, 7), torch.zeros(1, 1, 4)
    interpolated_conv(x, weights, grid((3, 4)), engine="numba")
    assert [array.ctypes.data for array in seen] == [x.data_ptr(), weights.data_ptr()]


@pytest.mark.parametrize("names", [("x",), ("weights",), ("x", "weights")], ids="_".join)
def test_the_core_is_asked_once_for_what_is_needed(monkeypatch, names):
    """The backward pass asks the core for the gradients that are needed, together."""
    asked, backward = [], ik.conv_backward
    monkeypatch.setattr(
        ik, "conv_backward", lambda *args, **options: asked.append(options["wrt"]) or backward(*args, **options)
    )
    x, weights = (
        torch.ones(1, 1, 6, 7, requires_grad="x" in names),
        torch.ones(1, 1, 4, requires_grad="weights" in names),
    )
    interpolated_conv(x, weights, grid((3, 4)), engine="numba").sum().backward()
    assert asked == [names]


def test_collinear_anchors_warn_once_at_construction():
    """A kernel that was warned about does not warn again when an operator meets it."""
    with pytest.warns(ik.AnchorWarning, match="slope"):
        kernel = ik.InterpolatedKernel([[0, 0], [1, 1], [2, 2]], (3, 3), "polyharmonic")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ik.AnchorWarning)
        y = interpolated_conv(torch.ones(1, 1, 5, 5), torch.ones(1, 1, 3), kernel, engine="numba")
    assert y.shape == (1, 1, 3, 3)


KERNEL, X, WEIGHTS = grid((3, 4)), torch.ones(2, 2, 6, 7), torch.ones(3, 2, 4)
MISTAKES = {
    "integer_x": (TypeError, "`x` must be a floating", (X.long(), WEIGHTS, KERNEL), {}),
    "bool_weights": (TypeError, "`weights` must be a floating", (X, WEIGHTS.bool(), KERNEL), {}),
    "complex_x": (TypeError, "`x` must be real", (X.cfloat(), WEIGHTS, KERNEL), {}),
    "array_x": (TypeError, "`x` must be a torch.Tensor", (X.numpy(), WEIGHTS, KERNEL), {}),
    "sparse_x": (TypeError, "`x` must be a dense", (X.to_sparse(), WEIGHTS, KERNEL), {}),
    "two_devices": (ValueError, "`weights` must be on x's device", (X, WEIGHTS.to("meta"), KERNEL), {}),
    "no_kernel": (TypeError, "`kernel` must be an InterpolatedKernel", (X, WEIGHTS, "linear"), {}),
    "weights_shape": (ValueError, "`weights` must have shape", (X, WEIGHTS[:, :1], KERNEL), {}),
    "anchors": (ValueError, "`weights` must end in 4 anchors", (X, WEIGHTS[..., :3], KERNEL), {}),
    "x_ndim": (ValueError, "`x` must have shape", (X[0, 0], WEIGHTS, KERNEL), {}),
    "window": (ValueError, "`window` must fit", (X[..., :3], WEIGHTS, KERNEL), {}),
    "float_stride": (TypeError, "`stride` must be an int", (X, WEIGHTS, KERNEL), {"stride": 1.5}),
    "nested_float_stride": (TypeError, "`stride` must be an int", (X, WEIGHTS, KERNEL), {"stride": (1.0, 1)}),
    "zero_stride": (ValueError, "`stride` must be at least 1", (X, WEIGHTS, KERNEL), {"stride": 0}),
    "bool_groups": (TypeError, "`groups` must be an int", (X, WEIGHTS, KERNEL), {"groups": True}),
    "groups": (ValueError, "`x` must have 6 channels, 2 in each of `groups`=3", (X, WEIGHTS, KERNEL), {"groups": 3}),
    "padding": (ValueError, "`padding` must be one of", (X, WEIGHTS, KERNEL), {"padding": "sam"}),
    "modes": (ValueError, "`padding_mode` must be one mode or", (X, WEIGHTS, KERNEL), {"padding_mode": ("zeros",) * 3}),
    "accuracy": (ValueError, "`accuracy` must be one of", (X, WEIGHTS, KERNEL), {"accuracy": "high"}),
    "bias": (ValueError, "`bias` must have shape", (X, WEIGHTS, KERNEL, torch.ones(2)), {}),
    "positions": (ValueError, "`positions` cannot be learned", (X, WEIGHTS, KERNEL), {"positions": torch.ones(4, 2)}),
    "widths": (ValueError, "`widths` cannot be learned", (X, WEIGHTS, KERNEL), {"widths": torch.ones(4, 2)}),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_mistakes_raise_alike_on_both_engines(name, engine):
    """A mistake is the core's error on either engine."""
    error, message, arguments, options = MISTAKES[name]
    with pytest.raises(error, match=message):
        interpolated_conv(*arguments, engine=engine, **options)


def test_unknown_engine_raises():
    """An unknown engine is named with the known ones."""
    with pytest.raises(ValueError, match="`engine` must be one of auto, native, numba"):
        interpolated_conv(X, WEIGHTS, KERNEL, engine="cuda")


def test_path_belongs_to_numba():
    """A path by name runs on numba, and native, which has none, refuses it."""
    y = interpolated_conv(X, WEIGHTS, KERNEL, path="reference")
    torch.testing.assert_close(y, interpolated_conv(X, WEIGHTS, KERNEL, engine="numba"), rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="`path`='direct' is this project's own and needs engine='numba'"):
        interpolated_conv(X, WEIGHTS, KERNEL, path="direct", engine="native")
