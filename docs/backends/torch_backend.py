"""PyTorch: `conv1d`, `conv2d` and `conv3d` after `pad`, with autograd."""

import dense
import torch
import torch.nn.functional as F

MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}
CONVOLVE = (F.conv1d, F.conv2d, F.conv3d)


def run(x, kernels, geometry):
    x, kernels, d = torch.as_tensor(x), torch.as_tensor(kernels), len(geometry.pads)
    for axis, (pair, mode) in enumerate(zip(geometry.pads, geometry.modes, strict=True)):
        x = F.pad(x, [*[0, 0] * (d - 1 - axis), *pair, *[0, 0] * axis], MODES[mode])
    return CONVOLVE[d - 1](x, kernels, None, geometry.stride, 0, geometry.dilation, geometry.groups)


def run_backward(grad_y, x, kernels, geometry):
    leaves = [torch.from_numpy(array).requires_grad_() for array in (x, kernels)]
    return torch.autograd.grad(run(*leaves, geometry), leaves, torch.from_numpy(grad_y))


def conv(x, weights, kernel, **options):
    return dense.convolve(run, x, weights, kernel, **options)


def conv_backward(grad_y, x, weights, kernel, *, wrt, **options):
    return dense.differentiate(run_backward, grad_y, x, weights, kernel, **options)


def supports(problem):
    """`pad` neither mirrors nor wraps beyond an array."""
    return (
        problem.options["missing"] == "propagate"
        and not dense.meets_nan_below_zeros(problem)
        and MODES.keys() >= {*dense.list_modes(problem)}
        and dense.is_within(problem, reflect=0, circular=1)
    )


FAULTS = dense.NAN_BELOW_ZERO
