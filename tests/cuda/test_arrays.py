"""Arrays as users have them on a GPU: with gaps, narrow, in two dtypes, without cells, and `out`."""

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.testing import assert_matches_reference

KERNEL = ik.InterpolatedKernel(ik.grid_positions((3, 3), 2), (3, 3), "linear")
OPTIONS = {"padding": ((1, 0), (0, 2)), "padding_mode": ("reflect", "zeros"), "stride": (1, 2)}
PATH = pytest.mark.parametrize("path", ["direct", "lattice"])


def draw(dtype="float32", seed=0):
    """Return x, weights and y's gradient."""
    rng = np.random.default_rng(seed)
    shapes = (2, 4, 5, 6), (4, 2, 4), (2, 4, 4, 3)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@PATH
def test_gaps_change_no_bit(path, device):
    """Arrays whose values do not lie side by side, in whatever argument, give what contiguous ones give."""
    x, weights, grad_y = draw()
    options = {**OPTIONS, "groups": 2, "path": path}
    y = device.run(ik.conv, x, weights, KERNEL, **options)
    grads = device.differentiate(ik.conv_backward, grad_y, x, weights, KERNEL, **options)
    for gaps in ((2, 1, 1), (1, 3, 1), (1, 1, 2), (2, 2, 2)):
        given = [
            device.send_strided(array, step) if step > 1 else device.send(array)
            for array, step in zip((x, weights, grad_y), gaps, strict=True)
        ]
        np.testing.assert_array_equal(device.take(ik.conv(given[0], given[1], KERNEL, **options)), y)
        found = ik.conv_backward(given[2], given[0], given[1], KERNEL, **options)
        np.testing.assert_array_equal(device.take(found.x), grads["x"])
        np.testing.assert_array_equal(device.take(found.weights), grads["weights"])


@PATH
@pytest.mark.parametrize("dtypes", [("float16", "float16"), ("float16", "float32"), ("float32", "float64")])
def test_dtypes_promote_as_in_numpy(path, dtypes, device):
    """Narrow arrays are computed in float32 and come back as they came; y and gradients keep C1."""
    x, weights, grad_y = draw()
    x, weights = x.astype(dtypes[0]), weights.astype(dtypes[1])
    options = {**OPTIONS, "groups": 2}
    y = device.run(ik.conv, x, weights, KERNEL, path=path, **options)
    assert y.dtype == np.result_type(*dtypes)
    assert_matches_reference(y, x, weights, KERNEL, **options)
    grad_y = grad_y.astype(y.dtype)
    grads = device.differentiate(ik.conv_backward, grad_y, x, weights, KERNEL, path=path, **options)
    for name, operand in (("x", x), ("weights", weights)):
        assert grads[name].dtype == operand.dtype
        assert_matches_reference(
            grads[name], x, weights, KERNEL, quantity=f"grad_{name}", grad_y=grad_y, **options
        )  # fmt: skip


@PATH
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("step", [1, 2])
def test_out_is_filled(path, dtype, step, device):
    """`out` is written, with gaps or without, keeps what lies between, and is what is returned."""
    x, weights, grad_y = draw(dtype)
    options = {**OPTIONS, "groups": 2, "path": path}
    y = device.run(ik.conv, x, weights, KERNEL, **options)
    around = device.send(np.full([size * step for size in y.shape], 7, dtype))
    out = around[(slice(None, None, step),) * y.ndim]
    assert ik.conv(device.send(x), device.send(weights), KERNEL, out=out, **options) is out
    found = device.take(around)
    every = (slice(None, None, step),) * y.ndim
    np.testing.assert_array_equal(found[every], y)
    found[every] = 7
    assert (found == 7).all()
    back = device.run(ik.conv_transpose, grad_y, weights, KERNEL, padding=1, groups=2, path=path)
    out = device.send(np.full(back.shape, 7, dtype))
    given = device.send(grad_y), device.send(weights)
    assert ik.conv_transpose(*given, KERNEL, padding=1, groups=2, path=path, out=out) is out
    np.testing.assert_array_equal(device.take(out), back)


def test_out_that_does_not_fit_raises(device):
    """As on the host: another shape or dtype, an input, an array on the host."""
    x, weights, _ = map(device.send, draw())
    with pytest.raises(ValueError, match="`out` must have the result's shape"):
        ik.conv(x, weights, KERNEL, groups=2, out=device.send(np.zeros((2, 4, 5, 6), "float32")))
    with pytest.raises(TypeError, match="`out` must be an array of dtype float32, got float64"):
        ik.conv(x, weights, KERNEL, groups=2, out=device.send(np.zeros((2, 4, 3, 4))))
    with pytest.raises(ValueError, match="`out` must not overlap an input"):
        ik.conv(x, weights, KERNEL, groups=2, padding="same", out=x)
    with pytest.raises(TypeError, match="`out` must live where `x` does"):
        ik.conv(x, weights, KERNEL, groups=2, out=np.zeros((2, 4, 3, 4), "float32"))


@PATH
def test_plain_kernels_have_any_leading_axes(path, device):
    """Weights `(n,)` filter every image of `(..., rows, columns)`: none, one, several and zero of them."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(4)
    for lead in ((), (1,), (2, 3), (0,), (2, 0)):
        x = rng.standard_normal((*lead, 5, 6))
        y = device.run(ik.conv, x, weights, KERNEL, path=path)
        assert_matches_reference(y, x, weights, KERNEL)
        grads = device.differentiate(ik.conv_backward, y, x, weights, KERNEL, path=path)
        for name in ("x", "weights"):
            assert_matches_reference(grads[name], x, weights, KERNEL, quantity=f"grad_{name}", grad_y=y)
        assert device.run(ik.conv_transpose, y, weights, KERNEL, path=path).shape == x.shape


@PATH
def test_a_plan_runs_on_its_device(path, device):
    """`plan(..., device="cuda")` gives what `conv` and `conv_backward` give."""
    x, weights, grad_y = draw()
    options = {**OPTIONS, "groups": 2, "path": path}
    plan = ik.plan(x.shape, weights.shape, KERNEL, device="cuda", **options)
    assert plan.path == path
    np.testing.assert_array_equal(
        device.run(plan.forward, x, weights), device.run(ik.conv, x, weights, KERNEL, **options)
    )
    found = device.differentiate(plan.backward, grad_y, x, weights)
    expected = device.differentiate(ik.conv_backward, grad_y, x, weights, KERNEL, **options)
    assert found.keys() == expected.keys() == {"x", "weights"}
    for name, grad in found.items():
        np.testing.assert_array_equal(grad, expected[name])
