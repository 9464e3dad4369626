"""Mapped axes: into the batch, where only what has one is mapped; else one call after another."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import batching

from interpolated_kernels_jax.convolution import Convolution
from interpolated_kernels_jax.operations import conv_p, pull_p, push_p

Axes = Sequence[int | None]


@dataclass(frozen=True)
class Fold:
    """How a mapped axis goes into the batch of x and of what is like it.

    Attributes
    ----------
    size : int
        Of the mapped axis.
    merges : bool
        Whether there is a batch for it to be merged with; else it becomes the batch.
    """

    size: int
    merges: bool

    def fold(self, value: Any, axis: int | None) -> Any:
        """Return a value with the mapped axis in its batch."""
        value = jnp.moveaxis(value, axis, 0) if axis is not None else jnp.broadcast_to(value, (self.size, *value.shape))
        return value.reshape(self.fold_shape(value.shape[1:])) if self.merges else value

    def fold_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of a folded value."""
        return (self.size * shape[0], *shape[1:]) if self.merges else (self.size, *shape)

    def unfold(self, value: Any) -> Any:
        """Return a folded value with the mapped axis first."""
        if not self.merges:
            return value
        return value.reshape(self.size, value.shape[0] // max(self.size, 1), *value.shape[1:])


def _find_fold(names: Sequence[str], operands: Sequence[Any], axes: Axes, convolution: Convolution) -> Fold | None:
    """Return how the mapped axis goes into the batch; None where an anchor is mapped."""
    size, ndim = 0, 0
    for name, value, axis in zip(names, operands, axes, strict=True):
        if axis is not None:
            if name not in ("x", "y"):
                return None
            size = value.shape[axis]
        if name in ("x", "y"):
            ndim = value.ndim - (axis is not None)
    return Fold(size, merges=convolution.has_channels and ndim == len(convolution.stride) + 2)


def _batch_y(
    primitive: Any, names: Sequence[str], operands: Sequence[Any], axes: Axes, options: dict[str, Any]
) -> tuple[Any, Any]:
    """Return y, of `conv` or `push`, and its mapped axis."""
    convolution, run = options["convolution"], functools.partial(primitive.bind, **options)
    fold = _find_fold(names, operands, axes, convolution)
    if fold is None:
        return _map(run, operands, axes), 0
    return fold.unfold(run(*_fold_samples(fold, names, operands, axes))), 0


def _batch_pull(operands: Sequence[Any], axes: Axes, **options: Any) -> tuple[Any, Any]:
    convolution, likes, names = options["convolution"], options["likes"], (*options["known"], "y")
    fold = None
    if options["wrt"] == ("x",):  # gradients by anchors are sums over the batch
        fold = _find_fold(names, operands, axes, convolution)
    if fold is None:
        return _map(functools.partial(pull_p.bind, **options), operands, axes), [0] * len(likes)
    folded = (jax.ShapeDtypeStruct(fold.fold_shape(likes[0].shape), likes[0].dtype),)
    (grad_x,) = pull_p.bind(*_fold_samples(fold, names, operands, axes), **{**options, "likes": folded})
    return [fold.unfold(grad_x)], [0]


def _fold_samples(fold: Fold, names: Sequence[str], operands: Sequence[Any], axes: Axes) -> list[Any]:
    return [
        fold.fold(value, axis) if name in ("x", "y") else value
        for name, value, axis in zip(names, operands, axes, strict=True)
    ]


def _map(run: Callable[..., Any], operands: Sequence[Any], axes: Axes) -> Any:
    """Return the results of `run`, a call a place along the mapped axes; theirs is the first."""
    mapped = [jnp.moveaxis(value, axis, 0) for value, axis in zip(operands, axes, strict=True) if axis is not None]

    def run_one(parts: Sequence[Any]) -> Any:
        given = iter(parts)
        return run(*(value if axis is None else next(given) for value, axis in zip(operands, axes, strict=True)))

    return jax.lax.map(run_one, mapped)


def _batch_conv(operands: Sequence[Any], axes: Axes, **options: Any) -> tuple[Any, Any]:
    return _batch_y(conv_p, options["names"], operands, axes, options)


def _batch_push(operands: Sequence[Any], axes: Axes, **options: Any) -> tuple[Any, Any]:
    return _batch_y(push_p, (*options["known"], *options["along"]), operands, axes, options)


batching.primitive_batchers[conv_p] = _batch_conv
batching.primitive_batchers[push_p] = _batch_push
batching.primitive_batchers[pull_p] = _batch_pull
