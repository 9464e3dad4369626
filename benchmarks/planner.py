"""Does the planner pick the fastest path? On random problems, the time of its choice over that of the best path.

    python benchmarks/planner.py --count 60 --seed 1 --threads 1

A line for each problem: every path's forward time, the choice marked with a star. Differences under 50 microseconds are
ties. The exit code is 1 unless the choice is within 1.3x of the best on 90 % of the problems, and within 2x on all.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from dataclasses import dataclass

import numpy as np
from problems import Trial, random_trials
from timing import seconds_of

import interpolated_kernels as ik

TIE_SECONDS = 50e-6
GOOD, GOOD_SHARE, WORST = 1.3, 0.9, 2.0
CACHED_SECONDS, UNCACHED_SECONDS = 10e-6, 2e-3
_TOO_SLOW = 2.0  # seconds that a path is predicted to take: it is not run
_REFERENCE_TOO_SLOW = 50  # times the cheapest
_SECONDS_PER_TRIAL = 1.0
_MOST_ROUNDS, _LEAST_ROUNDS = 15, 3


@dataclass(frozen=True)
class Result:
    """One problem: the path that was picked, and the seconds of every path that ran."""

    trial: Trial
    picked: str
    seconds: dict[str, float]

    @property
    def ratio(self) -> float:
        """The picked path's time over the best; 1 for a tie."""
        own, best = self.seconds[self.picked], min(self.seconds.values())
        return own / best if own - best >= TIE_SECONDS else 1.0

    def __str__(self) -> str:
        times = [f"{'*' if path == self.picked else ''}{path} {_brief(own)}" for path, own in self.seconds.items()]
        return f"{self.ratio:5.2f}  {self.trial!s:105}  {'  '.join(times)}"


def _brief(seconds: float) -> str:
    return f"{1e6 * seconds:.0f} us" if seconds < 1e-3 else f"{1e3 * seconds:.3g} ms"


def paths_to_run(trial: Trial) -> list[str]:
    """Return the paths that serve the problem, cheapest first, without those that would last too long."""
    plan = trial.plan()
    cheapest = plan.cost.seconds
    paths = []
    for candidate in plan.candidates:
        if candidate.cost is None:
            continue
        if trial.x_shape[0] * candidate.cost.seconds > _TOO_SLOW and candidate.path != plan.path:
            continue
        if candidate.path == "reference" and candidate.cost.seconds > _REFERENCE_TOO_SLOW * cheapest:
            continue
        paths.append(candidate.path)
    return paths


def measure(trial: Trial) -> Result:
    """Return the median forward time of every path, in turns; a path that is far behind runs twice only."""
    x, weights = trial.arrays()
    times: dict[str, list[float]] = {}

    def run(path: str) -> float:
        return seconds_of(lambda: ik.conv(x, weights, trial.kernel, path=path, **trial.options))

    for path in paths_to_run(trial):
        run(path)
        times[path] = [run(path)]
    picked, best = trial.plan().path, min(own[0] for own in times.values())
    close = [path for path, own in times.items() if path == picked or own[0] < 10 * best]
    start = time.perf_counter()
    for done in range(1, _MOST_ROUNDS):
        if done >= _LEAST_ROUNDS and time.perf_counter() - start > _SECONDS_PER_TRIAL:
            break
        for path in close:
            times[path].append(run(path))
    return Result(trial, picked, {path: statistics.median(own) for path, own in times.items()})


def planning_seconds(repeat: int = 200) -> tuple[float, float]:
    """Return how long `conv` takes to find the plan of a problem that it has met, and of one that it has not."""
    from interpolated_kernels.options import Options  # what a call pays before it computes
    from interpolated_kernels.planning import plan_call

    kernel = ik.InterpolatedKernel(ik.grid_positions((31, 31), 5), (31, 31), "linear")
    weights = np.zeros((4, 1, kernel.n_anchors), np.float32)

    def plan(side: int) -> float:
        shape, dtype = (1, 1, side, side), np.dtype(np.float32)
        return seconds_of(lambda: plan_call(shape, weights.shape, kernel, dtype, Options(padding="same")))

    uncached = [plan(64 + index) for index in range(repeat)][1:]  # the first one also finds the kernel's structure
    cached = [plan(64 + repeat - 1) for _ in range(repeat)]
    return statistics.median(cached), statistics.median(uncached)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    ik.set_num_threads(arguments.threads)
    results = []
    for trial in random_trials(arguments.count, arguments.seed):
        results.append(measure(trial))
        print(results[-1], flush=True)
    ratios = [result.ratio for result in results]
    share = sum(ratio <= GOOD for ratio in ratios) / len(ratios)
    good = share >= GOOD_SHARE and max(ratios) <= WORST
    cached, uncached = planning_seconds()
    verdict = "reached" if good else "NOT reached"
    print(f"\n{arguments.threads} threads, {len(ratios)} problems: {verdict}")
    print(f"within {GOOD}x of the best: {100 * share:.0f} % (asked: {100 * GOOD_SHARE:.0f} %)")
    print(f"worst: {max(ratios):.2f}x (asked: {WORST}x)")
    print(f"planning, cached: {1e6 * cached:.1f} us (asked: {1e6 * CACHED_SECONDS:.0f} us)")
    print(f"planning, new: {1e6 * uncached:.0f} us (asked: {1e6 * UNCACHED_SECONDS:.0f} us)")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
