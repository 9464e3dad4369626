"""The engine against itself and the machine: growth with the window (I), with threads (J), and the limit (K)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from cases import Case, growth_cases, standard_cases
from checks import check
from figures import BOTH, FORWARD, GRADIENTS, figure_of
from table import Row
from timing import Run, blas_threads, copy_run, has_blas_threads, interleaved_medians, sgemm_flops, sgemm_run

import interpolated_kernels as ik


def runs_of(case: Case, path: str, reuses_memory: bool = False) -> dict[str, Run]:
    """Return the case's runs, forward, both gradients, and all of it, checked against the reference.

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

    def gradients() -> object:
        return ik.conv_backward(grad_y, x, weights, kernel(), wrt=case.wrt, **options)

    def both() -> object:
        moved = kernel()
        y = ik.conv(x, weights, moved, **options_of_y)
        return y, ik.conv_backward(grad_y, x, weights, moved, wrt=case.wrt, **options)

    both()
    return {FORWARD: forward, GRADIENTS: gradients, BOTH: both}


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
        turns = [turn for n in (1, 2) for turn in (_on_threads(runs[direction], n), _on_blas_threads(product, n))]
        ours_1, product_1, ours_2, product_2 = interleaved_medians(turns, repeat)
        ik.set_num_threads(threads)
        value = (ours_1 / ours_2) / (product_1 / product_2)
        figure = figure_of("J", "sgemm", direction)
        yield Row("J threads", path_of(case, path), "sgemm", direction, ours_2, product_2, value, figure)


def _on_threads(run: Run, n: int) -> Run:
    def on_threads() -> None:
        ik.set_num_threads(n)
        run()

    return on_threads


def _on_blas_threads(run: Run, n: int) -> Run:
    """Return a run whose matrix products have n threads; for others these, which spin at first, would be a load."""

    def on_threads() -> None:
        with blas_threads(n):
            run()

    return on_threads


def limit_rows(repeat: int, threads: int, path: str) -> Iterator[Row]:
    """K: the time of a case over what the machine needs at least, for its arithmetic or for its memory.

    Forward against one limit, with its result where it was before; both gradients against two.
    """
    product = sgemm_run()
    for case in standard_cases():
        name = f"K {case.name}"
        if figure_of(name, "machine", FORWARD) is None:
            continue
        runs = runs_of(case, path, reuses_memory=True)
        n_flops, n_bytes = _count_work(case, path)
        copy = copy_run(int(n_bytes) // 2, threads)  # a copy of half of it reads and writes all of it
        turns = [runs[FORWARD], runs[GRADIENTS], product, copy]
        forward, gradients, product_seconds, copy_seconds = interleaved_medians(turns, repeat)
        least = max(n_flops * product_seconds / sgemm_flops(), copy_seconds)
        for direction, ours, limit in ((FORWARD, forward, least), (GRADIENTS, gradients, 2 * least)):
            figure = figure_of(name, "machine", direction)
            yield Row(name, path_of(case, path), "machine", direction, ours, limit, ours / limit, figure)


def _count_work(case: Case, path: str) -> tuple[float, float]:
    """Return the flops that y takes and the bytes of x and y.

    A path that takes weights meets each anchor once an output, the others each cell of the window.
    """
    plan = ik.plan(case.x_shape, case.weights_shape, case.kernel, path=path, **case.options)
    taps = case.kernel.n_anchors if plan.path == "lattice" else float(np.prod(case.kernel.window))
    outputs = float(np.prod(plan.problem.y_shape))
    return 2.0 * outputs * case.weights_shape[1] * taps, 4 * (float(np.prod(case.x_shape)) + outputs)


# By first letter, beside the cases that have peers.
SCALING = {"I": growth_rows, "J": thread_rows, "K": limit_rows}
