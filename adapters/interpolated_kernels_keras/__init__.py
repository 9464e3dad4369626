"""Interpolated convolution as Keras 3 layers, and the layer of the original project."""

from interpolated_kernels_keras.layers import InterpolatedConv1D, InterpolatedConv2D, InterpolatedConv3D
from interpolated_kernels_keras.original import InterpolatedConv2d

__all__ = ["InterpolatedConv1D", "InterpolatedConv2D", "InterpolatedConv2d", "InterpolatedConv3D"]
