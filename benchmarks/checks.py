"""Is a result right, before it is timed: a piece of it against the reference, and a peer's against ours."""

from __future__ import annotations

from typing import Any

import numpy as np
from cases import Case

import interpolated_kernels as ik
from interpolated_kernels.testing import assert_matches_reference, reference, reference_backward

Cells = tuple[slice, ...]

_UNIT = 2.0**-24
_PIECE = 9  # outputs along every axis


def piece_of(case: Case) -> tuple[Cells, Cells, dict[str, Any]]:
    """Return a piece of the first sample's outputs, the x that it sees, and the options that give it from there."""
    problem = ik.plan(case.x_shape, case.weights_shape, case.kernel, **case.options).problem
    x_cells, y_cells, padding = [], [], []
    for size, out, reach, stride, (before, _) in zip(
        problem.spatial, problem.out_spatial, problem.extent, problem.stride, problem.padding, strict=True
    ):
        count = min(_PIECE, out)
        first = (out - count) // 2
        low = first * stride - before
        high = low + (count - 1) * stride + reach
        x_cells.append(slice(max(low, 0), min(high, size)))
        y_cells.append(slice(first, first + count))
        padding.append((max(-low, 0), max(high - size, 0)))
    all_channels = (slice(0, 1), slice(None))
    return (*all_channels, *x_cells), (*all_channels, *y_cells), {**case.options, "padding": tuple(padding)}


def check(case: Case, x: np.ndarray, weights: np.ndarray, path: str) -> np.ndarray:
    """Raise unless pieces of the result and its gradients are within their error bounds; return the result."""
    options = {**case.options, "path": path}
    y = ik.conv(x, weights, case.kernel, **options)
    x_cells, y_cells, piece_options = piece_of(case)
    _check_quantity("y", y[y_cells], case, x, x[x_cells], weights, None, piece_options)
    if case.backward:
        grad_y = np.zeros_like(y)  # only the piece has a gradient, so that the piece alone decides all gradients
        grad_y[y_cells] = np.random.default_rng(2).standard_normal(y[y_cells].shape)
        grads = ik.conv_backward(grad_y, x, weights, case.kernel, **options)
        assert grads.x is not None
        found = {"grad_x": grads.x[x_cells], "grad_weights": grads.weights}
        for quantity, actual in found.items():
            _check_quantity(quantity, actual, case, x, x[x_cells], weights, grad_y[y_cells], piece_options)
    return y


def check_piece(
    quantity: str, actual: np.ndarray, case: Case, x: np.ndarray, weights: np.ndarray, grad_y: np.ndarray
) -> None:
    """Raise unless a piece of "y", or a gradient that a piece of y's alone decides, is within its error bound."""
    x_cells, _, options = piece_of(case)
    _check_quantity(quantity, actual, case, x, x[x_cells], weights, None if quantity == "y" else grad_y, options)


def _check_quantity(
    quantity: str,
    actual: Any,
    case: Case,
    x: np.ndarray,
    piece: np.ndarray,
    weights: np.ndarray,
    grad_y: np.ndarray | None,
    options: dict[str, Any],
) -> None:
    if options.get("accuracy") != "normwise":
        assert_matches_reference(actual, piece, weights, case.kernel, quantity=quantity, grad_y=grad_y, **options)
        return
    if quantity == "y":
        expected = reference(piece, weights, case.kernel, **options)
    else:
        grads = reference_backward(grad_y, piece, weights, case.kernel, **options)
        expected = getattr(grads, quantity.removeprefix("grad_"))
    limit, worst = _normwise_bound(quantity, case, x, weights, grad_y), np.abs(actual - expected).max()
    if not worst <= limit:
        raise AssertionError(f"{case.name}: {quantity} is off by {worst:.2e}, its normwise bound is {limit:.2e}")


def _normwise_bound(quantity: str, case: Case, x: np.ndarray, weights: np.ndarray, grad_y: np.ndarray | None) -> float:
    """Return `0.5 u log2(N)` times the product of the factors' norms: whole samples over all channels, N cells.

    An anchor's gradient is a column of the interpolation matrix times the gradients of cells.
    """
    problem = ik.plan(case.x_shape, case.weights_shape, case.kernel, **case.options).problem
    unit = 0.5 * _UNIT * float(np.log2(np.prod(problem.padded)))
    dense = ik.densify(weights.astype(np.float64), case.kernel)
    if quantity == "y":
        return unit * float(np.linalg.norm(x[0]) * np.linalg.norm(dense.reshape(len(dense), -1), axis=1).max())
    if quantity == "grad_x":
        return unit * float(np.linalg.norm(grad_y) * np.linalg.norm(dense))
    return unit * float(np.linalg.norm(grad_y) * np.linalg.norm(x[0]) * np.abs(case.kernel.matrix).sum(axis=-2).max())


def check_peer(case: Case, x: np.ndarray, weights: np.ndarray, theirs: np.ndarray) -> None:
    """Raise unless a peer computed the same convolution: to 1e-4 of the largest output."""
    x_cells, y_cells, options = piece_of(case)
    check_close(
        case, "the peer's result", theirs[y_cells], reference(x[x_cells], weights, case.kernel, **options), 1e-4
    )


def check_peer_gradients(
    case: Case, x: np.ndarray, weights: np.ndarray, grad_y: np.ndarray, theirs: tuple[np.ndarray, np.ndarray]
) -> None:
    """Raise unless a peer's gradients, by x and by the dense kernel (or anchors), are ours: to 1e-3 of the largest."""
    ours = ik.conv_backward(grad_y, x, weights, case.kernel, **case.options)
    by_weights = theirs[1]
    if by_weights.shape != weights.shape:
        by_weights = ik.densify_backward(np.ascontiguousarray(by_weights), weights, case.kernel).weights
    for name, actual, expected in (("x", theirs[0], ours.x), ("weights", by_weights, ours.weights)):
        check_close(case, f"the peer's gradient by {name}", actual, expected, 1e-3)


def check_close(case: Case, what: str, actual: Any, expected: Any, share: float) -> None:
    worst = np.abs(actual - expected).max() / np.abs(expected).max()
    if not worst < share:
        raise AssertionError(f"{case.name}: {what} is off by {worst:.1e} of the largest")
