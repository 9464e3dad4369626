"""`InterpolatedConv1D`, `2D` and `3D`, with the argument names of Keras' own convolutions."""

from __future__ import annotations

from typing import ClassVar

import keras

from interpolated_kernels_keras.base import InterpolatedConv


@keras.saving.register_keras_serializable(package="interpolated_kernels_keras")
class InterpolatedConv1D(InterpolatedConv):
    """`keras.layers.Conv1D` with its weights on anchors."""

    rank: ClassVar[int | None] = 1


@keras.saving.register_keras_serializable(package="interpolated_kernels_keras")
class InterpolatedConv2D(InterpolatedConv):
    """`keras.layers.Conv2D` with its weights on anchors."""

    rank: ClassVar[int | None] = 2


@keras.saving.register_keras_serializable(package="interpolated_kernels_keras")
class InterpolatedConv3D(InterpolatedConv):
    """`keras.layers.Conv3D` with its weights on anchors."""

    rank: ClassVar[int | None] = 3
