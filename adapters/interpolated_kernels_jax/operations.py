"""The convolution as three operations of JAX, so that it knows each's derivatives, transposes and batches.

`conv` is y of x and anchors: weights, and where they move positions and widths. `push` is its derivative along
directions in some of these, `pull` the transpose of that: gradients. A function of `custom_vjp` has no forward mode;
these have both modes, and one call of the core for all gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.sharding import NamedSharding, PartitionSpec

from interpolated_kernels_jax.convolution import OPERANDS, Convolution

conv_p = Primitive("interpolated_conv")
push_p = Primitive("interpolated_conv_push")
pull_p = Primitive("interpolated_conv_pull")
pull_p.multiple_results = True


def conv(arrays: dict[str, Any], convolution: Convolution) -> Any:
    """Return y of x, the anchors and, where there is one, a bias that is added to y as it is."""
    names = tuple(arrays)
    return conv_p.bind(*_vary_alike(list(arrays.values())), convolution=convolution, names=names)


def push(values: dict[str, Any], directions: dict[str, Any], convolution: Convolution) -> Any:
    """Return y's derivative at the values, of which those are needed that `find_needed` names, along directions."""
    along = tuple(name for name in OPERANDS if name in directions)
    known = convolution.find_needed(along)
    operands = *(values[name] for name in known), *(directions[name] for name in along)
    return push_p.bind(*operands, convolution=convolution, known=known, along=along)


def pull(values: dict[str, Any], grad_y: Any, likes: dict[str, Any], convolution: Convolution) -> dict[str, Any]:
    """Return gradients, by name, of the shapes and dtypes of `likes`."""
    wrt = tuple(name for name in OPERANDS if name in likes)
    known = convolution.find_needed(wrt)
    shapes = tuple(jax.ShapeDtypeStruct(likes[name].shape, likes[name].dtype) for name in wrt)
    operands = *(values[name] for name in known), grad_y
    grads = pull_p.bind(*operands, convolution=convolution, known=known, wrt=wrt, likes=shapes)
    return dict(zip(wrt, grads, strict=True))


@conv_p.def_abstract_eval
def _(*avals: Any, convolution: Convolution, names: tuple[str, ...]) -> Any:
    x = avals[names.index("x")]
    return _like(x, convolution.find_y_shape(x.shape))


@push_p.def_abstract_eval
def _(*avals: Any, convolution: Convolution, known: tuple[str, ...], along: tuple[str, ...]) -> Any:
    x = avals[(*known, *along).index("x")]
    return _like(x, convolution.find_y_shape(x.shape))


@pull_p.def_abstract_eval
def _(*avals: Any, likes: tuple[Any, ...], **options: Any) -> Any:
    return [_like(avals[-1], like.shape, like.dtype) for like in likes]


def _like(aval: Any, shape: Sequence[Any], dtype: Any = None) -> Any:
    """Return the type of an array of another shape that differs from device to device as that of `aval` does."""
    sharding = NamedSharding(aval.sharding.mesh, PartitionSpec(*(None for _ in shape)))
    dtype = aval.dtype if dtype is None else dtype
    return aval.update(shape=tuple(shape), dtype=dtype, weak_type=False, sharding=sharding)


def _vary_alike(operands: list[Any]) -> list[Any]:
    """Return the operands, under `jax.shard_map` all as different from device to device as one of them is."""
    varying = [_find_varying(jax.typeof(value)) for value in operands]
    axes = frozenset[Any]().union(*varying)
    return [
        _vary(value, tuple(sorted(axes - own))) if axes - own else value
        for value, own in zip(operands, varying, strict=True)
    ]


def _find_varying(aval: Any) -> frozenset[Any]:
    """Return the axes of the mesh along which values differ; JAX has changed its name of them."""
    kind = getattr(aval, "manual_axis_type", None)
    return frozenset(getattr(aval, "vma", ()) if kind is None else kind.varying)


def _vary(value: Any, axes: tuple[Any, ...]) -> Any:
    if hasattr(jax.lax, "pcast"):
        return jax.lax.pcast(value, axes, to="varying")
    return jax.lax.pvary(value, axes)  # type: ignore[attr-defined] # its name in earlier releases
