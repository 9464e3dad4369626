"""The peers: each computes the same dense convolution from the dense kernel, and its gradients where it has them."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from cases import Case

import interpolated_kernels as ik

Run = Callable[[], Any]
MODULES = {
    "dcls": "DCLS", "torch": "torch", "torch, padded first": "torch",
    "opencv": "cv2", "scipy": "scipy", "tensorflow": "tensorflow", "jax": "jax",
}  # fmt: skip


def is_installed(peer: str) -> bool:
    return importlib.util.find_spec(MODULES[peer]) is not None


def same_or_valid(case: Case) -> list[tuple[int, int]]:
    """Return the (before, after) padding of every spatial axis."""
    return list(ik.plan(case.x_shape, case.weights_shape, case.kernel, **case.options).problem.padding)


def torch_runs(
    case: Case, x: np.ndarray, dense: np.ndarray, grad_y: np.ndarray, threads: int, pad_first: bool = False
) -> tuple[Run, Run]:
    """`conv2d(padding=...)`, as users write it; or `pad` before it, which takes another, often faster, way inside."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    torch.backends.mkldnn.enabled = True
    function = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[dense.ndim - 2]
    flat = [count for pair in reversed(same_or_valid(case)) for count in pair]
    before = [pair[0] for pair in same_or_valid(case)]
    symmetric = all(pair[0] == pair[1] for pair in same_or_valid(case))
    options = {"stride": case.options.get("stride", 1), "groups": case.groups}

    def convolve(image: Any, kernel: Any) -> Any:
        if symmetric and not pad_first:
            return function(image, kernel, padding=before, **options)
        return function(F.pad(image, flat), kernel, **options)

    image, kernel, gradient = torch.from_numpy(x), torch.from_numpy(dense), torch.from_numpy(grad_y)

    def forward() -> np.ndarray:
        with torch.no_grad():
            return convolve(image, kernel).numpy()

    def forward_backward() -> Any:
        leaf, weight = image.detach().requires_grad_(), kernel.detach().requires_grad_()
        convolve(leaf, weight).backward(gradient)
        return leaf.grad.numpy(), weight.grad.numpy()

    return forward, forward_backward


def opencv_runs(case: Case, x: np.ndarray, dense: np.ndarray, grad_y: np.ndarray, threads: int) -> tuple[Run, None]:
    import cv2

    cv2.setNumThreads(threads)
    image, kernel = x[0, 0], dense[0, 0]

    def forward() -> np.ndarray:
        return cv2.filter2D(image, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)[None, None]

    return forward, None


def scipy_runs(case: Case, x: np.ndarray, dense: np.ndarray, grad_y: np.ndarray, threads: int) -> tuple[Run, None]:
    """Overlap-add with `scipy.signal.oaconvolve`: one channel, stride 1, an odd window, padding "valid" or "same"."""
    import scipy.fft
    import scipy.signal

    flipped = np.ascontiguousarray(dense[:, 0, ::-1, ::-1])
    mode = case.options.get("padding", "valid")

    def forward() -> np.ndarray:
        with scipy.fft.set_workers(threads):
            return scipy.signal.oaconvolve(x[0], flipped, mode=mode, axes=(-2, -1))[None]

    return forward, None


def tensorflow_runs(case: Case, x: np.ndarray, dense: np.ndarray, grad_y: np.ndarray, threads: int) -> tuple[Run, Run]:
    import tensorflow as tf

    image = tf.constant(np.moveaxis(x, 1, -1))
    kernel = tf.constant(np.moveaxis(dense, (0, 1), (-1, -2)))
    gradient = tf.constant(np.moveaxis(grad_y, 1, -1))

    @tf.function
    def convolve(image: Any, kernel: Any) -> Any:
        return tf.nn.conv2d(image, kernel, strides=case.options.get("stride", 1), padding="VALID")

    @tf.function
    def gradients(image: Any, kernel: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([image, kernel])
            y = convolve(image, kernel)
        return tape.gradient(y, [image, kernel], gradient)

    def forward() -> np.ndarray:
        return np.moveaxis(convolve(image, kernel).numpy(), -1, 1)

    def forward_backward() -> Any:
        by_x, by_kernel = (part.numpy() for part in gradients(image, kernel))
        return np.moveaxis(by_x, -1, 1), np.moveaxis(by_kernel, (-1, -2), (0, 1))

    return forward, forward_backward


def dcls_runs(case: Case, x: np.ndarray, dense: np.ndarray, grad_y: np.ndarray, threads: int) -> tuple[Run, Run]:
    """`Dcls2d` of version "gauss", which constructs its dense kernel in every run; its P and SIG are centred."""
    import torch
    from DCLS.construct.modules import Dcls2d

    torch.set_num_threads(threads)
    (filters, _, count), window = case.weights_shape, case.kernel.window
    before = [pair[0] for pair in same_or_valid(case)]
    layer = Dcls2d(
        case.x_shape[1], filters, count, padding=before, dilated_kernel_size=window, groups=case.groups, bias=False,
        version="gauss",
    )  # fmt: skip
    assert case.kernel.widths is not None
    centred = case.kernel.positions - np.array(window) // 2
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(case.arrays()[1]))
        layer.P.copy_(torch.from_numpy(np.moveaxis(centred[..., ::-1], -1, 0).astype(np.float32)))
        layer.SIG.copy_(torch.from_numpy(np.moveaxis(case.kernel.widths[..., ::-1], -1, 0).astype(np.float32)))
    image, gradient = torch.from_numpy(x), torch.from_numpy(grad_y)

    def forward() -> np.ndarray:
        with torch.no_grad():
            return layer(image).numpy()

    def forward_backward() -> Any:
        leaf = image.detach().requires_grad_()
        layer.zero_grad()
        layer(leaf).backward(gradient)
        return leaf.grad.numpy(), layer.weight.grad.numpy()

    return forward, forward_backward


RUNS: dict[str, Callable[..., tuple[Run, Run | None]]] = {
    "dcls": dcls_runs,
    "torch": torch_runs,
    "torch, padded first": functools.partial(torch_runs, pad_first=True),
    "opencv": opencv_runs,
    "scipy": scipy_runs,
    "tensorflow": tensorflow_runs,
}
