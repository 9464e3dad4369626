"""`warmup` leaves nothing to compile."""

import json
import subprocess
import sys
import textwrap

import pytest

import interpolated_kernels as ik

WARM_AND_CALL = """
    import itertools, json, warnings
    import numpy as np, interpolated_kernels as ik
    warnings.simplefilter("ignore")
    ik.warmup(("{dtype}",))
    before, rng, later = dict(ik.loops.counts), np.random.default_rng(0), {{}}

    def convolve(name, kernel, size, path, filters=2, **options):
        d = kernel.n_dims
        x, weights = np.ones((1, 2, *[size] * d), "{dtype}"), np.ones((filters, 2, kernel.n_anchors), "{dtype}")
        try:
            y = ik.conv(x, weights, kernel, path=path, accuracy="normwise", **options)
        except ValueError as error:  # a path that does not serve the kernel
            assert "`path`" in str(error), error
            return
        wrt = ("x", "weights", *(n for n in kernel.interpolator.differentiable_by if n == "positions"))
        ik.conv_backward(y, x, weights, kernel, path=path, accuracy="normwise", wrt=wrt, **options)
        found = {{kind: ik.loops.counts[kind] - before[kind] for kind in before}}
        if any(found.values()):
            later[f"{{name}} {{d}}-D {{size}} {{path}} {{options}}"] = found
            before.update(ik.loops.counts)

    sizes = {{1: 40, 2: 20, 3: 9}}
    for name, d in itertools.product(ik.interpolators(), (1, 2, 3)):
        window = (5,) * d
        kernel = ik.InterpolatedKernel(ik.grid_positions(window, 2), window, name)
        for path in ("direct", "lattice", "fourier", "basis"):
            convolve(name, kernel, sizes[d], path)
    linear = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "linear")
    for path in ("direct", "lattice"):
        convolve("linear", linear, 300, path)
        convolve("linear", linear, 30, path, stride=2, padding="same", padding_mode="reflect")
        convolve("linear", linear, 30, path, dilation=2)
        convolve("linear", linear, 30, path, missing="renormalize", padding="same")
        convolve("linear", linear.replace(positions=np.stack([linear.positions] * 2)), 30, path)
    large = ik.InterpolatedKernel(rng.uniform(0, 199, (60, 2)), (200, 200), "polyharmonic")
    convolve("large", large, 200, "direct")
    print(json.dumps(later))
"""


@pytest.mark.parametrize("dtype", ["float32"])  # float64 has the same loops, and costs as long again
def test_nothing_is_compiled_after_a_warmup(dtype):
    """Calls in 1-D to 3-D, small and large, on every path, neither compile nor load a loop that `warmup` did not."""
    code = textwrap.dedent(WARM_AND_CALL.format(dtype=dtype))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


@pytest.mark.parametrize(
    ("dtypes", "error", "message"),
    [
        ("float32", TypeError, "`dtypes` must be a sequence of float32 and float64"),
        (("float16",), ValueError, "`dtypes` must be one of float32, float64, got 'float16'"),
        (("float32", 3), ValueError, "`dtypes` must be one of float32, float64, got 3"),
    ],
)
def test_another_dtype_is_refused(dtypes, error, message):
    """Loops compute in float32 and float64 alone, and one name is no sequence of names."""
    with pytest.raises(error, match=message):
        ik.warmup(dtypes)
