"""`calibrate`: the cost model's constants, measured on this machine in about two seconds."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from interpolated_kernels.anchors import grid_positions
from interpolated_kernels.filling import find_filling
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.lazy import cuda_loops, loops
from interpolated_kernels.machine import DEFAULTS, Machine, keep_machine, processor
from interpolated_kernels.memory import Memory, find_memory
from interpolated_kernels.paths.common import count_kernels
from interpolated_kernels.plan import Plan
from interpolated_kernels.planning import as_device, plan, predict_cost

_SECONDS_A_PROBE = 0.2
_WIDEST_CHANGE = 30.0


@dataclass(frozen=True)
class _Probe:
    """A convolution whose time one constant decides."""

    constant: str
    path: str
    x_shape: tuple[int, ...]
    weights: tuple[int, int]
    window: tuple[int, ...]
    spacing: int
    groups: int = 1

    def plan(self, device: str) -> Plan:
        """Return the plan of this path."""
        kernel = InterpolatedKernel(grid_positions(self.window, self.spacing), self.window, "linear")
        shape = (*self.weights, kernel.n_anchors)
        return plan(self.x_shape, shape, kernel, path=self.path, accuracy="normwise", groups=self.groups, device=device)


PROBES = {
    "cpu": (
        _Probe("call_seconds", "lattice", (1, 1, 12, 12), (1, 1), (3, 3), 2),
        _Probe("multiply_adds_per_second", "direct", (1, 1, 160, 160), (16, 1), (21, 21), 4),
        _Probe("task_seconds", "lattice", (1, 64, 20, 20), (64, 1), (5, 5), 2, 64),
        _Probe("fft_flops_per_second", "fourier", (1, 4, 256, 256), (4, 4), (31, 31), 5),
        _Probe("numpy_multiply_adds_per_second", "reference", (1, 1, 200, 200), (2, 1), (7, 7), 3),
    ),
    "cuda": (
        _Probe("call_seconds", "lattice", (1, 1, 12, 12), (1, 1), (3, 3), 2),
        _Probe("multiply_adds_per_second", "direct", (1, 1, 2048, 2048), (16, 1), (21, 21), 4),
    ),
}
"""By kind of device, in this order: a later probe's other parts are known by the earlier ones."""

BYTES_WRITTEN = {"cpu": 32 * 2**20, "cuda": 512 * 2**20}
"""So many that caches do not matter."""

FILTERS_MADE = 64
"""So many dense kernels are made at once."""


def calibrate(device: str = "cpu") -> Machine:
    """Measure the cost model's constants on this machine, use them, and keep them in the user's cache folder.

    It takes about two seconds once loops are compiled (see `warmup`), on one thread, and wants an otherwise idle
    machine. Plans that are made afterwards use the new constants, in this process and in later ones on this processor;
    `print(plan)` says which were used. They are kept as `machine.json`, in `INTERPOLATED_KERNELS_CACHE_DIR` if that is
    set; delete the file to return to the defaults. A GPU has constants and a file of its own, `machine-cuda.json`.

    Parameters
    ----------
    device : str
        "cpu"; or "cuda" for the current GPU, or "cuda:1" for the one of that number.

    Returns
    -------
    Machine
        The constants.

    Raises
    ------
    OSError
        If the folder cannot be written.
    ImportError, RuntimeError
        Where a GPU is asked for that cannot be used.
    """
    device = as_device(device)
    if device != "cpu":
        return _calibrate_gpu(device)
    n_threads = loops.get_num_threads()
    loops.set_num_threads(1)
    try:
        machine = replace(_measure("cpu"), name=f"calibrated {date.today().isoformat()} on {processor()}")
    finally:
        loops.set_num_threads(n_threads)
    keep_machine(machine)
    return machine


def _calibrate_gpu(device: str) -> Machine:
    memory = find_memory(device)
    with memory.use(device):
        name = f"calibrated {date.today().isoformat()} on {cuda_loops.device_name()}"
        machine = replace(_measure(device), name=name)
    keep_machine(machine, "cuda")
    return machine


def _measure(device: str) -> Machine:
    memory, kind = find_memory(device), device.partition(":")[0]
    machine = replace(DEFAULTS[kind], bytes_per_second=_bytes_per_second(memory))
    machine = replace(machine, mixed_per_second=_mixed_per_second(machine, device))
    for probe in PROBES[kind]:
        held = probe.plan(device)
        generator = np.random.default_rng(0)
        x, weights = (
            memory.bring(generator.standard_normal(shape, np.float32))
            for shape in (held.problem.x_shape, held.problem.weights_shape)
        )
        seconds = _best_seconds(functools.partial(held.convolve, x, weights), memory)
        machine = _solve(machine, probe.constant, functools.partial(_predict, held), seconds)
    return machine


def _predict(held: Plan, machine: Machine) -> float:
    return predict_cost(held.path, held.problem, machine).seconds


def _solve(machine: Machine, constant: str, predict: Callable[[Machine], float], seconds: float) -> Machine:
    """Return the machine with the constant at which the prediction is what was measured.

    A prediction is `a + b * constant`, or `a + b / constant` for a rate. What other parts take may exceed what was
    measured by noise: a constant changes by a factor of thirty at most.
    """
    present = getattr(machine, constant)
    is_rate = constant.endswith("_per_second")
    whole = predict(machine)
    own = 2 * (whole - predict(replace(machine, **{constant: present * 2 if is_rate else present / 2})))
    change = (seconds - (whole - own)) / own
    change = min(max(change, 1 / _WIDEST_CHANGE), _WIDEST_CHANGE)
    return replace(machine, **{constant: present / change if is_rate else present * change})


def _bytes_per_second(memory: Memory) -> float:
    """Return the bytes a second, counted twice, at which memory is written: new memory, which the host clears first."""
    n = BYTES_WRITTEN[memory.kind] // 4
    return 8 * n / _best_seconds(lambda: memory.fill(n), memory)


def _mixed_per_second(machine: Machine, device: str) -> float:
    """Return the multiply-adds of densifying a second."""
    memory = find_memory(device)
    kernel = InterpolatedKernel(grid_positions((31, 31), 5), (31, 31), "linear")
    problem = plan((1, 1, 64, 64), (FILTERS_MADE, 1, 49), kernel, path="direct", device=device).problem
    bank, making = memory.bring(np.ones(problem.weights_shape)), memory.find_filling(kernel, "auto")
    filling, count = find_filling(kernel), count_kernels(problem)
    seconds = _best_seconds(lambda: making.apply(bank, np.float64), memory)
    return _solve(
        machine, "mixed_per_second", lambda candidate: filling.seconds(count, problem.dtype, candidate), seconds
    ).mixed_per_second


def _best_seconds(run: Callable[[], Any], memory: Memory) -> float:
    """Return the seconds of the fastest of several runs: what disturbs a run makes it slower alone."""
    run()
    memory.wait()
    best, end = np.inf, time.perf_counter() + _SECONDS_A_PROBE
    while best == np.inf or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        memory.wait()
        best = min(best, time.perf_counter() - start)
    return float(best)
