"""Engine "numba": the core behind `jax.pure_callback`, one call a direction.

The functions of arrays never call JAX: its own threads run them, and may be all that there are. In these float64 may be
switched off, so that its bits travel as integers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_jax.convolution import Convolution


def conv(*operands: Any, convolution: Convolution, names: tuple[str, ...]) -> Any:
    """Return y of the operands that are named; a bias among them has y's axes."""
    x = operands[names.index("x")]
    like = jax.ShapeDtypeStruct(convolution.find_y_shape(x.shape), x.dtype)
    return _call(_conv, like, *operands, convolution=convolution, names=names)


def push(*operands: Any, convolution: Convolution, known: tuple[str, ...], along: tuple[str, ...]) -> Any:
    """Return y's derivative along directions in x and weights, the last of the operands."""
    values = dict(zip((*known, *along), operands, strict=True))  # of the same name, both have the same axes
    like = jax.ShapeDtypeStruct(convolution.find_y_shape(values["x"].shape), values["x"].dtype)
    return _call(_push, like, *operands, convolution=convolution, known=known, along=along)


def pull(
    *operands: Any, convolution: Convolution, known: tuple[str, ...], wrt: tuple[str, ...], likes: tuple[Any, ...]
) -> Any:
    """Return gradients by what `wrt` names, of the shapes and dtypes of `likes`; the last operand is that by y."""
    return _call(_pull, likes, *operands, convolution=convolution, known=known, wrt=wrt, likes=likes)


def _call(function: Any, like: Any, *operands: Any, **options: Any) -> Any:
    results = jax.pure_callback(
        functools.partial(_run, function, tuple(operand.dtype for operand in operands), options),
        jax.tree.map(_pack_like, like), *map(_pack, operands), vmap_method="sequential",
    )  # fmt: skip
    return jax.tree.map(lambda result, own: jax.lax.bitcast_convert_type(result, own.dtype), results, like)


def _pack(operand: Any) -> Any:
    return jax.lax.bitcast_convert_type(operand, "uint32") if operand.dtype == "float64" else operand


def _pack_like(like: Any) -> Any:
    return jax.ShapeDtypeStruct((*like.shape, 2), "uint32") if like.dtype == "float64" else like


def _run(function: Callable[..., Any], dtypes: Sequence[Any], options: dict[str, Any], *operands: Any) -> Any:
    """Return a function's arrays, with float64 as pairs of integers, of operands that came so."""
    arrays = [
        np.asarray(operand).view(dtype)[..., 0] if dtype == "float64" else np.asarray(operand)
        for operand, dtype in zip(operands, dtypes, strict=True)
    ]
    return jax.tree.map(_to_bits, function(*arrays, **options))


def _to_bits(array: Any) -> Any:
    return np.ascontiguousarray(array)[..., None].view("uint32") if array.dtype == "float64" else array


def _conv(*operands: Any, convolution: Convolution, names: tuple[str, ...]) -> Any:
    values = dict(zip(names, operands, strict=True))
    y = ik.conv(values["x"], values["weights"], _move(convolution, values), **convolution.as_keywords())
    if "bias" in values:
        y += values["bias"]
    return y


def _push(*operands: Any, convolution: Convolution, known: tuple[str, ...], along: tuple[str, ...]) -> Any:
    n = len(known)
    values, directions = dict(zip(known, operands[:n], strict=True)), zip(along, operands[n:], strict=True)
    kernel, options = _move(convolution, values), convolution.as_keywords()
    y: Any = None
    for name, direction in directions:
        changed = {**values, name: direction}
        share = ik.conv(changed["x"], changed["weights"], kernel, **options)
        y = share if y is None else np.add(y, share, out=y)
    return y


def _pull(
    *operands: Any, convolution: Convolution, known: tuple[str, ...], wrt: tuple[str, ...], likes: tuple[Any, ...]
) -> Any:
    values, grad_y = dict(zip(known, operands[:-1], strict=True)), operands[-1]
    for name, like in zip(wrt, likes, strict=True):  # what a gradient does not depend on has its shape alone
        values.setdefault(name, np.empty(like.shape, like.dtype))
    grads = ik.conv_backward(
        grad_y, values["x"], values["weights"], _move(convolution, values), wrt=wrt, **convolution.as_keywords()
    )
    return tuple(np.asarray(getattr(grads, name), like.dtype) for name, like in zip(wrt, likes, strict=True))


def _move(convolution: Convolution, values: dict[str, Any]) -> ik.InterpolatedKernel:
    """Return the kernel, with those of positions and widths that are operands; where it was made it has warned."""
    moved = {name: values[name].astype(np.float64) for name in convolution.anchors[1:]}
    with adapting.ignore_anchor_warnings():
        return convolution.kernel.replace(**moved) if moved else convolution.kernel
