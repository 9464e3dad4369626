"""Interpolated kernels for JAX: `interpolated_conv`, by this engine or by JAX's own operations."""

from interpolated_kernels_jax.functional import interpolated_conv

__all__ = ["interpolated_conv"]
