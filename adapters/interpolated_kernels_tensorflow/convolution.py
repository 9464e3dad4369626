"""`interpolated_conv`: the functional form, by whichever engine serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_tensorflow import native_engine, numba_engine
from interpolated_kernels_tensorflow.edge import as_tensors, check_anchors, move_channels, result_dtype, settle_static
from interpolated_kernels_tensorflow.engines import choose_engine

_ENGINES: dict[str, Any] = {"native": native_engine, "numba": numba_engine}


@tf.autograph.experimental.do_not_convert
def interpolated_conv(
    x: Any,
    weights: Any,
    kernel: ik.InterpolatedKernel,
    bias: Any = None,
    *,
    positions: Any = None,
    widths: Any = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[Any] = "valid",
    padding_mode: str | Sequence[str] = "zeros",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    data_format: str = "channels_first",
    path: str = "auto",
    accuracy: str = "normwise",
    engine: str = "auto",
) -> Any:
    """Convolve x with the dense kernel of the anchors' weights, as `interpolated_kernels.conv` does, on tensors.

    Parameters
    ----------
    x : tensor of float
        `(batch, channels, *spatial)` or, with "channels_last", `(batch, *spatial, channels)`; or without the batch
        axis; `(..., *spatial)` where weights are `(n,)`.
    weights : tensor of float
        `(n,)`; `(filters, channels_per_group, n)`; `(filters, n)` where channels are tied or interpolated.
    kernel : InterpolatedKernel
    bias : tensor of float, optional
        `(filters,)`, or a scalar for weights `(n,)`.
    positions, widths : tensor of float, optional
        Instead of the kernel's own and in their shapes, for interpolators that are differentiable by them; engine
        "native" serves those of splats and cones.
    stride, padding, padding_mode, dilation, groups, path, accuracy
        As for `interpolated_kernels.conv`. `path` and `accuracy` choose among the algorithms of engine "numba".
    data_format : {"channels_first", "channels_last"}
        Where x and the result have their channels.
    engine : {"auto", "numba", "native"}
        "numba": this project's loops on the CPU, eager and in `tf.function`; neither XLA nor an export can run them.
        "native": TensorFlow's own operations. "auto": numba on the CPU; native under XLA, while exporting, on other
        devices, and in graphs where there are any.

    Returns
    -------
    tensor
        As `interpolated_kernels.conv` gives, in the data format, of the tensors' dtypes together as NumPy promotes.

    Raises
    ------
    TypeError, ValueError
        The core's own; and where the engine or the path that was named cannot serve.

    Notes
    -----
    float16 and bfloat16 compute in float32. Both engines are differentiable to any order by x, weights and bias, and by
    positions and widths of splats and cones; by those of other interpolators once.
    TensorFlow's own threads flush subnormal numbers to zero: in native, and in numba within a traced function.
    """
    adapting.check_kernel(kernel)
    adapting.check_choice("data_format", data_format, adapting.DATA_FORMATS)
    tensors = as_tensors(x=x, weights=weights, positions=positions, widths=widths, bias=bias)
    check_anchors(kernel, tensors)
    d, plain = kernel.n_dims, tensors["weights"].shape.rank == 1
    layout = "channels_first" if plain else data_format
    options = {
        "stride": stride, "padding": padding, "padding_mode": padding_mode, "dilation": dilation, "groups": groups,
        "path": path, "accuracy": accuracy,
    }  # fmt: skip
    dtype = result_dtype(*(tensors[name] for name in ("x", "weights", "bias") if name in tensors))
    compute = tf.float64 if dtype == tf.float64 else tf.float32
    settled = settle_static(tensors["x"], tensors["weights"], kernel, layout, compute.name, options)
    if "bias" in tensors:
        adapting.shape_bias(tuple(tensors["bias"].shape), settled.weights_shape, d)
    chosen = _ENGINES[choose_engine(engine, path, *tensors.values())]
    operands = {
        name: tensor if name in ("positions", "widths") else tf.cast(tensor, compute)
        for name, tensor in tensors.items()
    }
    inner = layout if plain else chosen.LAYOUT
    operands["x"] = move_channels(operands["x"], layout, inner, d)
    y = move_channels(chosen.conv(operands, settled, options), inner, layout, d)
    if not tf.executing_eagerly():
        y.set_shape(adapting.reorder(settled.y_shape, "channels_first", layout, d))
    return tf.cast(y, dtype)
