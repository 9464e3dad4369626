"""Time this engine on a GPU against cuDNN and against PyTorch's own lattice, after checking every result.

    python benchmarks/compare_gpu.py                    the whole table
    python benchmarks/compare_gpu.py --cases A --repeat 9

It needs PyTorch with CUDA, the extra `cuda` and a GPU; without them it says so and exits with 2. All runs go through
PyTorch's adapter, float32, on one stream. Times are medians of runs in turns, warm, between two events of the device;
short runs follow each other until the events are 20 ms apart. "gradients" are those by x and weights, of a y that is
there. A peer's value is its time over ours: "cuDNN" is torch's convolution with TF32 off, its fastest algorithm chosen
by `cudnn.benchmark`; "native" is the adapter's engine of torch's own operators. Against "copy" the value is the time
that a copy of as many bytes as the case must read and write takes, over ours; the copy is from device to device.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import math
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from cases import Case, gpu_cases
from checks import check_close, check_piece, piece_of
from figures import FORWARD, GRADIENTS, figure_of
from table import Row, print_summary, print_table
from timing import Run

import interpolated_kernels as ik
from interpolated_kernels import adapting

_SECONDS = 0.02  # between two events, at least
_COPIED = 2**30  # bytes
_PEERS = {"cuDNN": (False, 1e-4), "cuDNN, TF32": (True, 1e-2), "native": (False, 1e-4)}
"""Whether TF32 is on, and how far the peer's result may be off, as a share of the largest."""

Clock = Callable[[Run], float]


@dataclass(frozen=True)
class Device:
    """What a case is measured on: torch's name of it, its clock, and the bytes a second that a copy moves."""

    name: str
    clock: Clock
    bandwidth: float


def find_obstacle() -> str | None:
    """Return what is missing, or None."""
    if importlib.util.find_spec("torch") is None:
        return "PyTorch with CUDA"
    import torch

    if not torch.cuda.is_available():
        return "a GPU that PyTorch can use"
    reason = adapting.why_not_cuda()
    return None if reason is None else f"numba-cuda and a GPU: {reason}"


def time_by_events(run: Run) -> float:
    """Return the seconds of one run, between two events of the device, from as many as fill 20 ms."""
    import torch

    def measure(count: int) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(count):
            run()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3

    seconds = measure(1)
    if seconds >= _SECONDS:
        return seconds
    count = math.ceil(_SECONDS / max(seconds, 1e-6))
    return measure(count) / count


def medians(runs: Sequence[Run], repeat: int, clock: Clock) -> list[float]:
    """Return the median time of each run, in turns; each has run twice before."""
    for run in runs:
        run()
        run()
    times = [[clock(run) for run in runs] for _ in range(repeat)]
    return [statistics.median(own) for own in zip(*times, strict=True)]


def measure_bandwidth(name: str, clock: Clock, repeat: int, n_bytes: int = _COPIED) -> float:
    """Return the bytes that a copy within a device reads and writes in a second."""
    import torch

    source = torch.ones(n_bytes, dtype=torch.uint8, device=name)
    target = torch.empty_like(source)
    (seconds,) = medians([lambda: target.copy_(source)], repeat, clock)
    return 2 * n_bytes / seconds


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Let cuDNN round products to TF32, or not, and try its algorithms for the fastest."""
    import torch

    with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=allowed):
        yield


def make_convs(case: Case) -> dict[str, Callable[[Any, Any], Any]]:
    """Return functions of x and weights, of the dense kernel for cuDNN, by the names of who computes."""
    import torch.nn.functional as F

    from interpolated_kernels_torch import interpolated_conv

    before = [
        pair[0] for pair in ik.plan(case.x_shape, case.weights_shape, case.kernel, **case.options).problem.padding
    ]

    def by_engine(engine: str) -> Callable[[Any, Any], Any]:
        return lambda x, weights: interpolated_conv(x, weights, case.kernel, engine=engine, **case.options)

    def by_torch(x: Any, dense: Any) -> Any:
        return F.conv2d(x, dense, padding=before, groups=case.groups)

    return {"ours": by_engine("numba"), "cuDNN": by_torch, "cuDNN, TF32": by_torch, "native": by_engine("native")}


def make_runs(convolve: Callable[[Any, Any], Any], x: Any, weights: Any, grad_y: Any, allowed: bool) -> dict[str, Run]:
    """Return y as it is for inference, and the two gradients of a y that is there, as runs."""
    import torch

    leaves = [tensor.detach().requires_grad_() for tensor in (x, weights)]
    with tf32(allowed):
        y = convolve(*leaves)

    def forward() -> Any:
        with tf32(allowed), torch.no_grad():
            return convolve(x, weights)

    def gradients() -> Any:
        with tf32(allowed):
            return torch.autograd.grad(y, leaves, grad_y, retain_graph=True)

    return {FORWARD: forward, GRADIENTS: gradients}


def check_ours(case: Case, x: np.ndarray, weights: np.ndarray, device: str) -> Any:
    """Raise unless pieces of our result and gradients are within their bounds; return y's shape."""
    import torch

    convolve = make_convs(case)["ours"]
    leaves = [torch.from_numpy(array).to(device).requires_grad_() for array in (x, weights)]
    y = convolve(*leaves)
    x_cells, y_cells, _ = piece_of(case)
    grad_y = torch.zeros_like(y)  # only the piece has a gradient, so that the piece alone decides all gradients
    grad_y[y_cells] = torch.randn(y[y_cells].shape, generator=torch.Generator().manual_seed(2)).to(device)
    by_x, by_weights = torch.autograd.grad(y, leaves, grad_y)
    found = {"y": y.detach()[y_cells], "grad_x": by_x[x_cells], "grad_weights": by_weights}
    for quantity, actual in found.items():
        check_piece(quantity, actual.cpu().numpy(), case, x, weights, grad_y[y_cells].cpu().numpy())
    return y.shape


def check_peer(case: Case, peer: str, ours: dict[str, Run], theirs: dict[str, Run], weights: np.ndarray) -> None:
    """Raise unless a peer computes what we do; its gradient by the dense kernel is brought to the anchors first."""
    share = _PEERS[peer][1]
    check_close(case, f"{peer}'s result", *(runs[FORWARD]().cpu().numpy() for runs in (theirs, ours)), share)
    found, expected = ([grad.cpu().numpy() for grad in runs[GRADIENTS]()] for runs in (theirs, ours))
    if found[1].shape != weights.shape:
        found[1] = ik.densify_backward(found[1], weights, case.kernel).weights
    for name, actual, own in zip(("x", "weights"), found, expected, strict=True):
        check_close(case, f"{peer}'s gradient by {name}", actual, own, 10 * share)


def count_bytes(case: Case, y_shape: Sequence[int]) -> dict[str, int]:
    """Return the bytes that must be read and written: x and y; x, y's gradient and x's gradient."""
    x, y = (4 * math.prod(shape) for shape in (case.x_shape, y_shape))
    return {FORWARD: x + y, GRADIENTS: 2 * x + y}


def case_rows(case: Case, repeat: int, device: Device) -> Iterator[Row]:
    """Yield the rows of a case: against each peer and the copy, forward and both gradients."""
    import torch

    x, weights = case.arrays()
    shape = check_ours(case, x, weights, device.name)
    bank = torch.from_numpy(weights).to(device.name)
    image, dense = (torch.from_numpy(array).to(device.name) for array in (x, ik.densify(weights, case.kernel)))
    grad_y = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(device.name)
    convs = make_convs(case)
    ours = make_runs(convs["ours"], image, bank, grad_y, False)
    path = ik.plan(
        case.x_shape, case.weights_shape, case.kernel, device=device.name, accuracy="normwise", **case.options
    ).path
    own_times: dict[str, list[float]] = {FORWARD: [], GRADIENTS: []}
    for peer, (allowed, _) in _PEERS.items():
        operand = dense if peer.startswith("cuDNN") else bank
        theirs = make_runs(convs[peer], image, operand, grad_y, allowed)
        check_peer(case, peer, ours, theirs, weights)
        for direction, run in theirs.items():
            own, other = medians([ours[direction], run], repeat, device.clock)
            own_times[direction].append(own)
            yield Row(case.name, path, peer, direction, own, other, other / own, figure_of(case.name, peer, direction))
    for direction, n_bytes in count_bytes(case, shape).items():
        own, copy = statistics.median(own_times[direction]), n_bytes / device.bandwidth
        yield Row(case.name, path, "copy", direction, own, copy, copy / own, figure_of(case.name, "copy", direction))


def header(bandwidth: float) -> str:
    """Return what was measured on: the GPU, its driver, the versions, and the rate of a copy."""
    import torch

    driver = "unknown"
    if (tool := shutil.which("nvidia-smi")) is not None:
        words = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(words, capture_output=True, text=True, check=False).stdout.split("\n")[0] or driver
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "numba-cuda", "numba"))
    cudnn = torch.backends.cudnn.version()
    name = torch.cuda.get_device_name()
    return f"{name}, driver {driver}, {versions}, cuDNN {cudnn}, float32; a copy moves {bandwidth / 1e9:.0f} GB/s"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", help="first letters of the cases to run: A, C, M")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    if (obstacle := find_obstacle()) is not None:
        print(f"compare_gpu.py needs {obstacle}", file=sys.stderr)
        return 2
    device = Device("cuda:0", time_by_events, measure_bandwidth("cuda:0", time_by_events, arguments.repeat))
    print(header(device.bandwidth), file=sys.stderr if arguments.json else sys.stdout, flush=True)
    wanted = [case for case in gpu_cases() if not arguments.cases or case.name.split()[1][0] in arguments.cases]
    rows = [row for case in wanted for row in case_rows(case, arguments.repeat, device)]
    if arguments.json:
        print(json.dumps([row.document() for row in rows]))
        return 0
    print_table(rows)
    print_summary(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
