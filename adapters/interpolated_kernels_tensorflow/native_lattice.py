"""The lattice by TensorFlow's own convolutions: smooth once per combination of classes, then tap the maps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from interpolated_kernels import adapting
from interpolated_kernels_tensorflow.convolving import convolve
from interpolated_kernels_tensorflow.engines import is_inside_xla


def choose(operands: dict[str, Any], settled: adapting.Settled) -> adapting.Lattice | None:
    """Return the lattice where it takes fewer multiply-adds than the dense kernel; None where that serves.

    TensorFlow's convolutions have no dilation beside a stride.
    """
    if "positions" in operands or "widths" in operands or max(settled.stride) > 1:
        return None
    found: adapting.Lattice | None = adapting.choose_lattice(
        settled.kernel, settled.weights_shape, settled.channels, settled.groups, settled.stride
    )
    return found


def conv(x: Any, operands: dict[str, Any], settled: adapting.Settled, lattice: adapting.Lattice) -> Any:
    """Return y for padded x `(batch, *spatial, channels)`, tied channels summed."""
    d = settled.kernel.n_dims
    out = [_find_size(x, axis) - reach + 1 for axis, reach in enumerate(settled.extent)]
    nodes = _bring_to_nodes(operands["weights"], settled, lattice)

    def tap(x: Any, group: adapting.Group, steps: tuple[int, ...]) -> Any:
        own = nodes[..., group.start : group.start + math.prod(group.counts)]
        own = tf.reshape(own, (*nodes.shape[:2], *group.counts))
        taps = tf.transpose(own, (*range(2, d + 2), 1, 0))
        if is_inside_xla() and settled.groups > 1 and taps.shape[-2] == 1:
            return _add_shifted(x, taps, steps, settled.groups, out)
        return convolve(x, taps, settled.stride, steps, settled.groups)

    return adapting.add_shares(x, lattice, settled, out, adapting.LatticeOperators(_narrow, _smooth, tap))


def _find_size(x: Any, axis: int) -> Any:
    """Return the size of a spatial axis, as a tensor where tracing does not know it."""
    return tf.shape(x)[axis + 1] if x.shape[axis + 1] is None else x.shape[axis + 1]


def _narrow(x: Any, axis: int, begin: int, n_cells: Any) -> Any:
    return x[(slice(None),) * (axis + 1) + (slice(begin, begin + n_cells),)]


def _smooth(x: Any, profile: Any, axis: int, dilation: int) -> Any:
    """Return x convolved with one profile along a spatial axis, each channel by itself."""
    channels, reach = x.shape[-1], (len(profile) - 1) * dilation
    if is_inside_xla():
        kept = _find_size(x, axis) - reach
        values = profile.astype(x.dtype.name)
        return _add([_narrow(x, axis, cell * dilation, kept) * value for cell, value in enumerate(values)])
    along = [other == axis for other in range(x.shape.rank - 2)]
    taps = np.tile(profile.reshape(*(len(profile) if is_along else 1 for is_along in along), 1, 1), channels)
    if len(along) < 3:
        apart = tuple(dilation if is_along else 1 for is_along in along)
        return convolve(x, tf.constant(taps, x.dtype), (1,) * len(along), apart, channels)
    # Depthwise convolutions have two axes: those before join the batch, those after are one.
    shape = tf.shape(x)
    before, size, after = shape[: axis + 1], shape[axis + 1], shape[axis + 2 : -1]
    flat = tf.reshape(x, tf.stack([tf.reduce_prod(before), size, tf.reduce_prod(after), channels]))
    y = convolve(flat, tf.constant(taps.reshape(-1, 1, 1, channels), x.dtype), (1, 1), (dilation, 1), channels)
    y = tf.reshape(y, tf.concat([before, [size - reach], after, [channels]], 0))
    static = [*x.shape]
    static[axis + 1] = None if static[axis + 1] is None else static[axis + 1] - reach
    y.set_shape(static)
    return y


def _add_shifted(x: Any, taps: Any, steps: tuple[int, ...], groups: int, out: Any) -> Any:
    """Return what `convolve` does for one channel a group, as the sum of x's shifts: XLA makes one loop of it."""
    *counts, _, filters = taps.shape
    x = tf.repeat(x, filters // groups, axis=-1)
    parts = []
    for index in np.ndindex(*counts):
        part = x
        for axis, (at, step) in enumerate(zip(index, steps, strict=True)):
            part = _narrow(part, axis, at * step, out[axis])
        parts.append(part * taps[(*index, 0)])
    return _add(parts)


def _add(parts: list[Any]) -> Any:
    return sum(parts[1:], start=parts[0])


def _bring_to_nodes(weights: Any, settled: adapting.Settled, lattice: adapting.Lattice) -> Any:
    """Return the nodes' coefficients `(filters, channels_per_group, nodes)`."""
    to_nodes = tf.constant(lattice.to_nodes.T, weights.dtype)
    bank = tf.reshape(weights, (-1, weights.shape[-1]))
    nodes = tf.matmul(bank, to_nodes)
    channels = settled.kernel.window[-1] if settled.kernel.interpolates_channels else 1
    lead = weights.shape[:2] if weights.shape.rank == 3 else (bank.shape[0], channels)
    return tf.reshape(nodes, (*lead, nodes.shape[-1] // (channels if weights.shape.rank < 3 else 1)))
