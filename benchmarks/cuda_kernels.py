"""Registers and shared memory of CUDA's kernels, by architecture; needs no GPU.

    python benchmarks/cuda_kernels.py
    python benchmarks/cuda_kernels.py --hot --architectures 8.0 9.0 10.0

Every kernel is compiled to PTX for the types that public functions launch it with. `ptxas`, of NVIDIA's package
nvidia-cuda-nvcc or on the PATH, counts its registers, without it there are none; --json prints all that is known.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["NUMBA_ENABLE_CUDASIM"] = "0"  # before numba is imported: the simulator compiles nothing

import numpy as np
from cuda_recording import Launch, find_kernels, make_array, recording
from numba.cuda import compile_ptx
from numba.cuda.cudadrv import nvrtc

import interpolated_kernels as ik

HOT = ("taps.taps_kernel", "products.products_kernel", "lines.by_rows", "lines.by_columns")
DTYPES = ("float32", "float64")


def run(x_shape: tuple[int, ...], weights_shape: tuple[int, ...], kernel: Any, dtype: str, **options: Any) -> None:
    """Run `conv` and `conv_backward` on arrays without memory."""
    x, weights = make_array(x_shape, dtype), make_array(weights_shape, dtype)
    y = ik.conv(x, weights, kernel, **options)
    ik.conv_backward(y, x, weights, kernel, **options)


def record() -> list[Launch]:
    """Return what is launched by calls that together reach every kernel, in both dtypes."""
    rng = np.random.default_rng(0)
    grid = ik.InterpolatedKernel(ik.grid_positions((31, 31), 5), (31, 31), "linear")
    tied = ik.InterpolatedKernel(ik.grid_positions((7, 7), 3), (7, 7), "cubic", channel_mode="tied")
    through = ik.InterpolatedKernel(
        ik.grid_positions((5, 5, 2), (2, 2, 1)), (5, 5, 2), "linear", channel_mode="interpolated"
    )
    volume = ik.InterpolatedKernel(ik.grid_positions((5, 5, 5), 2), (5, 5, 5), "linear")
    large = ik.InterpolatedKernel(rng.uniform(0, 90, (1100, 2)), (90, 90), "inverse_distance")
    scattered = ik.InterpolatedKernel(rng.uniform(0, 8, (6, 2)), (9, 9))
    sparse = ik.InterpolatedKernel([[0, 0], [4, 4], [2, 1]], (5, 5), "voronoi")
    dilated = ik.InterpolatedKernel([[0, 0], [4, 4], [2, 1]], (5, 5), "dilated")
    splats = ik.InterpolatedKernel(rng.uniform(0, 8, (4, 2, 5, 2)), (9, 9), "gaussian")
    with recording() as launches:
        for dtype in DTYPES:
            for filters in (1, 2, 4, 8, 16):
                run((2, 1, 64, 64), (filters, 1, 49), grid, dtype, path="lattice")
            run((2, 4, 20, 20), (4, 9), tied, dtype, groups=2, padding="same", stride=2)
            run((2, 2, 20, 20), (4, 18), through, dtype, path="lattice")
            run((2, 2, 20, 20), (4, 18), through, dtype, path="direct")
            run((8, 1, 64, 64), (2, 1, 49), grid, dtype, max_memory=2**19)  # a few samples at once
            run((1, 2, 9, 9, 9), (2, 2, 27), volume, dtype, path="lattice", padding=3, padding_mode="reflect")
            for kernel, n in ((scattered, 6), (sparse, 3), (dilated, 3), (splats, 5)):
                run((2, 2, 30, 30), (4, 2, n), kernel, dtype, path="direct")
            ik.densify_backward(ik.densify(bank := make_array((2, 1, 1100), dtype), large), bank, large)
            _run_rest(grid, dtype)
    return list(launches)


def _run_rest(kernel: Any, dtype: str) -> None:
    """Run what lays out arrays that have gaps, a narrower dtype or too few cells."""
    narrow, strided = make_array((2, 1, 64, 64), "float16"), make_array((2, 1, 64, 64), dtype, steps=2)
    weights = make_array((2, 1, 49), dtype)
    ik.conv(strided, weights, kernel, out=make_array((2, 2, 34, 34), dtype, steps=2))
    ik.conv(narrow, make_array((2, 1, 49), "float16"), kernel)
    ik.conv_transpose(make_array((2, 2, 9, 9), dtype), weights, kernel, stride=3, output_padding=2, padding=5)


def describe(launch: Launch, architecture: str) -> dict[str, Any]:
    """Return what is known of a kernel that is compiled for an architecture such as "9.0"."""
    major, minor = map(int, architecture.split("."))
    ptx, _ = compile_ptx(launch.function, launch.signature, cc=(major, minor))
    row = {
        "kernel": launch.name, "filters": launch.filters, "dtype": launch.dtype, "architecture": architecture,
        "local": ".local" in ptx, "threads": launch.threads,
    }  # fmt: skip
    return row | count_registers(ptx, f"sm_{major}{minor}")


def count_registers(ptx: str, architecture: str) -> dict[str, int]:
    """Return registers, and bytes of shared memory, stack and spills; nothing where there is no `ptxas`."""
    program = find_ptxas()
    if program is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        (file := Path(folder) / "kernel.ptx").write_text(ptx)
        command = [program, "-v", f"-arch={architecture}", str(file), "-o", str(file.with_suffix(".cubin"))]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    patterns = {
        "registers": r"Used (\d+) registers", "shared": r"(\d+) bytes smem", "stack": r"(\d+) bytes stack frame",
        "spills": r"(\d+) bytes spill",
    }  # fmt: skip
    return {name: max(map(int, re.findall(pattern, said)), default=0) for name, pattern in patterns.items()}


def find_ptxas() -> str | None:
    """Return NVIDIA's assembler, of the package beside numba-cuda or on the PATH."""
    found = importlib.util.find_spec("nvidia")
    for folder in found.submodule_search_locations if found else ():
        for program in sorted(Path(folder).glob("*/bin/ptxas")):
            return str(program)
    return shutil.which("ptxas")


def list_architectures() -> list[str]:
    """Return those of 8.0, 9.0 and 10.0 that the toolkit knows."""
    known = nvrtc.get_supported_ccs()
    return [name for name in ("8.0", "9.0", "10.0") if tuple(map(int, name.split("."))) in known]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--architectures", nargs="+", default=["9.0"], metavar="M.N")
    parser.add_argument("--hot", action="store_true", help="only kernels that take the time of large problems")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    launches = record()
    rows = [
        describe(launch, architecture)
        for launch in launches
        if launch.name in HOT or not asked.hot
        for architecture in asked.architectures
    ]
    if asked.json:
        names = sorted(find_kernels() - {launch.name for launch in launches})
        print(json.dumps({"rows": rows, "never launched": names, "knows": list_architectures()}))
    else:
        print("\n".join(write_table(rows, asked.architectures)))


def write_table(rows: list[dict[str, Any]], architectures: list[str]) -> Iterator[str]:
    """Yield the lines of a table in Markdown; of launches that differ by types alone, what the greediest takes."""
    found: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        of_kernel = found.setdefault((row["kernel"], row["filters"], row["dtype"], row["threads"]), {})
        known = of_kernel.get(row["architecture"], row)
        of_kernel[row["architecture"]] = max(known, row, key=lambda each: each.get("registers", 0))
    heads = "kernel", "filters", "dtype", "threads", *(f"registers, {name}" for name in architectures), "shared bytes"
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for key, by_architecture in sorted(found.items(), key=lambda item: (item[0][0], item[0][2], item[0][1] or 0)):
        taken = [by_architecture[name] for name in architectures]
        values = *key, *(row.get("registers") for row in taken), max(row.get("shared", 0) for row in taken)
        yield f"| {' | '.join(str(value or '') for value in values)} |"


if __name__ == "__main__":
    main()
