"""Forked children: a threading layer that came without its threads is not launched on."""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

OTHERS = """
    import os, warnings, numba, numpy as np
    warnings.simplefilter("ignore", DeprecationWarning)

    @numba.njit(parallel=True)
    def another_librarys_sum(x):
        total = 0.0
        for i in numba.prange(x.size):
            total += x[i]
        return total

    def convolve():
        # Integers and halves: the reference and every other path agree in all bits.
        import interpolated_kernels as ik
        kernel = ik.InterpolatedKernel(ik.grid_positions((9, 9), 2), (9, 9), "linear")
        x, weights = np.arange(90000.0).reshape(300, 300) % 7, np.arange(25.0)
        ours, expected = (ik.conv(x, weights, kernel, path=path) for path in ("auto", "reference"))
        assert np.array_equal(ours, expected)
        return ik.info()["threading_layer"]

    def fork(run):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = run()
            finally:
                os._exit(status or 0)
        status = os.waitpid(child, 0)[1]
        assert status == 0, status

    def check_serial():
        assert "without its threads" in convolve()
"""


def _run(code: str, layer: str = "omp") -> None:
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(OTHERS) + textwrap.dedent(code)],
        env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("imported", ["import interpolated_kernels", "pass"])
def test_a_layer_that_another_library_started(imported):
    """A child is serial on OpenMP that somebody else started, whether it imports this package or inherits that."""
    _run(
        f"""
        {imported}
        another_librarys_sum(np.ones(100000))
        fork(check_serial)
        """
    )


def test_a_childs_child():
    """What was lost in a fork stays lost in the next one."""
    _run(
        """
        import interpolated_kernels
        another_librarys_sum(np.ones(100000))
        fork(lambda: fork(check_serial))
        """
    )


def test_a_child_with_a_layer_of_its_own():
    """Where nothing had been started, a child launches as its parent would, and the parent keeps its threads."""
    _run(
        """
        import interpolated_kernels
        def check_parallel():
            assert convolve() == "omp"
        fork(check_parallel)
        another_librarys_sum(np.ones(100000))
        check_parallel()
        """
    )


def test_a_layer_that_lives_through_forks():
    """numba's workqueue starts anew in a child, which runs in parallel."""
    _run(
        """
        import interpolated_kernels
        another_librarys_sum(np.ones(100000))
        def check_parallel():
            assert convolve() == "workqueue"
        fork(check_parallel)
        """,
        "workqueue",
    )
