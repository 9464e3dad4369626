"""The lattice in `keras.ops`: smooth once per combination of classes, then tap the maps with dilation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from interpolated_kernels import adapting
from interpolated_kernels_keras.shapes import find_channel_axis, find_spatial_axis, place_spatial


def choose(operands: dict[str, Any], settled: adapting.Settled) -> adapting.Lattice | None:
    """Return the lattice where it takes fewer multiply-adds than the dense kernel; None where that serves."""
    if "positions" in operands or "widths" in operands or None in settled.padding:
        return None
    found: adapting.Lattice | None = adapting.choose_lattice(
        settled.kernel, settled.weights_shape, settled.channels, settled.groups, settled.stride
    )
    return found


def conv(x: Any, operands: dict[str, Any], settled: adapting.Settled, layout: str) -> Any:
    """Return y for padded x of a data format, tied channels summed, by a lattice that there is."""
    first, lattice = find_spatial_axis(layout), adapting.find_lattice(settled.kernel)
    sizes = zip(x.shape[first : first + settled.kernel.n_dims], settled.extent, settled.stride, strict=True)
    out = tuple((size - extent) // step + 1 for size, extent, step in sizes)
    nodes = _bring_to_nodes(operands["weights"], settled, lattice)
    kind = _Shifts if keras.backend.backend() == "jax" else _Convolutions
    operators = kind(settled, layout, out, nodes)
    chosen = adapting.LatticeOperators(operators.narrow, operators.smooth, operators.tap)
    return adapting.add_shares(x, lattice, settled, out, chosen)


@dataclass(frozen=True)
class _Convolutions:
    """The operators of the walk as convolutions."""

    settled: adapting.Settled
    layout: str
    out: tuple[int, ...]
    nodes: Any

    def narrow(self, x: Any, axis: int, begin: int, n_cells: int, step: int = 1) -> Any:
        return x[(slice(None),) * (find_spatial_axis(self.layout) + axis) + (slice(begin, begin + n_cells, step),)]

    def smooth(self, x: Any, profile: Any, axis: int, dilation: int) -> Any:
        along = [other == axis for other in range(self.settled.kernel.n_dims)]
        shape = [len(profile) if is_along else 1 for is_along in along]
        taps = np.tile(profile.reshape(*shape, 1, 1), x.shape[find_channel_axis(self.layout)])
        taps = ops.convert_to_tensor(taps, keras.backend.standardize_dtype(x.dtype))
        apart = tuple(dilation if is_along else 1 for is_along in along)
        return ops.conv(x, taps, padding="valid", data_format=self.layout, dilation_rate=apart)

    def tap(self, x: Any, group: adapting.Group, steps: tuple[int, ...]) -> Any:
        return ops.conv(
            x, self.take_taps(group), strides=self.settled.stride, padding="valid",
            data_format=self.layout, dilation_rate=steps,
        )  # fmt: skip

    def take_taps(self, group: adapting.Group) -> Any:
        """Return the nodes of a group, `(*counts, channels_per_group, filters)`."""
        own = self.nodes[..., group.start : group.start + math.prod(group.counts)]
        own = ops.reshape(own, (*self.nodes.shape[:2], *group.counts))
        return ops.transpose(own, (*range(2, len(own.shape)), 1, 0))


class _Shifts(_Convolutions):
    """The same as sums of shifts, of which XLA makes one loop; its grouped convolutions are slow."""

    def smooth(self, x: Any, profile: Any, axis: int, dilation: int) -> Any:
        kept = x.shape[find_spatial_axis(self.layout) + axis] - (len(profile) - 1) * dilation
        return _add([self.narrow(x, axis, at * dilation, kept) * float(value) for at, value in enumerate(profile)])

    def tap(self, x: Any, group: adapting.Group, steps: tuple[int, ...]) -> Any:
        taps, settled = self.take_taps(group), self.settled
        if settled.groups == 1 or taps.shape[-2] > 1:
            return super().tap(x, group, steps)
        x = ops.repeat(x, settled.filters // settled.groups, axis=find_channel_axis(self.layout))
        across = place_spatial((1,) * len(steps), settled.filters, self.layout)
        shares = []
        for index in np.ndindex(*group.counts):
            seen = x
            for axis, (at, step, stride) in enumerate(zip(index, steps, settled.stride, strict=True)):
                seen = self.narrow(seen, axis, at * step, (self.out[axis] - 1) * stride + 1, stride)
            shares.append(seen * ops.reshape(taps[(*index, 0)], across))
        return _add(shares)


def _add(parts: list[Any]) -> Any:
    return sum(parts[1:], start=parts[0])


def _bring_to_nodes(weights: Any, settled: adapting.Settled, lattice: adapting.Lattice) -> Any:
    """Return the nodes' coefficients `(filters, channels_per_group, nodes)`."""
    to_nodes = ops.convert_to_tensor(lattice.to_nodes.T, keras.backend.standardize_dtype(weights.dtype))
    nodes = ops.matmul(weights, to_nodes)
    channels = settled.kernel.window[-1] if settled.kernel.interpolates_channels else 1
    return nodes if len(weights.shape) == 3 else ops.reshape(nodes, (weights.shape[0], channels, -1))
