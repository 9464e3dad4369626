"""`InterpolatedConv1D`, `2D` and `3D`, with the argument names of Keras' own convolutions."""

from __future__ import annotations

from typing import ClassVar

import keras

from interpolated_kernels_keras.base import BaseInterpolatedConv


@keras.saving.register_keras_serializable(package="interpolated_kernels")
class InterpolatedConv1D(BaseInterpolatedConv):
    """1-D convolution with a kernel of one spatial axis; parameters as for `BaseInterpolatedConv`."""

    rank: ClassVar[int | None] = 1


@keras.saving.register_keras_serializable(package="interpolated_kernels")
class InterpolatedConv2D(BaseInterpolatedConv):
    """2-D convolution with a kernel of two spatial axes; parameters as for `BaseInterpolatedConv`."""

    rank: ClassVar[int | None] = 2


@keras.saving.register_keras_serializable(package="interpolated_kernels")
class InterpolatedConv3D(BaseInterpolatedConv):
    """3-D convolution with a kernel of three spatial axes; parameters as for `BaseInterpolatedConv`."""

    rank: ClassVar[int | None] = 3
