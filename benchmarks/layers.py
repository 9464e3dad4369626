"""L: training steps of layers as they come, against the modules and functions whose place they take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from cases import linear_grid
from figures import figure_of
from jax_layers import make_jax_depthwise
from keras_layers import make_keras_depthwise, make_keras_original
from peers import is_installed
from table import Row
from timing import Run, interleaved_medians

import interpolated_kernels as ik

STEP = "step"


def layer_rows(repeat: int, threads: int, path: str) -> Iterator[Row]:
    """Yield a row a pair of layers: ours, and what it is held against. A path that is named is the engine's.

    JAX takes the threads of the process, whatever `threads` says.
    """
    if is_installed("torch"):
        import torch

        torch.set_num_threads(threads)
    for framework, makers in _MAKERS.items():
        for make in makers if is_installed(framework) else ():
            for case, peer, ours, theirs in make(path):
                own, other = interleaved_medians([ours, theirs], repeat)
                yield Row(case, "", peer, STEP, own, other, _compare(peer, own, other), figure_of(case, peer, STEP))


def _compare(peer: str, own: float, other: float) -> float:
    """Return a peer's time over ours; ours over its own time eager, or over the core's calls."""
    return own / other if peer in ("eager", "core") else other / own


def make_step(module: Any, x: Any) -> Run:
    """Return a training step without the optimizer, which has run twice: forward, a gradient from above, backward."""
    import torch

    leaves = [x, *module.parameters()]
    with torch.no_grad():
        grad_y = torch.randn_like(module(x))

    def step() -> Any:
        for leaf in leaves:
            leaf.grad = None
        module(x).backward(grad_y)
        return x.grad

    step()
    step()
    return step


def make_core_calls(layer: Any, x: Any) -> Run:
    """Return the core's own calls for a layer's step: forward, the bias added, both gradients, the bias's."""
    weights, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()[:, None, None]
    image = x.detach().numpy()
    options = {"padding": layer.padding, "groups": layer.groups, "accuracy": layer.accuracy}
    grad_y = np.random.default_rng(0).normal(size=layer(x).shape).astype(np.float32)

    def step() -> Any:
        y = ik.conv(image, weights, layer.kernel, **options)
        y += bias
        return ik.conv_backward(grad_y, image, weights, layer.kernel, **options), grad_y.sum((0, 2, 3))

    step()
    return step


def _make_depthwise(path: str) -> Iterator[tuple[str, str, Run, Run]]:
    """8x64x56x56, window 31, 49 anchors: the eager step, the compiled one, the native one, and the core's calls."""
    import torch

    from interpolated_kernels_torch import InterpolatedConv2d

    def make(**options: Any) -> Any:
        torch.manual_seed(0)
        return InterpolatedConv2d(64, 64, linear_grid((31, 31), 5), groups=64, padding="same", **options)

    x = torch.randn(8, 64, 56, 56, requires_grad=True)
    layer = make(path=path)
    plain = make_step(torch.nn.Conv2d(64, 64, 31, groups=64, padding=15), x)
    eager = make_step(layer, x)
    yield "L depthwise", "nn.Conv2d", eager, plain
    yield "L depthwise, compiled", "eager", make_step(torch.compile(make(path=path), fullgraph=True), x), eager
    yield "L depthwise, native", "nn.Conv2d", make_step(make(engine="native"), x), plain
    yield "L depthwise", "core", eager, make_core_calls(layer, x)


def _make_original(path: str) -> Iterator[tuple[str, str, Run, Run]]:
    """The original's layer, 128x1x112x112, 32 filters, window 12, linear, 36 anchors."""
    import torch

    from interpolated_kernels_torch import InterpolatedConv2d

    x = torch.randn(128, 1, 112, 112, requires_grad=True)
    layer = InterpolatedConv2d(1, 32, linear_grid((12, 12), 2), path=path)
    yield "L original, linear", "nn.Conv2d", make_step(layer, x), make_step(torch.nn.Conv2d(1, 32, 12), x)


def _make_splats(path: str) -> Iterator[tuple[str, str, Run, Run]]:
    """`Dcls2d` of version "gauss", 96 channels, window 17, 34 elements, 4x56x56, positions and widths learned."""
    if not is_installed("dcls"):
        return
    import torch
    from DCLS.construct.modules import Dcls2d

    from interpolated_kernels_torch import InterpolatedConv2d

    torch.manual_seed(0)
    module = Dcls2d(96, 96, 34, padding=8, dilated_kernel_size=17, groups=96, version="gauss")
    x = torch.randn(4, 96, 56, 56, requires_grad=True)
    layer = InterpolatedConv2d.from_dcls(module, path=path)
    yield "L splats", "dcls", make_step(layer, x), make_step(module, x)


_MAKERS: dict[str, tuple[Callable[[str], Iterator[tuple[str, str, Run, Run]]], ...]] = {
    "torch": (_make_depthwise, _make_original, _make_splats),
    "tensorflow": (make_keras_depthwise, make_keras_original),
    "jax": (make_jax_depthwise,),
}

# By the letter of the rows, beside those of `scaling`.
LAYERS: dict[str, Callable[[int, int, str], Iterator[Row]]] = {"L": layer_rows}
