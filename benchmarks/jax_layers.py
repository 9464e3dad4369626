"""The pair of L that is JAX's: what `interpolated_conv` is held against is a convolution of the dense kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from cases import linear_grid
from timing import Run

import interpolated_kernels as ik


def make_jax_depthwise(path: str) -> Iterator[tuple[str, str, Run, Run]]:
    """8x64x56x56, window 31, 49 anchors, under `jit`: value and gradients by x and weights, or by the dense kernel."""
    import jax
    import jax.numpy as jnp

    from interpolated_kernels_jax import interpolated_conv

    kernel, rng = linear_grid((31, 31), 5), np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((8, 64, 56, 56)), "float32")
    weights = jnp.asarray(rng.standard_normal((64, 1, 49)), "float32")
    dense = jnp.asarray(ik.densify(np.asarray(weights), kernel))

    def make(conv: Callable[[Any, Any], Any], parameters: Any) -> Run:
        step = jax.jit(jax.value_and_grad(lambda x, parameters: (conv(x, parameters) ** 2).mean(), (0, 1)))
        run = lambda: jax.block_until_ready(step(x, parameters))  # noqa: E731 # one line says it
        run()
        return run

    def make_ours(**options: Any) -> Run:
        return make(lambda x, w: interpolated_conv(x, w, kernel, groups=64, padding="same", **options), weights)

    plain = make(lambda x, k: jax.lax.conv_general_dilated(x, k, (1, 1), "SAME", feature_group_count=64), dense)
    yield "L JAX depthwise", "lax.conv", make_ours(path=path), plain
    yield "L JAX depthwise, native", "lax.conv", make_ours(engine="native"), plain
