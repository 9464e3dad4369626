"""Interpolated kernels for PyTorch: `interpolated_conv`, layers, and their way to and from plain convolutions."""

import interpolated_kernels_torch.flops  # noqa: F401 # it registers what a counter of FLOPs finds
from interpolated_kernels_torch.functional import interpolated_conv
from interpolated_kernels_torch.layers import InterpolatedConv1d, InterpolatedConv2d, InterpolatedConv3d
from interpolated_kernels_torch.models import to_conv

__all__ = ["InterpolatedConv1d", "InterpolatedConv2d", "InterpolatedConv3d", "interpolated_conv", "to_conv"]
