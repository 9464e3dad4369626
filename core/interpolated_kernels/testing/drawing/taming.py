"""A supported problem near to one that is not: a backend may support little of all that is drawn.

One in some thousand problems would suit a backend of, say, two dimensions without strides, groups and padding. So a
problem that is refused is tamed: each kind of feature that is easily changed goes to its plainest value, and, where
that is supported, comes back as it was drawn wherever it can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from interpolated_kernels.testing.drawing.problem import BackendProblem

Step: TypeAlias = Callable[[BackendProblem], BackendProblem]


def find_supported(problem: BackendProblem, supports: Callable[[BackendProblem], bool]) -> BackendProblem | None:
    """Return the problem if it is supported, else the nearest tamed one that is, or None."""
    if supports(problem):
        return problem
    for padding in _PADDINGS:
        steps = [padding, *_STEPS]
        if _is_supported(problem, steps, supports):
            for step in (padding, *_STEPS):
                fewer = [other for other in steps if other is not step]
                steps = fewer if _is_supported(problem, fewer, supports) else steps
            return _apply(problem, steps)
    return None


def _is_supported(problem: BackendProblem, steps: Sequence[Step], supports: Callable[[BackendProblem], bool]) -> bool:
    try:
        return supports(_apply(problem, steps))
    except ValueError:  # these do not fit together
        return False


def _apply(problem: BackendProblem, steps: Sequence[Step]) -> BackendProblem:
    for step in steps:
        problem = step(problem)
    return problem


def _default_data(problem: BackendProblem) -> BackendProblem:
    return replace(problem, data="normal", conv_options={**problem.conv_options, "missing": "propagate"})


def _share_positions(problem: BackendProblem) -> BackendProblem:
    kernel = problem.kernel
    first = (0,) * (kernel.positions.ndim - 2)
    widths = None if kernel.widths is None else kernel.widths[first]
    return (
        replace(problem, kernel=kernel.replace(positions=kernel.positions[first], widths=widths)) if first else problem
    )


def _merge_groups(problem: BackendProblem) -> BackendProblem:
    """Return the problem with the channels of one group alone."""
    d, groups = problem.kernel.n_dims, problem.conv_options["groups"]
    if groups == 1:
        return problem
    x_shape = list(problem.x_shape)
    x_shape[-d - 1] //= groups
    return replace(problem, x_shape=tuple(x_shape), conv_options={**problem.conv_options, "groups": 1})


def _batch(problem: BackendProblem) -> BackendProblem:
    """Return the problem with a batch of two, where it has none or an empty one."""
    d = problem.kernel.n_dims
    lead = problem.x_shape[: -d - 1]
    return (
        problem
        if problem.is_plain or 0 not in (lead or (0,))
        else replace(problem, x_shape=(2, *problem.x_shape[-d - 1 :]))
    )


def _unpad(problem: BackendProblem) -> BackendProblem:
    """Return the problem without padding, its x as large as the padded one was."""
    d = problem.kernel.n_dims
    x_shape = (*problem.x_shape[:-d], *problem.described.padded)
    return replace(problem, x_shape=x_shape, conv_options={**problem.conv_options, "padding": "valid"})


def _pad_same(problem: BackendProblem) -> BackendProblem:
    return replace(problem, conv_options={**problem.conv_options, "padding": "same"})


def _pad_with_zeros(problem: BackendProblem) -> BackendProblem:
    return replace(problem, conv_options={**problem.conv_options, "padding_mode": "zeros"})


def _reset_stride(problem: BackendProblem) -> BackendProblem:
    return replace(problem, conv_options={**problem.conv_options, "stride": (1,) * problem.kernel.n_dims})


def _reset_dilation(problem: BackendProblem) -> BackendProblem:
    return replace(problem, conv_options={**problem.conv_options, "dilation": (1,) * problem.kernel.n_dims})


_PADDINGS: tuple[Step, ...] = (_unpad, _pad_same)
"""The two that most backends have, one of them."""

_STEPS: tuple[Step, ...] = (
    _default_data,
    _share_positions,
    _merge_groups,
    _batch,
    _pad_with_zeros,
    _reset_stride,
    _reset_dilation,
)
