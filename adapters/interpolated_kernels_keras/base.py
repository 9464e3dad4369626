"""What the layers share: arguments by Keras' names, variables, shapes, the call and the config."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_keras import engines, native
from interpolated_kernels_keras.shapes import settle_layer

_CHOICES = {
    "data_format": adapting.DATA_FORMATS,
    "padding": ("valid", "same", "causal"),
}
_KERAS_OBJECTS = {
    "activation": keras.activations,
    "kernel_initializer": keras.initializers,
    "bias_initializer": keras.initializers,
    "kernel_regularizer": keras.regularizers,
    "bias_regularizer": keras.regularizers,
    "activity_regularizer": keras.regularizers,
    "kernel_constraint": keras.constraints,
    "bias_constraint": keras.constraints,
}


class BaseInterpolatedConv(keras.layers.Layer):
    """A convolution with a large dense kernel that a few anchors describe.

    Parameters
    ----------
    filters : int
        The number of filters (output channels).
    kernel : interpolated_kernels.InterpolatedKernel
        Positions, window and interpolator. The variable `kernel` holds the anchors' weights: `(filters,
        channels_per_group, n)`, or `(filters, n)` where channels are tied or interpolated.
    strides, dilation_rate, groups, data_format, activation, use_bias
        As for `keras.layers.Conv2D`; `strides` and `dilation_rate` above 1 go together.
    padding : {"valid", "same", "causal"}
        "causal": 1-D only.
    kernel_initializer : optional
        Default: `interpolated_kernels.initial_weights`, which gives the dense kernel the scale of an ordinary one.
    bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint
        As in Keras, on the anchors' weights.
    engine : {"auto", "numba", "native"}
        "numba": this project's loops, on Keras' TensorFlow backend; neither XLA nor a SavedModel can run them.
        "native": `keras.ops`, on every backend. "auto": numba for eager TensorFlow tensors on the CPU, else native, so
        also in `fit` and `predict`.
    path, accuracy : str
        As for `interpolated_kernels.conv`.
    **kwargs
        `name`, `dtype`, `trainable` and the like.

    Raises
    ------
    TypeError, ValueError
        The core's own for what does not fit; and for an engine or a path that cannot serve.
    """

    rank: ClassVar[int | None] = None

    def __init__(
        self,
        filters: int,
        kernel: ik.InterpolatedKernel,
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = None,
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        engine: str = "auto",
        path: str = "auto",
        accuracy: str = "normwise",
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.interpolated_kernel = ik.InterpolatedKernel.from_dict(kernel) if isinstance(kernel, Mapping) else kernel
        self.filters, self.groups, self.use_bias = filters, groups, use_bias
        self.padding = padding.lower() if isinstance(padding, str) else padding
        self.data_format = data_format or keras.config.image_data_format()
        self.engine, self.engine_path, self.accuracy = engine, path, accuracy
        for name, allowed in _CHOICES.items():
            adapting.check_choice(name, getattr(self, name), allowed)
        engines.check_engine(engine, path)
        self._get_keras_objects(
            activation=activation, kernel_initializer=kernel_initializer, bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer, bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer, kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )  # fmt: skip
        self._settle(strides, dilation_rate)
        self.supports_jit = engine != "numba"  # XLA cannot call this engine's loops; "auto" is native while tracing

    def _get_keras_objects(self, **given: Any) -> None:
        """Keep what Keras makes of names, configs and callables."""
        for name, value in given.items():
            setattr(self, name, _KERAS_OBJECTS[name].get(value))

    def _settle(self, strides: Any, dilation_rate: Any) -> None:
        """Keep the options as the core reads them, one entry a spatial axis."""
        self.strides, self.dilation_rate = strides, dilation_rate
        settled = settle_layer(self)
        self.strides, self.dilation_rate = settled.stride, settled.dilation
        self.filters, self.groups = settled.filters, settled.groups
        self.input_spec = keras.layers.InputSpec(ndim=settled.kernel.n_dims + 2)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the variables for the input's channels."""
        axis = 1 if self.data_format == "channels_first" else -1
        if input_shape[axis] is None:
            raise ValueError(f"`input_shape` must have a known number of channels, got {tuple(input_shape)}.")
        settled = settle_layer(self, input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=settled.kernel.n_dims + 2, axes={axis: input_shape[axis]})
        # In mixed precision the weights stay as they are: narrower floats compute in float32.
        self.kernel = self.add_weight(
            name="kernel",
            shape=self._variable_shape(settled.weights_shape),
            initializer=self.kernel_initializer or self._initial_weights(settled.channels_per_group),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            autocast=False,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(settled.filters,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                autocast=False,
            )
        self.built = True

    def _variable_shape(self, weights_shape: tuple[int, ...]) -> tuple[int, ...]:
        return weights_shape

    def _initial_weights(self, channels_per_group: int) -> Any:
        """Return an initializer that draws `ik.initial_weights`, its seed from Python's generator as Keras' own."""

        def initialize(shape: Any, dtype: Any = None) -> Any:
            rng = np.random.default_rng(random.randint(1, 10**9))
            drawn = ik.initial_weights(self.interpolated_kernel, self.filters, channels_per_group, rng)
            return ops.convert_to_tensor(drawn.reshape(shape), dtype=dtype)

        return initialize

    def call(self, inputs: Any) -> Any:
        """Return y for inputs of the layer's data format."""
        dtype = native.compute_dtype(inputs.dtype)
        settled = settle_layer(self, tuple(inputs.shape), dtype)
        kernel, d, x = settled.kernel, settled.kernel.n_dims, ops.cast(inputs, dtype)
        weights = ops.reshape(ops.cast(self.kernel, dtype), settled.weights_shape)
        if engines.runs_numba(self.engine, inputs):
            y = engines.conv_by_numba(
                x, weights, kernel, stride=settled.stride, padding=self.padding, dilation=settled.dilation,
                groups=settled.groups, data_format=self.data_format, path=self.engine_path, accuracy=self.accuracy,
            )  # fmt: skip
        else:
            last = ops.transpose(x, adapting.reorder(range(d + 2), self.data_format, "channels_last", d))
            y = native.conv(last, weights, settled)
            y = ops.transpose(y, adapting.reorder(range(d + 2), "channels_last", self.data_format, d))
        if self.bias is not None:
            across = adapting.shape_bias((self.filters,), settled.weights_shape, d, self.data_format)
            y = ops.add(y, ops.reshape(ops.cast(self.bias, dtype), across))
        return self.activation(ops.cast(y, self.compute_dtype))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return y's shape for an input's; sizes that are not known stay so."""
        settled = settle_layer(self, input_shape)
        return tuple(adapting.reorder(settled.y_shape, "channels_first", self.data_format, settled.kernel.n_dims))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as plain values, which JSON can hold."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel": self.interpolated_kernel.to_dict(),
            "strides": list(self.strides),
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": list(self.dilation_rate),
            "groups": self.groups,
            "use_bias": self.use_bias,
            **{name: module.serialize(getattr(self, name)) for name, module in _KERAS_OBJECTS.items()},
            "engine": self.engine,
            "path": self.engine_path,
            "accuracy": self.accuracy,
        }
