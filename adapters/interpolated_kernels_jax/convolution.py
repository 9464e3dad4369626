"""What is known of a convolution while it is traced: everything but the values of its arrays."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import interpolated_kernels as ik
from interpolated_kernels import adapting

OPERANDS = ("x", "weights", "positions", "widths")
ANCHORS = OPERANDS[1:]


@dataclass(frozen=True)
class Convolution(adapting.Settled):
    """A kernel with settled options; it compares by value, so that equal calls are compiled once.

    Attributes
    ----------
    anchors : tuple of str
        The operands that make the dense kernel: "weights" alone, or also those that take the place of the kernel's own.
    path, accuracy : str
        As for `interpolated_kernels.conv`.
    engine : {"auto", "numba", "native"}
    """

    anchors: tuple[str, ...]
    path: str
    accuracy: str
    engine: str

    @property
    def has_channels(self) -> bool:
        """Whether x has an axis of channels: not for plain weights."""
        return len(self.weights_shape) > 1

    @property
    def moves(self) -> bool:
        """Whether positions or widths are operands, of which y is no linear function."""
        return len(self.anchors) > 1

    def find_out(self, x_shape: Sequence[Any]) -> tuple[Any, ...]:
        """Return y's spatial shape for x with its padding."""
        axes = zip(x_shape[-len(self.stride) :], self.extent, self.stride, strict=True)
        return tuple((size - cells) // step + 1 for size, cells, step in axes)

    def find_y_shape(self, x_shape: Sequence[Any]) -> tuple[Any, ...]:
        """Return y's shape."""
        d = len(self.stride)
        padded = [size + sum(pair) for size, pair in zip(x_shape[-d:], self.read_padding(), strict=True)]
        lead = (*x_shape[: -d - 1], self.weights_shape[0]) if self.has_channels else tuple(x_shape[:-d])
        return (*lead, *self.find_out(padded))

    def read_padding(self) -> tuple[tuple[int, int], ...]:
        """Return (before, after) an axis.

        Raises
        ------
        ValueError
            Where a size decides it that is open.
        """
        pairs = tuple(pair for pair in self.padding if pair is not None)
        if len(pairs) < len(self.padding):
            raise ValueError(
                "`padding`='same' with a stride needs sizes that are known while tracing: pass ints or (before, after) "
                "pairs."
            )
        return pairs

    def find_needed(self, directions: Sequence[str]) -> tuple[str, ...]:
        """Return the operands that y's derivative in some operands' directions depends on."""
        by_anchors = any(name != "x" for name in directions)
        if self.moves:
            return (*(("x",) if by_anchors else ()), *self.anchors)
        return (*(("x",) if by_anchors else ()), *(("weights",) if "x" in directions else ()))

    def replace_by_dense(self) -> Convolution:
        """Return the convolution whose weights are the cells of this one's dense kernel."""
        kernel = adapting.keep_whole_kernel(self.kernel.spatial_window, self.kernel.channel_mode)
        shape: tuple[int, ...] = (kernel.n_anchors,)
        if self.has_channels:
            channels = self.kernel.window[-1:] if self.kernel.interpolates_channels else self.weights_shape[1:-1]
            shape = (self.weights_shape[0], *channels, kernel.n_anchors)
        return replace(self, kernel=kernel, weights_shape=shape, anchors=("weights",), path="auto")

    def as_keywords(self) -> dict[str, Any]:
        """Return the options as the core takes them."""
        return {
            "stride": self.stride, "padding": self.read_padding(), "padding_mode": self.padding_modes,
            "dilation": self.dilation, "groups": self.groups, "path": self.path, "accuracy": self.accuracy,
        }  # fmt: skip


def describe(
    x_shape: Sequence[Any], weights_shape: tuple[int, ...], kernel: ik.InterpolatedKernel, dtype: str, **options: Any
) -> Convolution:
    """Return the convolution of shapes and options; `options` are those of `conv`, beside `anchors` and `engine`.

    Raises
    ------
    TypeError, ValueError
        As the core, for options and shapes that do not fit.
    """
    known = tuple(size if isinstance(size, int) else None for size in x_shape)  # an export may leave sizes open
    options = {name: _freeze(option) for name, option in options.items()}
    return _describe(known, weights_shape, kernel, dtype, repr(options), **options)


@functools.lru_cache(maxsize=512)
def _describe(
    x_shape: adapting.Shape,
    weights_shape: tuple[int, ...],
    kernel: ik.InterpolatedKernel,
    dtype: str,
    spelling: str,
    *,
    anchors: tuple[str, ...],
    engine: str,
    **options: Any,
) -> Convolution:
    del spelling  # it only keeps 1, 1.0 and True apart, of which the cache makes one and the core takes the first alone
    settled = adapting.settle(x_shape, weights_shape, kernel, dtype, **options)
    adapting.check_engine(engine, options["path"])
    own = {"anchors": anchors, "path": options["path"], "accuracy": options["accuracy"], "engine": engine}
    return Convolution(**{**vars(settled), "y_shape": (), **own})  # of samples, whose number mapped axes change


def _freeze(option: Any) -> Any:
    """Return an option with tuples for lists and arrays."""
    option = option.tolist() if hasattr(option, "tolist") else option
    return tuple(map(_freeze, option)) if isinstance(option, (list, tuple)) else option
