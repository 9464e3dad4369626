"""What the layers share: arguments by Keras' names, variables, shapes, the call, the config and the state."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_keras import arguments, conversion, engines, initializers, notices
from interpolated_kernels_keras.shapes import find_channel_axis, settle_layer

_DIGEST = "kernel_digest"


class InterpolatedConv(keras.layers.Layer):
    """What the layers of all dimensions share; use `InterpolatedConv1D`, `InterpolatedConv2D` or `InterpolatedConv3D`.

    Attributes
    ----------
    kernel : variable
        The anchors' weights: `(filters, channels_per_group, n)`, or `(filters, n)` where channels are tied or
        interpolated.
    bias : variable or None
        `(filters,)`.
    positions, widths : variable or None
        Where they are learned, in the shapes of the kernel's. Along axes that are not, positions stay the kernel's.
    interpolated_kernel : InterpolatedKernel
        As it was passed; `current_kernel` has the positions and widths of now.
    """

    rank: ClassVar[int | None] = None
    has_kernel_argument: ClassVar[bool] = True

    def __init__(
        self, filters: int, kernel: ik.InterpolatedKernel, strides: int | Sequence[int] = 1, padding: str = "valid",
        data_format: str | None = None, dilation_rate: int | Sequence[int] = 1, groups: int = 1, activation: Any = None,
        use_bias: bool = True, kernel_initializer: Any = None, bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
        kernel_constraint: Any = None, bias_constraint: Any = None, learn_positions: bool | Sequence[int] = False,
        learn_widths: bool = False, engine: str = "auto", path: str = "auto", accuracy: str = "normwise", **kwargs: Any,
    ) -> None:  # fmt: skip
        """Make a layer, whose variables are made when its input's channels are known.

        Parameters
        ----------
        filters : int
            The number of filters (output channels).
        kernel : interpolated_kernels.InterpolatedKernel
            Positions, window and interpolator, of as many spatial axes as the layer.
        strides, dilation_rate, groups, data_format, activation, use_bias
            As for `keras.layers.Conv2D`; `strides` and `dilation_rate` above 1 go together.
        padding : {"valid", "same", "causal"}
            "causal": 1-D only.
        kernel_initializer : optional
            Default: `interpolated_kernels.initial_weights`, which gives the dense kernel the scale of an ordinary one.
        bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint
            As in Keras, on the anchors' weights.
        learn_positions : bool or tuple of axes
            Along all axes of the window, or some, for interpolators that are differentiable by positions.
        learn_widths : bool
            For interpolators that are differentiable by widths.
        engine : {"auto", "numba", "native"}
            "numba": this project's loops, on Keras' TensorFlow backend and the CPU; neither XLA nor an export can run
            them. "native": the backend's own operations, on every backend. "auto": numba wherever it can serve, also in
            `fit`, else native. `choose_engine(inputs)` says which.
        path, accuracy : str
            As for `interpolated_kernels.conv`; they choose among the algorithms of engine "numba".
        **kwargs
            `name`, `dtype`, `trainable` and the like.

        Raises
        ------
        TypeError, ValueError
            The core's own for what does not fit; and for an engine or a path that cannot serve.
        """
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.interpolated_kernel = arguments.read_kernel(kernel)
        self.filters, self.groups, self.use_bias = filters, groups, use_bias
        self.padding = padding.lower() if isinstance(padding, str) else padding
        self.data_format = data_format or keras.config.image_data_format()
        self.engine, self.engine_path, self.accuracy = engine, path, accuracy
        arguments.check_choices(self)
        engines.check_engine(engine, path)
        arguments.get_keras_objects(
            self, activation=activation, kernel_initializer=kernel_initializer, bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer, bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer, kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )  # fmt: skip
        self._settle(strides, dilation_rate)
        self._settle_learning(learn_positions, learn_widths)
        self.supports_jit = engine != "numba"  # with "auto" XLA gets native; without a GPU Keras never asks for XLA

    def _settle(self, strides: Any, dilation_rate: Any) -> None:
        """Keep the options as the core reads them, one entry a spatial axis."""
        self.strides, self.dilation_rate = strides, dilation_rate
        settled = settle_layer(self)
        self.strides, self.dilation_rate = settled.stride, settled.dilation
        self.filters, self.groups = settled.filters, settled.groups
        self.input_spec = keras.layers.InputSpec(ndim=settled.kernel.n_dims + 2)

    def _settle_learning(self, learn_positions: Any, learn_widths: Any) -> None:
        """Keep which anchors' coordinates are learned, and the engine checked for them."""
        kernel = self.interpolated_kernel
        self.learn_positions, self.learn_widths = adapting.settle_axes(kernel, learn_positions), bool(learn_widths)
        engine = self.engine if engines.is_on_tensorflow() else "native"
        adapting.check_learning(kernel, engine, positions=bool(self.learn_positions), widths=self.learn_widths)

    @property
    def current_kernel(self) -> ik.InterpolatedKernel:
        """The kernel at the positions and with the widths of now."""
        moved = {
            name: np.asarray(ops.convert_to_numpy(value), np.float64)
            for name, value in self._list_operands().items()
            if name in ("positions", "widths")
        }
        with adapting.ignore_anchor_warnings():
            return self.interpolated_kernel.replace(**moved)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the variables for the input's channels."""
        axis = find_channel_axis(self.data_format)
        if input_shape[axis] is None:
            raise ValueError(f"`input_shape` must have a known number of channels, got {tuple(input_shape)}.")
        settled = settle_layer(self, input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=settled.kernel.n_dims + 2, axes={axis: input_shape[axis]})
        self.weights_shape = settled.weights_shape
        # In mixed precision the weights stay as they are: narrower floats compute in float32.
        self.kernel = self.add_weight(
            name="kernel",
            shape=self._variable_shape(settled.weights_shape),
            initializer=self.kernel_initializer or initializers.draw_weights(self, settled.channels_per_group),
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
        self.positions = self._add_anchors("positions", settled.kernel.positions if self.learn_positions else None)
        self.widths = self._add_anchors("widths", adapting.fill_widths(settled.kernel) if self.learn_widths else None)
        self.built = True

    def _variable_shape(self, weights_shape: tuple[int, ...]) -> tuple[int, ...]:
        return weights_shape

    def _add_anchors(self, name: str, start: Any) -> Any:
        """Return a variable of positions or widths that begins as the kernel's; None where they are not learned."""
        if start is None:
            return None
        return self.add_weight(
            name=name,
            shape=start.shape,
            initializer=initializers.start_at(start),
            autocast=False,
        )

    def _list_operands(self) -> dict[str, Any]:
        """Return the tensors of a call beside its input, by name; along fixed axes positions are the kernel's."""
        operands = {"weights": ops.reshape(self.kernel, self.weights_shape)}
        named = {"bias": self.bias, "positions": self.positions, "widths": self.widths}
        operands |= {name: variable.value for name, variable in named.items() if variable is not None}
        own = self.interpolated_kernel.positions
        if "positions" in operands and len(self.learn_positions) < own.shape[-1]:
            learned = np.isin(np.arange(own.shape[-1]), self.learn_positions)
            fixed = ops.convert_to_tensor(own, keras.backend.standardize_dtype(operands["positions"].dtype))
            operands["positions"] = ops.where(learned, operands["positions"], fixed)
        return operands

    def call(self, inputs: Any) -> Any:
        """Return y for inputs of the layer's data format."""
        y = engines.conv(self, inputs, self._list_operands())
        return self.activation(ops.cast(y, self.compute_dtype))

    def choose_engine(self, inputs: Any) -> str:
        """Return the engine that serves a call with inputs now, eager or traced: "numba" or "native"."""
        return engines.choose_engine(self, inputs, self._list_operands())

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return y's shape for an input's; sizes that are not known stay so."""
        settled = settle_layer(self, input_shape)
        return tuple(adapting.reorder(settled.y_shape, "channels_first", self.data_format, settled.kernel.n_dims))

    def dense_kernel(self) -> Any:
        """Return `(*window, channels_per_group, filters)`, as Keras' own layers have it; one channel where tied.

        Differentiable by `kernel`, `positions` and `widths`.
        """
        conversion.check_built(self)
        return engines.densify(self, self._list_operands())

    @classmethod
    def from_conv(cls, conv: Any, kernel: ik.InterpolatedKernel, **options: Any) -> InterpolatedConv:
        """Return the built layer whose dense kernel is nearest, in least squares, to that of one of Keras' own layers.

        Parameters
        ----------
        conv : keras.layers.Conv1D, Conv2D, Conv3D, DepthwiseConv1D or DepthwiseConv2D
            Built, of the layer's rank.
        kernel : InterpolatedKernel
            Of the same window.
        **options
            Of the layer, in the place of those of `conv`.

        Raises
        ------
        TypeError, ValueError
            If `conv` is another layer or not built, or its window is not the kernel's.
        """
        layer: InterpolatedConv = conversion.from_conv(cls, conv, kernel, **options)
        return layer

    def to_conv(self) -> Any:
        """Return a built layer of Keras' own, `Conv1D`, `2D` or `3D`, with equal output.

        Raises
        ------
        ValueError
            Where Keras has none: for `strides` and `dilation_rate` above 1 together.
        """
        return conversion.to_conv(self)

    def to_file(self, path: str | os.PathLike[str]) -> None:
        """Write the kernel of now, the weights and the bias as `interpolated_kernels.save` does; bfloat16 as float32.

        Raises
        ------
        ValueError, OSError
            As `interpolated_kernels.save`.
        """
        conversion.to_file(self, path)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **options: Any) -> InterpolatedConv:
        """Return the built layer of a file that `to_file`, `interpolated_kernels.save` or another adapter wrote.

        Parameters
        ----------
        path : path
        **options
            Of the layer, which are not in the file: strides, padding and so on; `in_channels` where channels are tied.

        Raises
        ------
        ValueError
            If the file has no bank of weights for such a layer; and as `interpolated_kernels.load`.
        """
        layer: InterpolatedConv = conversion.from_file(cls, path, **options)
        return layer

    def save_own_variables(self, store: Any) -> None:
        """Put the variables into Keras' store, and beside them what tells their kernel from others."""
        super().save_own_variables(store)
        store[_DIGEST] = self._make_digest()

    def load_own_variables(self, store: Any) -> None:
        """Take the variables from Keras' store, unless they are weights of another kernel.

        Raises
        ------
        ValueError
            Naming what of the kernel differs.
        """
        own = {name: store[name] for name in store.keys() if name != _DIGEST}  # noqa: SIM118 # Keras' store is no dict
        if _DIGEST in store.keys():  # noqa: SIM118
            adapting.check_digest("filepath", store[_DIGEST], self._make_digest(), self.interpolated_kernel)
        elif own:
            notices.warn("`filepath` does not say which kernel its weights belong to: they are taken for this layer's.")
        super().load_own_variables(own)

    def _make_digest(self) -> Any:
        learned = {"positions": bool(self.learn_positions), "widths": self.learn_widths}
        names = [name for name, is_learned in learned.items() if is_learned]
        return adapting.make_digest(self.interpolated_kernel, names).astype(np.float32)

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
            **arguments.serialize_keras_objects(self),
            "learn_positions": list(self.learn_positions),
            "learn_widths": self.learn_widths,
            "engine": self.engine,
            "path": self.engine_path,
            "accuracy": self.accuracy,
        }
