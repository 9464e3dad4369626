"""The original project's layer, `InterpolatedConv2d`, as its users wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_keras import notices
from interpolated_kernels_keras.base import InterpolatedConv


@keras.saving.register_keras_serializable(package="interpolated_kernels_keras")
class InterpolatedConv2d(InterpolatedConv):
    """2-D convolution of NHWC inputs by kernels that are interpolated between the weights at given positions.

    Parameters
    ----------
    kernel_positions : array_like
        `(filters, n, 2)`, [row, column]: one kernel for all channels. `(filters, n, 3)`, [row, column, channel]:
        interpolated through the channels too.
    kernel_size : int or (int, int)
        The dense kernel's rows and columns.
    strides : (1, rows, columns, 1), or int, or (rows, columns)
    padding : {"VALID", "SAME"}
    order : int
        Of the polyharmonic spline.
    continous_3d : bool
        False, with 2 columns: every channel has weights of its own.
    interpolator : str or Interpolator, optional
        Instead of the polyharmonic spline, see `interpolated_kernels.interpolators()`.
    **kwargs
        Of `InterpolatedConv2D` (`activation`, `engine`, ...; `use_bias` is False by default) and of Keras (`name`,
        `input_shape`, ...).

    Attributes
    ----------
    kernel : variable
        The weights: `(filters, n, 1)`, or `(filters, channels, n)` where every channel has its own.

    Raises
    ------
    ValueError
        For positions of another shape, 3 columns with `continous_3d=False` or with an input of one channel; and the
        core's own errors.
    """

    rank: ClassVar[int | None] = 2
    has_kernel_argument: ClassVar[bool] = False

    def __init__(
        self,
        kernel_positions: Any,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = (1, 1, 1, 1),
        padding: str = "VALID",
        order: int = 1,
        continous_3d: bool = True,
        *,
        interpolator: Any = None,
        **kwargs: Any,
    ) -> None:
        positions = np.asarray(kernel_positions)
        if positions.ndim != 3 or positions.shape[-1] not in (2, 3):
            raise ValueError(
                f"`kernel_positions` must have shape (filters, n, 2) or (filters, n, 3), got {positions.shape}."
            )
        through_channels = positions.shape[-1] == 3
        if through_channels and not continous_3d:
            raise ValueError(
                "`continous_3d`=False needs 2 columns of `kernel_positions`, got 3: the third is for interpolation."
            )
        if interpolator is not None and order != 1:
            raise ValueError(
                f"`order`={order!r} goes with the default `interpolator`: pass `Polyharmonic(order={order!r})` instead."
            )
        self.order, self.continous_3d, self.has_interpolator = order, continous_3d, interpolator is not None
        window = tuple(kernel_size) if np.iterable(kernel_size) else (kernel_size, kernel_size)
        if through_channels:  # until `build` knows the channels
            window = (*window, max(int(np.ceil(positions[..., 2].max())) + 1, 2))
        mode = "interpolated" if through_channels else "tied" if continous_3d else "separate"
        chosen = _read_interpolator(interpolator) if self.has_interpolator else ik.Polyharmonic(order=order)
        with notices.at_users_line():
            kernel = ik.InterpolatedKernel(positions, window, chosen, channel_mode=mode)
        kwargs.setdefault("use_bias", False)
        super().__init__(
            len(positions), kernel, _drop_batch_and_channels(strides), padding, data_format="channels_last", **kwargs
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the variables for the input's channels."""
        kernel, channels = self.interpolated_kernel, input_shape[-1]
        if kernel.channel_mode == "interpolated" and channels is not None:
            if channels == 1:
                raise ValueError(
                    "`kernel_positions` with 3 columns need an input of more than 1 channel: drop the third column."
                )
            self.interpolated_kernel = _replace_channels(kernel, channels)
        super().build(input_shape)

    def _variable_shape(self, weights_shape: tuple[int, ...]) -> tuple[int, ...]:
        return weights_shape if len(weights_shape) == 3 else (*weights_shape, 1)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return y's shape for an input's; before `build`, of any number of channels."""
        kernel = self.interpolated_kernel
        known = self.built or kernel.channel_mode != "interpolated"
        return tuple(super().compute_output_shape(input_shape if known else (*input_shape[:-1], kernel.window[-1])))

    def extract_interpolated_kernel(self) -> Any:
        """Return the dense kernel, `(rows, columns, channels, filters)`, as `tf.nn.conv2d` takes it."""
        if not self.built:
            raise ValueError("`extract_interpolated_kernel` needs a layer that was built: call it on an input first.")
        dense = self.dense_kernel()
        is_tied = self.interpolated_kernel.channel_mode == "tied"
        return ops.repeat(dense, self.input_spec.axes[-1], axis=2) if is_tied else dense

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InterpolatedConv2d:
        """Return the layer of a config, whose maker was warned of its anchors."""
        with adapting.ignore_anchor_warnings():
            layer: InterpolatedConv2d = super().from_config(config)
        return layer

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as plain values, which JSON can hold."""
        config = super().get_config()
        for name in ("filters", "data_format"):
            del config[name]
        spec = config.pop("kernel")
        return {
            **config,
            "kernel_positions": spec["positions"],
            "kernel_size": spec["window"][:2],
            "order": self.order,
            "continous_3d": self.continous_3d,
            "interpolator": spec["interpolator"] if self.has_interpolator else None,
        }


def _read_interpolator(interpolator: Any) -> Any:
    """Return the interpolator of a config's entry; a name or an instance as it is."""
    if not isinstance(interpolator, dict):
        return interpolator
    trivial = ik.InterpolatedKernel([[0], [1]], 2, "dilated").to_dict()
    return ik.InterpolatedKernel.from_dict({**trivial, "interpolator": interpolator}).interpolator


def _drop_batch_and_channels(strides: Any) -> Any:
    """Return the strides of rows and columns from those of all four axes, or what came."""
    if not np.iterable(strides) or len(tuple(strides)) != 4:
        return strides
    batch, rows, columns, channels = strides
    if batch != 1 or channels != 1:
        raise ValueError(f"`strides` must be 1 for batch and channels, (1, rows, columns, 1), got {tuple(strides)}.")
    return rows, columns


def _replace_channels(kernel: ik.InterpolatedKernel, channels: int) -> ik.InterpolatedKernel:
    with adapting.ignore_anchor_warnings():
        return kernel.replace(window=(*kernel.spatial_window, channels))
