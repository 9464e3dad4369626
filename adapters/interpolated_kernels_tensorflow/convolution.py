"""`interpolated_conv`: the functional form, by whichever engine serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

import interpolated_kernels as ik
from interpolated_kernels_tensorflow import native_engine, numba_engine
from interpolated_kernels_tensorflow.edge import as_tensors, move_channels, reorder, result_dtype, static_plan

ENGINES = {"native": native_engine, "numba": numba_engine}
DATA_FORMATS = ("channels_first", "channels_last")


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
    padding_mode: str = "zeros",
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
    _check(kernel, positions, widths, data_format, engine)
    x, weights = as_tensors(kernel, x, weights)
    plain, d = weights.shape.rank == 1, kernel.n_dims
    layout = "channels_first" if plain else data_format
    options = {
        "stride": stride, "padding": padding, "padding_mode": padding_mode, "dilation": dilation, "groups": groups,
        "path": path, "accuracy": accuracy,
    }  # fmt: skip
    plan, y_shape = static_plan(reorder(x.shape.as_list(), layout, "channels_first", d), x, weights, kernel, **options)
    chosen = ENGINES[_serving(x, weights) if engine == "auto" else engine]
    chosen.check(x, weights, path)
    inner = layout if plain else chosen.LAYOUT
    y = chosen.conv(move_channels(x, layout, inner, d), weights, plan, options, y_shape)
    y = move_channels(y, inner, layout, d)
    if not tf.executing_eagerly():
        y.set_shape(reorder(y_shape, "channels_first", layout, d))
    return y if bias is None else _add_bias(y, bias, plan, layout, plain)


def _check(kernel: ik.InterpolatedKernel, positions: Any, widths: Any, data_format: str, engine: str) -> None:
    if not isinstance(kernel, ik.InterpolatedKernel):
        ik.plan((1,), (1,), kernel)  # raises the core's own error
    for name, value, allowed in (("data_format", data_format, DATA_FORMATS), ("engine", engine, ("auto", *ENGINES))):
        if value not in allowed:
            raise ValueError(f"`{name}` must be one of {', '.join(allowed)}, got {value!r}.")
    for name, value in (("positions", positions), ("widths", widths)):
        if value is not None:
            raise ValueError(
                f"`{name}` must be None: they cannot be learned with {kernel.interpolator} here. "
                f"Fixed ones belong in the kernel, `kernel.replace({name}=...)`."
            )


def _serving(x: Any, weights: Any) -> str:
    """Return the engine that "auto" means."""
    on_cpu = tf.executing_eagerly() and all("CPU" in tensor.device.upper() for tensor in (x, weights))
    return "numba" if on_cpu else "native"


def _add_bias(y: Any, bias: Any, plan: ik.Plan, layout: str, plain: bool) -> Any:
    bias = tf.convert_to_tensor(bias)
    expected = () if plain else (plan.problem.filters,)
    if tuple(bias.shape) != expected:
        raise ValueError(f"`bias` must have shape {expected}, one a filter, got {tuple(bias.shape)}.")
    dtype = result_dtype(y, bias)
    across = (-1, *(1,) * plan.problem.kernel.n_dims) if layout == "channels_first" and not plain else tuple(bias.shape)
    return tf.cast(y, dtype) + tf.reshape(tf.cast(bias, dtype), across)
