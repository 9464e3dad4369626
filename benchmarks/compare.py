"""Time this engine against the peers that are installed, same arrays, same process, after checking every result.

    python benchmarks/compare.py                        the standard cases
    python benchmarks/compare.py --cases A C --repeat 9
    python benchmarks/compare.py --random 40 --seed 7   random neighbours of A and C, and their geometric mean

Run it on an idle machine. Times are medians, warm. A ratio is the peer's time over ours.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from importlib import metadata
from typing import Any

_THREADS = int(sys.argv[sys.argv.index("--threads") + 1]) if "--threads" in sys.argv else (os.cpu_count() or 1)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(_THREADS))
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import numpy as np  # noqa: E402  # after the environment that TensorFlow reads at import
from cases import Case, random_cases, standard_cases  # noqa: E402
from peers import RUNS, Run, is_installed  # noqa: E402

import interpolated_kernels as ik  # noqa: E402
from interpolated_kernels.testing import assert_matches_reference, reference  # noqa: E402


def median_seconds(run: Run, repeat: int) -> float:
    """Return the median time of `repeat` runs after one that does not count."""
    run()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def crop_of(
    case: Case, x: np.ndarray, y: np.ndarray, size: int = 9
) -> tuple[np.ndarray, tuple[slice, ...], dict[str, Any]]:
    """Return a piece of x, the outputs that it alone decides, and the options that convolve it without padding."""
    problem = ik.plan(case.x_shape, case.weights_shape, case.kernel, **case.options).problem
    x_cells, y_cells = [], []
    for out, reach, stride, (before, _) in zip(
        problem.out_spatial, problem.extent, problem.stride, problem.padding, strict=True
    ):
        first = max(-(-before // stride), (out - size) // 2)
        count = min(size, out - first)
        start = first * stride - before
        x_cells.append(slice(start, start + (count - 1) * stride + reach))
        y_cells.append(slice(first, first + count))
    piece = x[(slice(0, 1), slice(None), *x_cells)]
    options = {**case.options, "padding": "valid"}
    return piece, (slice(0, 1), slice(None), *y_cells), options


def check(case: Case, x: np.ndarray, weights: np.ndarray, y: np.ndarray) -> None:
    """Raise unless a piece of the result lies within the error bound of the reference."""
    piece, cells, options = crop_of(case, x, y)
    assert_matches_reference(y[cells], piece, weights, case.kernel, **options)


def check_peer(case: Case, x: np.ndarray, weights: np.ndarray, y: np.ndarray) -> None:
    """Raise unless a peer computed the same convolution: to 1e-4 of the largest output."""
    piece, cells, options = crop_of(case, x, y)
    expected = reference(piece, weights, case.kernel, **options)
    worst = np.abs(y[cells] - expected).max() / np.abs(expected).max()
    if not worst < 1e-4:
        raise AssertionError(f"{case.name}: the peer's result is off by {worst:.1e} of the largest output")


def time_case(case: Case, repeat: int, threads: int, path: str) -> list[dict[str, Any]]:
    """Return one row a peer: times and ratios, forward and forward + backward."""
    x, weights = case.arrays()
    options = {**case.options, "path": path}
    y = ik.conv(x, weights, case.kernel, **options)
    check(case, x, weights, y)
    grad_y = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
    chosen = ik.plan(case.x_shape, case.weights_shape, case.kernel, **options).path

    def forward_backward() -> None:
        ik.conv(x, weights, case.kernel, **options)
        ik.conv_backward(grad_y, x, weights, case.kernel, **options)

    ours = median_seconds(lambda: ik.conv(x, weights, case.kernel, **options), repeat)
    ours_both = median_seconds(forward_backward, repeat) if case.backward else None
    dense = ik.densify(weights, case.kernel)
    rows = []
    for peer in case.peers:
        row = {"case": case.name, "path": chosen, "peer": peer, "ours": ours, "ours_both": ours_both}
        if is_installed(peer):
            forward, both = RUNS[peer](case, x, dense, grad_y, threads)
            check_peer(case, x, weights, forward())
            row["theirs"] = median_seconds(forward, repeat)
            row["theirs_both"] = median_seconds(both, repeat) if both and case.backward else None
        rows.append(row)
    return rows


def sgemm_rate(repeat: int, size: int = 2048) -> float:
    """Return the machine's float32 matrix product rate, GFLOP/s."""
    a = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
    return 2e-9 * size**3 / median_seconds(lambda: a @ a, repeat)


def print_table(rows: list[dict[str, Any]]) -> None:
    print(
        f"{'case':14} {'path':10} {'peer':11} {'ours ms':>9} {'peer ms':>9} {'ratio':>7}   "
        f"{'f+b ours':>9} {'f+b peer':>9} {'ratio':>7}"
    )
    for row in rows:
        print(f"{row['case']:14} {row['path']:10} {row['peer']:11} {_cells(row, '')}   {_cells(row, '_both')}")


def _cells(row: dict[str, Any], suffix: str) -> str:
    ours, theirs = row.get("ours" + suffix), row.get("theirs" + suffix)
    shown = [f"{1e3 * value:9.2f}" if value else f"{'-':>9}" for value in (ours, theirs)]
    return " ".join([*shown, f"{theirs / ours:7.2f}" if ours and theirs else f"{'-':>7}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", help="first letters of the cases to run")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--path", default="auto")
    parser.add_argument("--random", type=int, default=0, metavar="COUNT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    ik.set_num_threads(arguments.threads)
    cases = random_cases(arguments.random, arguments.seed) if arguments.random else standard_cases()
    cases = [case for case in cases if not arguments.cases or case.name[0] in arguments.cases]
    versions = {name: metadata.version(name) for name in ("numpy", "numba") if name}
    rate = f"sgemm {sgemm_rate(arguments.repeat):.0f} GFLOP/s"
    header = f"{platform.machine()}, {arguments.threads} threads, float32, {versions}, {rate}"
    print(header, file=sys.stderr if arguments.json else sys.stdout)
    rows: list[dict[str, Any]] = []
    for case in cases:
        rows += time_case(case, arguments.repeat, arguments.threads, arguments.path)
    if arguments.json:
        print(json.dumps(rows))
        return
    print_table(rows)
    if arguments.random:
        for suffix in ("", "_both"):
            ratios = [row["theirs" + suffix] / row["ours" + suffix] for row in rows if row.get("theirs" + suffix)]
            print(f"geometric mean forward{' + backward' if suffix else ''}: {statistics.geometric_mean(ratios):.2f}")


if __name__ == "__main__":
    main()
