"""The engine against itself and the machine: growth with the window (I), with threads (J), and the limit (K)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from cases import Case, growth_cases, standard_cases
from checks import check
from figures import BOTH, FORWARD, figure_of
from table import Row
from timing import Run, blas_threads, copy_run, has_blas_threads, interleaved_medians, sgemm_flops, sgemm_run

import interpolated_kernels as ik


def runs_of(case: Case, path: str, reuses_memory: bool = False) -> dict[str, Run]:
    """Return the case's runs, forward and forward + backward, checked against the reference.

    With `reuses_memory` y is written where it was before: pages that are touched first are the allocator's time.
    """
    x, weights = case.arrays()
    options = {**case.options, "path": path}
    y = check(case, x, weights, path)
    grad_y = np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
    options_of_y = {**options, "out": y} if reuses_memory else options

    def kernel() -> ik.InterpolatedKernel:
        return case.kernel.replace() if case.moves else case.kernel

    def forward() -> object:
        return ik.conv(x, weights, kernel(), **options_of_y)

    def both() -> object:
        moved = kernel()
        y = ik.conv(x, weights, moved, **options_of_y)
        return y, ik.conv_backward(grad_y, x, weights, moved, wrt=case.wrt, **options)

    both()
    return {FORWARD: forward, BOTH: both}


def path_of(case: Case, path: str) -> str:
    return ik.plan(case.x_shape, case.weights_shape, case.kernel, path=path, **case.options).path


def growth_rows(repeat: int, threads: int, path: str) -> Iterator[Row]:
    """I: the time of A with padding "same" and a window of 61, over that of a window of 31 with as many anchors."""
    small, large = growth_cases()
    runs = {case.name: runs_of(case, path) for case in (small, large)}
    for direction in (FORWARD, BOTH):
        before, after = interleaved_medians([runs[case.name][direction] for case in (small, large)], repeat)
        figure = figure_of("I", "window 31", direction)
        yield Row("I growth", path_of(large, path), "window 31", direction, after, before, after / before, figure)


def thread_rows(repeat: int, threads: int, path: str) -> Iterator[Row]:
    """J: how many times faster A is on two threads than on one, over how many times a matrix product is."""
    case = standard_cases()[0]
    if threads < 2 or not has_blas_threads():
        for direction in (FORWARD, BOTH):
            figure = figure_of("J", "sgemm", direction)
            yield Row("J threads", path_of(case, path), "sgemm", direction, None, None, None, figure)
        return
    runs, product = runs_of(case, path, reuses_memory=True), sgemm_run()
    for direction in (FORWARD, BOTH):
        turns = [_on_threads(run, n) for n in (1, 2) for run in (runs[direction], product)]
        ours_1, product_1, ours_2, product_2 = interleaved_medians(turns, repeat)
        ik.set_num_threads(threads)
        value = (ours_1 / ours_2) / (product_1 / product_2)
        figure = figure_of("J", "sgemm", direction)
        yield Row("J threads", path_of(case, path), "sgemm", direction, ours_2, product_2, value, figure)


def _on_threads(run: Run, n: int) -> Run:
    def on_threads() -> None:
        ik.set_num_threads(n)
        with blas_threads(n):
            run()

    return on_threads


def limit_rows(repeat: int, threads: int, path: str) -> Iterator[Row]:
    """K: the time of A over what the machine needs at least, for the anchors' arithmetic or for its memory."""
    case = standard_cases()[0]
    runs, product = runs_of(case, path, reuses_memory=True), sgemm_run()
    shape = ik.plan(case.x_shape, case.weights_shape, case.kernel, **case.options).problem.y_shape
    flops = 2.0 * float(np.prod(shape)) * case.weights_shape[1] * case.kernel.n_anchors
    cells = float(np.prod(case.x_shape) + np.prod(case.weights_shape))
    # Forward reads x and weights and writes y; backward reads y's gradient, too, and writes the others'.
    work = {FORWARD: (flops, 4 * (cells + np.prod(shape))), BOTH: (3 * flops, 4 * (2 * cells + 2 * np.prod(shape)))}
    for direction, (n_flops, n_bytes) in work.items():
        copy = copy_run(int(n_bytes) // 2, threads)  # a copy of half of it reads and writes all of it
        ours, product_seconds, copy_seconds = interleaved_medians([runs[direction], product, copy], repeat)
        least = max(n_flops * product_seconds / sgemm_flops(), copy_seconds)
        figure = figure_of("K", "machine", direction)
        yield Row("K limit", path_of(case, path), "machine", direction, ours, least, ours / least, figure)


# By first letter, beside the cases that have peers.
SCALING = {"I": growth_rows, "J": thread_rows, "K": limit_rows}
