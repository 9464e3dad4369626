"""JAX: `conv_general_dilated` after `jax.numpy.pad`, with `vjp`."""

import dense
import jax
import jax.numpy as jnp
import numpy as np

import interpolated_kernels as ik

MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap", "symmetric": "symmetric"}


def run(x, kernels, geometry):
    for axis, (pair, mode) in enumerate(zip(geometry.pads, geometry.modes, strict=True), start=2):
        x = jnp.pad(x, [pair if axis == padded else (0, 0) for padded in range(x.ndim)], MODES[mode])
    return jax.lax.conv_general_dilated(
        x, kernels, geometry.stride, "VALID", rhs_dilation=geometry.dilation, feature_group_count=geometry.groups
    )


def run_backward(grad_y, x, kernels, geometry):
    return jax.vjp(lambda x, kernels: run(x, kernels, geometry), x, kernels)[1](jnp.asarray(grad_y))


def conv(x, weights, kernel, **options):
    return dense.convolve(run, x, weights, kernel, **options)


def conv_backward(grad_y, x, weights, kernel, *, wrt, **options):
    return dense.differentiate(run_backward, grad_y, x, weights, kernel, **options)


def supports(problem):
    """Everything else is served."""
    spoils = dense.meets_nan_below_zeros(problem) or (problem.data == "non-finite" and problem.options["groups"] > 1)
    return problem.options["missing"] == "propagate" and not spoils


_GRADIENT = np.ones((1, 6, 1, 2), np.float32)
_GRADIENT[0, 1] = np.inf

FAULTS = {
    **dense.NAN_BELOW_ZERO,
    "with groups, in 2-D, an infinity in a filter's gradient spoils that of its like in other groups": dense.Example(
        np.zeros((1, 2, 2, 2), np.float32),
        np.ones((6, 1, 1), np.float32),
        ik.InterpolatedKernel([[0.0, 0.0]], (2, 1), "nearest"),
        _GRADIENT,
        groups=2,
    ),
}
