"""`interpolated_conv`: the functional form, by whichever engine serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_tensorflow import native_engine, numba_engine
from interpolated_kernels_tensorflow.edge import as_tensors, move_channels, result_dtype, settle_static

_ENGINES = {"native": native_engine, "numba": numba_engine}


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
    positions, widths : None
        Reserved for interpolators that can learn them; none can yet, and anything else raises.
    stride, padding, padding_mode, dilation, groups, path, accuracy
        As for `interpolated_kernels.conv`.
    data_format : {"channels_first", "channels_last"}
        Where x and the result have their channels.
    engine : {"auto", "numba", "native"}
        "numba": this project's loops on the CPU, eagerly or through `tf.py_function`; neither XLA nor a SavedModel in
        another process can run them. "native": TensorFlow's own operations. "auto": numba for eager tensors on the CPU,
        else native.

    Returns
    -------
    tensor
        As `interpolated_kernels.conv` gives, in the data format, of the inputs' dtypes together as NumPy promotes.

    Raises
    ------
    TypeError, ValueError
        The core's own; and where the engine or the path that was named cannot serve.

    Notes
    -----
    float16 and bfloat16 compute in float32. Both engines are differentiable to any order by x, weights and bias.
    TensorFlow's own threads flush subnormal numbers to zero: in native, and in numba within a traced function.
    """
    adapting.check_kernel(kernel)
    adapting.check_choice("data_format", data_format, adapting.DATA_FORMATS)
    adapting.check_engine(engine)
    adapting.check_fixed(kernel, positions=positions, widths=widths)
    x, weights = as_tensors(x, weights)
    plain, d = weights.shape.rank == 1, kernel.n_dims
    layout = "channels_first" if plain else data_format
    options = {
        "stride": stride, "padding": padding, "padding_mode": padding_mode, "dilation": dilation, "groups": groups,
        "path": path, "accuracy": accuracy,
    }  # fmt: skip
    settled = settle_static(x, weights, kernel, layout, options)
    chosen = _ENGINES[_choose_engine(x, weights) if engine == "auto" else engine]
    chosen.check(x, weights, path)
    inner = layout if plain else chosen.LAYOUT
    y = chosen.conv(move_channels(x, layout, inner, d), weights, settled, options)
    y = move_channels(y, inner, layout, d)
    if not tf.executing_eagerly():
        y.set_shape(adapting.reorder(settled.y_shape, "channels_first", layout, d))
    return y if bias is None else _add_bias(y, bias, settled, layout)


def _choose_engine(x: Any, weights: Any) -> str:
    """Return the engine that "auto" means."""
    on_cpu = tf.executing_eagerly() and all("CPU" in tensor.device.upper() for tensor in (x, weights))
    return "numba" if on_cpu else "native"


def _add_bias(y: Any, bias: Any, settled: adapting.Settled, layout: str) -> Any:
    bias = tf.convert_to_tensor(bias)
    across = adapting.shape_bias(tuple(bias.shape), settled.weights_shape, settled.kernel.n_dims, layout)
    dtype = result_dtype(y, bias)
    return tf.cast(y, dtype) + tf.reshape(tf.cast(bias, dtype), across)
