"""Positions and widths that are learned: both engines, their derivatives of first and second order, compiled too."""

import warnings

import numpy as np
import pytest

import interpolated_kernels as ik

torch = pytest.importorskip("torch")

from interpolated_kernels_torch import interpolated_conv  # noqa: E402 # only where torch is

WINDOW, OPTIONS = (4, 5), {"stride": (2, 1), "padding": ((1, 2), (0, 1)), "groups": 2}
SPREADING = {
    "gaussian": "gaussian",
    "triangle": "triangle",
    "bilinear": "bilinear",
    "shares": ik.Bilinear(normalized=False),
    "cone": "cone",
}


def make_problem(interpolator="gaussian", n=4):
    """Return a kernel, and leaves for x, weights, positions and (where it has them) widths, off all kinks."""
    rng = np.random.default_rng(0)
    kernel = ik.InterpolatedKernel(rng.uniform(0.2, 2.8, (n, 2)), WINDOW, interpolator)
    leaves = [rng.normal(size=(1, 6, 5, 6)), rng.normal(size=(2, 3, n)), kernel.positions]
    if kernel.interpolator.width_axes is not None:
        shape = kernel.positions.shape if kernel.interpolator.width_axes else kernel.positions.shape[:-1]
        widths = rng.uniform(0.5, 1.5, shape)
        kernel = kernel.replace(widths=widths)
        leaves.append(widths)
    return kernel, [torch.tensor(leaf, requires_grad=True) for leaf in leaves]


def conv(kernel, engine, **options):
    """Return y of x, weights, positions and widths."""
    return lambda x, weights, positions, widths=None: interpolated_conv(
        x, weights, kernel, positions=positions, widths=widths, engine=engine, **{**OPTIONS, **options}
    )


def as_arrays(tensors):
    return [tensor.detach().numpy() for tensor in tensors]


@pytest.mark.parametrize("engine", ["numba", "native"])
@pytest.mark.parametrize("name", sorted(SPREADING))
def test_derivatives_of_first_and_second_order(name, engine):
    """gradcheck (with batched gradients) and gradgradcheck by x, weights, positions and widths."""
    kernel, leaves = make_problem(SPREADING[name], n=3)
    assert torch.autograd.gradcheck(conv(kernel, engine), leaves, fast_mode=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(conv(kernel, engine), leaves, fast_mode=True)


def test_second_derivatives_follow_what_made_the_anchors():
    """Positions computed from the weights: the second derivative runs through both, once."""
    kernel, (x, weights, positions, widths) = make_problem(n=3)

    def energy(engine, values):
        moved = positions.detach() + 0.1 * values.mean((0, 1))[:, None]
        return conv(kernel, engine)(x.detach(), values, moved, widths.detach()).square().sum()

    hessians = [
        torch.autograd.functional.hessian(lambda values, engine=engine: energy(engine, values), weights.detach())
        for engine in ("numba", "native")
    ]
    torch.testing.assert_close(*hessians)


@pytest.mark.parametrize("interpolator", ["polyharmonic", "rbf"])
def test_other_interpolators_move_by_numba_alone(interpolator):
    """gradcheck with numba; native raises, and so does a second derivative by numba."""
    kernel, leaves = make_problem(interpolator, n=5)
    assert torch.autograd.gradcheck(conv(kernel, "numba"), leaves, fast_mode=True)
    with pytest.raises(ValueError, match="engine='native' learns those of splats and cones"):
        conv(kernel, "native")(*leaves)
    grads = torch.autograd.grad(conv(kernel, "numba")(*leaves).sum(), leaves[2], create_graph=True)
    with pytest.raises(NotImplementedError, match="there is no second one by them"):
        grads[0].sum().backward()


@pytest.mark.parametrize("engine", ["auto", "native"])
def test_compiles_without_a_break(engine):
    """`torch.compile(fullgraph=True)` gives the eager y and gradients by everything."""
    torch._dynamo.reset()
    kernel, leaves = make_problem()
    compiled = torch.compile(conv(kernel, engine), fullgraph=True, backend="aot_eager")
    results = [torch.autograd.grad(f(*leaves).square().sum(), leaves) for f in (compiled, conv(kernel, "numba"))]
    for own, expected in zip(*results, strict=True):
        torch.testing.assert_close(own, expected, rtol=0, atol=1e-11)
    x, weights, _, widths = leaves
    of_widths = lambda widths: conv(kernel, engine)(x, weights, None, widths)  # noqa: E731 # one line says it
    found = torch.compile(of_widths, fullgraph=True, backend="aot_eager")(widths)
    torch.testing.assert_close(found, of_widths(widths), rtol=0, atol=1e-11)


def test_operators_keep_torch_rules():
    """Both operators pass `opcheck`, the second for any of its gradients."""
    from interpolated_kernels_torch import constants, moving_engine

    kernel, (x, *anchors) = make_problem()
    settled = (2, 1), ((1, 2), (0, 1)), ("zeros", "zeros"), (1, 1), 2
    call = constants.write_call(kernel, settled, "auto", "normwise")
    grad = torch.randn_like(conv(kernel, "numba")(x, *anchors)).requires_grad_()
    torch.library.opcheck(moving_engine.conv_op, (x, *anchors, call))
    for given, wrt in ((None, ["x"]), (x, ["positions", "widths"]), (x, ["x", "weights"])):
        torch.library.opcheck(moving_engine.grads_op, (grad, given, *anchors, list(x.shape), wrt, call))


def test_forward_mode_is_native():
    """`torch.func.jvp` by positions gives the directional derivative."""
    kernel, leaves = make_problem()
    leaves = [leaf.detach() for leaf in leaves]
    step = torch.randn_like(leaves[2])
    along = lambda positions: conv(kernel, "auto")(*leaves[:2], positions, leaves[3])  # noqa: E731 # one line says it
    _, tangent = torch.func.jvp(along, (leaves[2],), (step,))
    apart = (along(leaves[2] + 1e-6 * step) - along(leaves[2] - 1e-6 * step)) / 2e-6
    torch.testing.assert_close(tangent, apart, rtol=0, atol=1e-7)


def test_mistakes_name_the_argument():
    """Another shape, or an interpolator without the derivative, raises."""
    kernel, (x, weights, positions, widths) = make_problem()
    with pytest.raises(ValueError, match=r"`positions` must have shape \(4, 2\)"):
        conv(kernel, "auto")(x, weights, positions[1:])
    with pytest.raises(ValueError, match="`widths` cannot be learned: Bilinear"):
        conv(kernel.replace(interpolator="bilinear", widths=None), "auto")(x, weights, positions, widths)


def test_collinear_anchors_warn_where_their_kernel_is_made():
    """Anchors on a line that move at every step of training warn once: where their user made the kernel."""
    with pytest.warns(ik.AnchorWarning, match="collinear") as caught:
        kernel = ik.InterpolatedKernel([[0, 0], [1, 1], [2, 2]], (3, 3), "polyharmonic")
    assert caught[0].filename == __file__
    positions = torch.tensor(kernel.positions.copy())
    weights = torch.zeros(1, 1, 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([weights], lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            y = interpolated_conv(torch.ones(1, 1, 5, 5), weights, kernel, positions=positions)
            (y - 1).square().sum().backward()
            optimizer.step()
            positions += 0.1  # along the line
    assert weights.abs().min() > 0
