"""Time this engine against the peers that are installed, same arrays, same process, after checking every result.

    python benchmarks/compare.py                        the whole table
    python benchmarks/compare.py --cases A C K --repeat 9
    python benchmarks/compare.py --random 40 --seed 7   random neighbours of A and C, and their geometric means

Run it on an idle machine. Times are medians, warm, ours and the peer's in turns; "both" is forward and backward, with
the gradients by x and weights. A peer's value is its time over ours; I is the time of window 61 over that of 31, J our
gain by a second thread over that of a matrix product, K our time over what the machine needs at least, "gradients"
being both of them against twice that. L is a training
step of a PyTorch or Keras layer as it comes; against "eager" and "core" it is our time over theirs. The figures are
asked against torch as it is written, `conv2d(padding=...)`, but for C's neighbours: there `pad` comes before it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata

_THREADS = int(sys.argv[sys.argv.index("--threads") + 1]) if "--threads" in sys.argv else (os.cpu_count() or 1)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(_THREADS))
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import numpy as np  # noqa: E402  # after the environment that TensorFlow reads at import
from cases import Case, random_cases, standard_cases  # noqa: E402
from checks import check_peer, check_peer_gradients  # noqa: E402
from figures import BOTH, FORWARD, NEIGHBOURS, figure_of  # noqa: E402
from layers import LAYERS  # noqa: E402
from peers import RUNS, is_installed  # noqa: E402
from scaling import SCALING, path_of, runs_of  # noqa: E402
from table import Row, print_summary, print_table  # noqa: E402
from timing import interleaved_medians, sgemm_flops, sgemm_run  # noqa: E402

import interpolated_kernels as ik  # noqa: E402

_PACKAGES = ("numpy", "scipy", "numba", "torch", "tensorflow", "tensorflow-cpu", "keras", "opencv-python-headless")


def case_rows(case: Case, repeat: int, threads: int, path: str) -> Iterator[Row]:
    """Yield the rows of a case: each peer, forward, and forward + backward where both have it."""
    x, weights = case.arrays()
    ours = runs_of(case, path)
    grad_y = np.random.default_rng(1).standard_normal(ours[FORWARD]().shape).astype(np.float32)
    dense = ik.densify(weights, case.kernel)
    chosen = path_of(case, path)
    for peer in case.peers:
        if not is_installed(peer):
            for direction in (FORWARD, BOTH):
                if figure := figure_of(case.name, peer, direction):
                    yield Row(case.name, chosen, f"{peer} (not installed)", direction, None, None, None, figure)
            continue
        forward, both = RUNS[peer](case, x, dense, grad_y, threads)
        check_peer(case, x, weights, forward())
        theirs = {FORWARD: forward}
        if both and case.backward:
            check_peer_gradients(case, x, weights, grad_y, both())
            theirs[BOTH] = both
        for direction, run in theirs.items():
            own, other = interleaved_medians([ours[direction], run], repeat)
            yield Row(
                case.name, chosen, peer, direction, own, other, other / own, figure_of(case.name, peer, direction)
            )


def mean_rows(rows: list[Row]) -> Iterator[Row]:
    """Yield the geometric means of the neighbours of A and of C, with what they must reach."""
    for wanted, figure in NEIGHBOURS.items():
        letter, peer, direction = wanted
        values = [row.value for row in rows if (row.case[0], row.against, row.direction) == wanted and row.value]
        if values:
            name = f"{letter}: geometric mean of {len(values)}"
            yield Row(name, "", peer, direction, None, None, statistics.geometric_mean(values), figure)


def header(threads: int, repeat: int) -> str:
    product = sgemm_run()
    rate = sgemm_flops() / interleaved_medians([product], repeat)[0] / 1e9
    installed = []
    for name in _PACKAGES:
        try:
            installed.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    cpu = platform.processor() or platform.machine()
    width = f"vectors of {ik.info()['vector_bytes']} bytes"
    return f"{cpu}, {width}, {threads} threads, float32, sgemm {rate:.0f} GFLOP/s; {', '.join(installed)}"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", help="first letters of the cases to run, A to L")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--path", default="auto")
    parser.add_argument("--random", type=int, default=0, metavar="COUNT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> Iterator[Row]:
    cases = random_cases(arguments.random, arguments.seed) if arguments.random else standard_cases()
    options = (arguments.repeat, arguments.threads, arguments.path)
    for case in cases:
        if not arguments.cases or case.name[0] in arguments.cases:
            yield from case_rows(case, *options)
    for letter, rows in ({} if arguments.random else SCALING | LAYERS).items():
        if not arguments.cases or letter in arguments.cases:
            yield from rows(*options)


def main() -> None:
    arguments = parse()
    ik.set_num_threads(arguments.threads)
    print(header(arguments.threads, arguments.repeat), file=sys.stderr if arguments.json else sys.stdout, flush=True)
    rows = []
    for row in measure(arguments):
        rows.append(row)
        print(f"  {row.case}, {row.against}, {row.direction}: {row.value and round(row.value, 2)}", file=sys.stderr)
    means = list(mean_rows(rows)) if arguments.random else []
    if arguments.json:
        print(json.dumps([row.document() for row in (*rows, *means)]))
        return
    # A neighbour alone has no figure: the mean has.
    print_table([replace(row, figure=None) for row in rows] if arguments.random else rows)
    if means:
        print()
        print_table(means)
    print_summary(means or rows)


if __name__ == "__main__":
    main()
