"""`interpolated-kernels explain`: the plan of a convolution from shapes alone."""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import asdict
from typing import Any

from interpolated_kernels.anchors import grid_positions
from interpolated_kernels.cli.common import CommandError, integer, memory, numbers, print_json, shape
from interpolated_kernels.interpolation import interpolators
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.options import ACCURACIES, PADDING_MODES
from interpolated_kernels.plan import Plan
from interpolated_kernels.planning import plan

SUMMARY = "print the plan of a convolution: every path's predicted time and memory, the choice and its reason"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("x", type=shape, help="shape of x, (batch, channels, *spatial), as 1x1x1024x1024")
    parser.add_argument("--window", type=shape, required=True, help="the dense kernel's shape: 31, or 31x31")
    anchors = parser.add_mutually_exclusive_group(required=True)
    anchors.add_argument("--spacing", type=numbers, help="a grid of anchors, this many cells apart: 5, or 5x2.5")
    anchors.add_argument("--counts", type=shape, help="a grid of so many anchors an axis, edge to edge: 7, or 7x5")
    parser.add_argument(
        "--interpolator", default="polyharmonic", choices=sorted(interpolators()), help="default %(default)s"
    )
    parser.add_argument("--filters", type=integer(1), default=1, help="output channels, default %(default)s")
    parser.add_argument("--groups", type=integer(1), default=1, help="default %(default)s")
    parser.add_argument("--stride", type=shape, default=(1,), help="default 1")
    parser.add_argument("--dilation", type=shape, default=(1,), help="default 1")
    parser.add_argument(
        "--padding", default="valid", help="valid, same, causal, or cells as 15 or 15x15; default %(default)s"
    )
    parser.add_argument(
        "--padding-mode", nargs="+", default=["zeros"], choices=PADDING_MODES, help="one, or one an axis; default zeros"
    )
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"), help="default %(default)s")
    parser.add_argument("--accuracy", default="componentwise", choices=ACCURACIES, help="default %(default)s")
    parser.add_argument(
        "--max-memory", type=memory, metavar="BYTES", help="the most memory beside inputs and outputs: 2GB, 512M"
    )
    parser.add_argument("--path", default="auto", help="force a path by its name; default %(default)s")
    parser.add_argument("--json", action="store_true", help="print a JSON document")


def run(arguments: argparse.Namespace) -> None:
    """Print the plan, as text or as JSON.

    Raises
    ------
    CommandError
        If the shapes and options do not fit.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            chosen = _plan(arguments)
        except (TypeError, ValueError) as error:
            raise CommandError(str(error)) from None
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)
    if arguments.json:
        print_json(_document(chosen))
    else:
        print(chosen)


def _plan(arguments: argparse.Namespace) -> Plan:
    x_shape = arguments.x
    n_axes = len(x_shape) - 2
    if not 1 <= n_axes <= 3:
        raise ValueError(f"x must have the shape (batch, channels, *spatial) with 1 to 3 spatial axes, got {x_shape}")
    window = _one_an_axis("--window", arguments.window, n_axes)
    spacing, counts = (None if value is None else _one_an_axis(name, value, n_axes) for name, value in (
        ("--spacing", arguments.spacing), ("--counts", arguments.counts)))  # fmt: skip
    kernel = InterpolatedKernel(grid_positions(window, spacing, counts=counts), window, arguments.interpolator)
    return plan(
        x_shape,
        (arguments.filters, x_shape[1] // arguments.groups, kernel.n_anchors),
        kernel,
        dtype=arguments.dtype,
        path=arguments.path,
        stride=_one_an_axis("--stride", arguments.stride, n_axes),
        dilation=_one_an_axis("--dilation", arguments.dilation, n_axes),
        padding=_padding(arguments.padding, n_axes),
        padding_mode=_one_an_axis("--padding-mode", tuple(arguments.padding_mode), n_axes),
        groups=arguments.groups,
        accuracy=arguments.accuracy,
        max_memory=arguments.max_memory,
    )


def _one_an_axis(name: str, values: tuple[Any, ...], n_axes: int) -> tuple[Any, ...]:
    if len(values) not in (1, n_axes):
        raise ValueError(f"{name} must have 1 or {n_axes} entries to match x, got {len(values)}")
    return values * n_axes if len(values) == 1 else values


def _padding(text: str, n_axes: int) -> str | tuple[int, ...]:
    """Return the option as `conv` takes it: cells where they are digits, else the word."""
    return _one_an_axis("--padding", shape(text), n_axes) if text[:1].isdigit() else text


def _document(chosen: Plan) -> dict[str, Any]:
    problem = chosen.problem
    return {
        "x_shape": problem.x_shape,
        "y_shape": problem.y_shape,
        "weights_shape": problem.weights_shape,
        "kernel": repr(problem.kernel),
        "path": chosen.path,
        "candidates": [
            {
                "path": row.path,
                "one_thread_one_sample": None if row.cost is None else asdict(row.cost),
                "why_not": row.why_not,
            }
            for row in chosen.candidates
        ],
    }
