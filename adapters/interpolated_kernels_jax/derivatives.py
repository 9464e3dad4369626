"""The derivatives and transposes of the three operations: each is made of them again.

With anchors that stay, y is linear in x and in the weights, w. For directions u in x and v in w, and a gradient g by y

    push(x, w; u, v) = conv(u, w) + conv(x, v)        pull(x, w; g) = (to_x(w, g), to_w(x, g))

Along (x', w', u', v') the derivative of push is push(x, w; u', v') + push(u, v; x', w'), along (x', w', g') that of
pull is pull(x, w; g') + pull(x', w'; g). So the core serves any order in either mode. With anchors that move, second
derivatives take JAX's formulas of the dense kernel, for the interpolators that have them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import ad

from interpolated_kernels_jax import generic
from interpolated_kernels_jax.convolution import Convolution
from interpolated_kernels_jax.operations import conv_p, pull, pull_p, push, push_p

_OTHER = {"x": "weights", "weights": "x"}


def _conv_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, convolution: Convolution, names: tuple[str, ...]
) -> tuple[Any, Any]:
    y = conv_p.bind(*primals, convolution=convolution, names=names)
    directions = _find_nonzero(names, tangents)
    across = directions.pop("bias", None)
    shares = [push(dict(zip(names, primals, strict=True)), directions, convolution)] if directions else []
    if across is not None:
        shares.append(jnp.broadcast_to(across, y.shape))
    return y, _sum(shares)


def _push_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, known: tuple[str, ...], along: tuple[str, ...], **options: Any
) -> tuple[Any, Any]:
    out, n = push_p.bind(*primals, known=known, along=along, **options), len(known)
    values, directions = dict(zip(known, primals[:n], strict=True)), dict(zip(along, primals[n:], strict=True))
    moving, turning = _find_nonzero(known, tangents[:n]), _find_nonzero(along, tangents[n:])
    shares = [push(values, turning, **options)] if turning else []
    if moving and options["convolution"].moves:
        derivative = functools.partial(generic.push, generic.conv_dense, directions=directions, **options)
        shares.append(_derive(derivative, values, moving))
    elif moving:
        shares.append(push(directions, moving, **options))
    return out, _sum(shares)


def _pull_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, convolution: Convolution, **options: Any
) -> tuple[list[Any], list[Any]]:
    out = pull_p.bind(*primals, convolution=convolution, **options)
    known, likes = options["known"], dict(zip(options["wrt"], options["likes"], strict=True))
    values, grad_y = dict(zip(known, primals[:-1], strict=True)), primals[-1]
    moving, turning = _find_nonzero(known, tangents[:-1]), _find_nonzero("y", tangents[-1:])
    shares = [pull(values, turning["y"], likes, convolution)] if turning else []
    if moving and convolution.moves:
        gradients = functools.partial(
            generic.pull, generic.conv_dense, grad_y=grad_y, likes=likes, convolution=convolution
        )
        shares.append(_derive(gradients, values, moving))
    elif moving:
        shares.append(pull(moving, grad_y, {_OTHER[name]: likes[_OTHER[name]] for name in moving}, convolution))
    by_name = {name: [share[name] for share in shares if name in share] for name in likes}
    return out, [
        _sum(by_name[name]) if by_name[name] else jnp.zeros_like(value) for name, value in zip(likes, out, strict=True)
    ]


def _derive(function: Callable[..., Any], values: dict[str, Any], moving: dict[str, Any]) -> Any:
    """Return the derivative of a function of named values along the tangents of some."""
    primals = {name: values[name] for name in moving}
    return jax.jvp(lambda moved: function({**values, **moved}), (primals,), (moving,))[1]


def _conv_transpose(grad_y: Any, *operands: Any, convolution: Convolution, names: tuple[str, ...]) -> list[Any]:
    values, wanted = _find_linear(names, operands)
    grads = {}
    if "bias" in wanted:
        grads["bias"] = _sum_to(grad_y, wanted.pop("bias").shape)
    if wanted:
        grads |= pull(values, grad_y, wanted, convolution)
    return [grads.get(name) for name in names]


def _push_transpose(
    grad_y: Any, *operands: Any, convolution: Convolution, known: tuple[str, ...], along: tuple[str, ...]
) -> list[Any]:
    values, wanted = _find_linear((*known, *along), operands, len(known))
    grads = pull(values, grad_y, wanted, convolution)
    return [*(None for _ in known), *(grads[name] for name in along)]


def _pull_transpose(grads: Sequence[Any], *operands: Any, convolution: Convolution, **options: Any) -> list[Any]:
    names = (*options["known"], "y")
    values, wanted = _find_linear(names, operands)
    directions = _find_nonzero(options["wrt"], grads)
    if "y" in wanted:
        found = {"y": push(values, directions, convolution)}
    else:
        by = {name: aval for name, aval in wanted.items() if _OTHER[name] in directions}
        found = pull(directions, values["y"], by, convolution)
    return [found.get(name, ad.Zero(wanted[name]) if name in wanted else None) for name in names]


def _find_nonzero(names: Sequence[str], tangents: Sequence[Any]) -> dict[str, Any]:
    return {name: value for name, value in zip(names, tangents, strict=True) if type(value) is not ad.Zero}


def _find_linear(
    names: Sequence[str], operands: Sequence[Any], n_known: int | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an operation's operands that have values, and the types of those that it is to be transposed by.

    Of one name there may be both: the first `n_known` have values.
    """
    n = len(names) if n_known is None else n_known
    values = {
        name: value for name, value in zip(names[:n], operands, strict=False) if not ad.is_undefined_primal(value)
    }
    wanted = {name: value.aval for name, value in zip(names, operands, strict=True) if ad.is_undefined_primal(value)}
    return values, wanted


def _sum(shares: list[Any]) -> Any:
    return functools.reduce(jnp.add, shares)


def _sum_to(value: Any, shape: tuple[int, ...]) -> Any:
    """Return the transpose of adding an array of some shape across `value`."""
    lead = value.ndim - len(shape)
    ones = [lead + axis for axis, size in enumerate(shape) if size == 1]
    return value.sum([*range(lead), *ones]).reshape(shape)


for primitive, jvp, transpose in (
    (conv_p, _conv_jvp, _conv_transpose),
    (push_p, _push_jvp, _push_transpose),
    (pull_p, _pull_jvp, _pull_transpose),
):
    ad.primitive_jvps[primitive] = jvp
    ad.primitive_transposes[primitive] = transpose
