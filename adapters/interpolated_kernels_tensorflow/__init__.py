"""Interpolated convolution for TensorFlow: `interpolated_conv`, by this engine or by TensorFlow's own operations."""

from interpolated_kernels_tensorflow.convolution import interpolated_conv

__all__ = ["interpolated_conv"]
