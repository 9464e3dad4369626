"""What the three operations become on a device: calls of the core on the CPU, JAX's own operations elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import mlir

from interpolated_kernels import adapting
from interpolated_kernels_jax import generic, native_engine, numba_engine
from interpolated_kernels_jax.convolution import Convolution
from interpolated_kernels_jax.operations import conv_p, pull_p, push_p


def _conv_natively(*operands: Any, convolution: Convolution, names: tuple[str, ...]) -> Any:
    values = dict(zip(names, operands, strict=True))
    y = native_engine.conv(values["x"], {name: values[name] for name in convolution.anchors}, convolution)
    return y + values["bias"] if "bias" in values else y


def _push_by(
    conv: generic.Conv, *operands: Any, convolution: Convolution, known: tuple[str, ...], along: tuple[str, ...]
) -> Any:
    n = len(known)
    values, directions = dict(zip(known, operands[:n], strict=True)), dict(zip(along, operands[n:], strict=True))
    return generic.push(conv, values, directions, convolution)


def _pull_natively(*operands: Any, convolution: Convolution, **options: Any) -> Any:
    values = dict(zip(options["known"], operands[:-1], strict=True))
    likes = dict(zip(options["wrt"], options["likes"], strict=True))
    return list(generic.pull(native_engine.conv, values, operands[-1], likes, convolution).values())


def _push(*operands: Any, convolution: Convolution, known: tuple[str, ...], along: tuple[str, ...]) -> Any:
    """Return `push` by the core, which has no derivative of the dense kernel along anchors that move."""
    by_core = not convolution.moves or along == ("x",)
    function = numba_engine.push if by_core else functools.partial(_push_by, generic.conv_dense)
    return function(*operands, convolution=convolution, known=known, along=along)


def _find_obstacle(ctx: Any) -> str | None:
    """Return why a program cannot call the core; None where it can: it runs in this process, each device by itself."""
    module = ctx.module_context
    if module.lowering_parameters.for_export:
        return "it is exported, to run where this process is not"
    axes = module.axis_context
    if isinstance(axes, mlir.SPMDAxisContext):
        divides = axes.manual_axes != frozenset(axes.mesh.axis_names)
    else:
        divides = isinstance(axes, mlir.ShardingContext) and axes.num_devices > 1
    return "JAX divides it among several devices: `jax.shard_map` over all axes of the mesh can" if divides else None


def _lower_natively(
    primitive: Primitive, function: Callable[..., Any], ctx: Any, *operands: Any, **options: Any
) -> Any:
    """Lower to JAX's own operations, or raise where the core was asked for by name."""
    convolution = options["convolution"]
    if convolution.engine == "numba":
        why_not = _find_obstacle(ctx) or f"its loops run on the CPU, not on {', '.join(ctx.module_context.platforms)}"
        raise ValueError(f"`engine`='numba' cannot serve this call: {why_not}. Use engine='native' or 'auto'.")
    adapting.check_engine("native", convolution.path)
    native_engine.check_anchors(convolution)
    run = functools.partial(function, **options)
    return mlir.lower_fun(run, multiple_results=primitive.multiple_results)(ctx, *operands)


def _lower_on_cpu(
    primitive: Primitive, by_core: Callable[..., Any], natively: Callable[..., Any], ctx: Any, *operands: Any,
    **options: Any,
) -> Any:  # fmt: skip
    """Lower to calls of the core where they can serve."""
    if _find_obstacle(ctx) is not None:
        return _lower_natively(primitive, natively, ctx, *operands, **options)
    run = functools.partial(by_core, **options)
    return mlir.lower_fun(run, multiple_results=primitive.multiple_results)(ctx, *operands)


@functools.lru_cache(maxsize=512)
def _compile(primitive: Primitive, options: tuple[tuple[str, Any], ...]) -> Callable[..., Any]:
    return jax.jit(functools.partial(primitive.bind, **dict(options)))


def _run(primitive: Primitive, *operands: Any, **options: Any) -> Any:
    """Run an operation outside of `jax.jit` as a program of its own."""
    with jax.disable_jit(False):
        return _compile(primitive, tuple(sorted(options.items())))(*operands)


for operation, core_function, native_function in (
    (conv_p, numba_engine.conv, _conv_natively),
    (push_p, _push, functools.partial(_push_by, native_engine.conv)),
    (pull_p, numba_engine.pull, _pull_natively),
):
    mlir.register_lowering(operation, functools.partial(_lower_natively, operation, native_function))
    on_cpu = functools.partial(_lower_on_cpu, operation, core_function, native_function)
    mlir.register_lowering(operation, on_cpu, platform="cpu")
    operation.def_impl(functools.partial(_run, operation))
