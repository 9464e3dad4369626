"""Vectors of every width: the processor's own by default, and the laws under each."""

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding
import pytest

from interpolated_kernels.tile_sizes import VECTOR_BYTES, count_registers, find_vector_bytes

VARIABLE = "INTERPOLATED_KERNELS_VECTOR_BYTES"
OTHERS = [width for width in (16, 32, 64) if width != VECTOR_BYTES]


def test_the_default_is_as_wide_as_what_numba_compiles_for():
    """AVX-512 has 64 bytes and AVX2 32, as llvmlite, which numba asks, knows them."""
    has = llvmlite.binding.get_host_cpu_features()
    expected = 64 if has.get("avx512f") and has.get("avx512vl") else 32 if has.get("avx2") else 16
    assert find_vector_bytes({}) == expected


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("+avx512f,+avx512vl,+avx2", 64),
        ("+avx2,-avx512f,-avx512vl", 32),
        ("+avx512f,+avx2", 32),
        ("", 16),
    ],
)
def test_features_for_numba_count(features, expected):
    """Where `NUMBA_CPU_FEATURES` names another processor's features, its width is taken."""
    assert find_vector_bytes({"NUMBA_CPU_FEATURES": features}) == expected


def test_the_width_can_be_said():
    """The variable takes 16, 32 and 64, before all else; empty is as if it were not there; others raise."""
    for name, expected in (("16", 16), ("64", 64), ("", 32)):
        assert find_vector_bytes({VARIABLE: name, "NUMBA_CPU_FEATURES": "+avx2"}) == expected
    for name in ("8", "128", "wide"):
        with pytest.raises(ValueError, match=f"{VARIABLE} must be one of 16, 32, 64, not '{name}'"):
            find_vector_bytes({VARIABLE: name})


def test_registers_follow_the_width():
    """AVX-512 and 64-bit ARM have 32 registers, AVX2 and SSE 16."""
    assert [count_registers(width, "x86_64") for width in (16, 32, 64)] == [16, 16, 32]
    assert [count_registers(16, name) for name in ("aarch64", "arm64")] == [32, 32]


@pytest.mark.parametrize("seed", [0, 1], ids=["float32", "float64"])
def test_laws_hold_under_other_widths(seed):
    """The bounds C0 to C8, bits across threads and batches among them, with vectors that are not the host's."""
    test = f"{Path(__file__).with_name('test_soak.py')}::test_bounds_hold[{seed}]"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        env={**os.environ, VARIABLE: str(OTHERS[seed]), "INTERPOLATED_KERNELS_SOAK": "100"},
        capture_output=True, text=True, timeout=900, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
