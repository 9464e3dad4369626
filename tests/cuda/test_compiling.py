"""Every kernel compiles for every architecture, with what real calls launch it with, and takes what a GPU has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from interpolated_kernels.loops import cuda as loops

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MOST_REGISTERS = 255
MOST_SHARED = 48 * 1024
REGISTERS_OF_PROCESSOR = 65536
TILES = {"taps.taps_kernel": dict.fromkeys(("float32", "float64"), loops.FILTERS_OF_TILE),
         "products.products_kernel": loops.FILTERS_OF_PRODUCTS}  # fmt: skip

pytest.importorskip("numba_cuda")
pytestmark = pytest.mark.skipif(loops.SIMULATES, reason="the simulator compiles nothing, and is not asked to")


def _compile(architecture, *words):
    """What `benchmarks/cuda_kernels.py` finds, in a process of its own, where the simulator is off."""
    command = [sys.executable, str(BENCHMARKS / "cuda_kernels.py"), "--json", "--architectures", architecture, *words]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def _check(row):
    """No kernel uses local memory, spills, or needs more registers and shared memory than a block may have."""
    assert not row["local"], row
    if "registers" not in row:
        pytest.skip("ptxas is not here: what kernels take was not counted")
    assert row["stack"] == row["spills"] == 0, row
    assert row["registers"] <= MOST_REGISTERS, row
    assert row["registers"] * row["threads"] <= REGISTERS_OF_PROCESSOR, row
    assert row["shared"] <= MOST_SHARED, row


@pytest.fixture(scope="module")
def all_kernels():
    return _compile("9.0")


def test_every_kernel_is_compiled(all_kernels):
    """No kernel of `loops/cuda` is left out, in neither dtype and for no number of filters."""
    assert not all_kernels["never launched"]
    for name, tiles in TILES.items():
        found = {(row["dtype"], row["filters"]) for row in all_kernels["rows"] if row["kernel"] == name}
        assert found == {(dtype, filters) for dtype, numbers in tiles.items() for filters in numbers}, name


def test_kernels_take_what_a_gpu_has(all_kernels):
    """For compute capability 9.0."""
    assert all_kernels["rows"]
    for row in all_kernels["rows"]:
        _check(row)


@pytest.mark.parametrize("architecture", ["8.0", "10.0"])
def test_hot_kernels_take_what_other_gpus_have(architecture):
    """Those that the time of large problems goes to, for 8.0 and 10.0, where the toolkit knows them."""
    found = _compile(architecture, "--hot")
    for row in found["rows"]:
        _check(row)
