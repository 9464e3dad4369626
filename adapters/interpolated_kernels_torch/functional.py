"""The function: check, choose an engine, call it, come back in the caller's dtype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_torch import moving_engine, native_engine, native_lattice, numba_engine
from interpolated_kernels_torch.checks import check_anchors, check_tensors
from interpolated_kernels_torch.constants import PlainOptions
from interpolated_kernels_torch.dtypes import choose_dtype, choose_memory_format
from interpolated_kernels_torch.engines import choose_engine
from interpolated_kernels_torch.options import make_plain, settle_options


def interpolated_conv(
    x: torch.Tensor,
    weights: torch.Tensor,
    kernel: ik.InterpolatedKernel,
    bias: torch.Tensor | None = None,
    *,
    positions: torch.Tensor | None = None,
    widths: torch.Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[Any] = "valid",
    padding_mode: str | Sequence[str] = "zeros",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    path: str = "auto",
    accuracy: str = "normwise",
    engine: str = "auto",
) -> torch.Tensor:
    """Convolve x with the dense kernel of the anchors' weights: `interpolated_kernels.conv` for tensors.

    Parameters
    ----------
    x : Tensor
        `(batch, channels, *spatial)`, or without the batch axis; `(..., *spatial)` where weights are `(n,)`.
    weights : Tensor
        `(n,)` for one plain kernel; `(filters, channels_per_group, n)`; `(filters, n)` where channels are tied or
        interpolated.
    kernel : InterpolatedKernel
    bias : Tensor, optional
        `(filters,)`; one value for plain weights.
    positions, widths : Tensor, optional
        Instead of the kernel's own and in their shapes, for interpolators that are differentiable by them; engine
        "native" serves those of splats and cones. Of any floating dtype; dense kernels are made in float64.
    stride, padding, padding_mode, dilation, groups, path, accuracy
        As for `interpolated_kernels.conv`. `path` and `accuracy` choose among the algorithms of engine "numba".
    engine : {"auto", "numba", "native"}
        "numba": the core's loops, on the CPU, and on CUDA where numba-cuda and a driver are; for reverse mode of any
        order, eager and under `torch.compile`. "native": torch's own operators, for everything torch can do, on any
        device. "auto": numba where its loops are; native while exporting or tracing, in forward mode, under
        `torch.func`, and on other devices.

    Returns
    -------
    Tensor
        In the common dtype of x, weights and bias, under autocast in that dtype, as torch's own convolutions; float16
        and bfloat16 compute in float32. Channels last in memory where x is.

    Raises
    ------
    TypeError
        For tensors that are not floating or not dense, or options of a wrong type.
    ValueError
        For shapes or options that do not fit, or an engine asked for by name that cannot serve.

    Examples
    --------
    >>> import torch, interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel([[0], [2]], 3, "linear")
    >>> interpolated_conv(torch.tensor([0.0, 1.0, 0.0, 0.0]), torch.tensor([1.0, 3.0]), kernel, padding="same")
    tensor([3., 2., 1., 0.])
    """
    given = {"x": x, "weights": weights, "bias": bias, "positions": positions, "widths": widths}
    tensors = {name: tensor for name, tensor in given.items() if tensor is not None}
    check_tensors(tensors)
    adapting.check_kernel(kernel)
    check_anchors(kernel, positions=positions, widths=widths)
    dtype = choose_dtype([tensor.dtype for tensor in (x, weights, bias) if tensor is not None], x.device.type)
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    settled = settle_options(
        x.shape, weights.shape, kernel, "float64" if compute == torch.float64 else "float32",
        stride=stride, padding=padding, padding_mode=padding_mode, dilation=dilation, groups=groups,
        path=path, accuracy=accuracy,
    )  # fmt: skip
    chosen = choose_engine(engine, path, *tensors.values())
    operands = x.to(compute), weights.to(compute), positions, widths
    y = _run(chosen, operands, kernel, settled, (path, accuracy))
    if bias is not None:
        bias_shape, weights_shape = (make_plain(tuple(tensor.shape)) for tensor in (bias, weights))
        across = bias.to(compute).reshape(adapting.shape_bias(bias_shape, weights_shape, len(settled[0])))
        y = y.add_(across) if chosen == "numba" else y + across
    return y.to(dtype, memory_format=choose_memory_format(x))


def _run(
    engine: str, operands: Any, kernel: ik.InterpolatedKernel, settled: PlainOptions, how: tuple[str, str]
) -> torch.Tensor:
    """Return y, without bias, by an engine for x, weights, positions and widths; `how` is path and accuracy."""
    x, weights, positions, widths = operands
    moves = positions is not None or widths is not None
    if engine == "numba":
        if moves:
            return moving_engine.conv(x, (weights, positions, widths), kernel, settled, *how)
        return numba_engine.conv(x, weights, kernel, settled, *how)
    if moves:
        adapting.check_spreads(kernel)
    else:
        channels = x.shape[-len(settled[0]) - 1] if weights.ndim > 1 else 1
        groups = native_lattice.plan_groups(kernel, make_plain(tuple(weights.shape)), make_plain(channels), settled)
        if groups is not None:
            return native_lattice.conv(x, weights, kernel, settled, groups)
    return native_engine.conv(x, native_engine.densify(weights, kernel, positions, widths), kernel, settled)
