"""The kit on arrays on a GPU, and laws on problems that it does not draw: the paths whose loops are there."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.paths import PATHS
from interpolated_kernels.testing import absolute, check_backend, reference, reference_backward
from interpolated_kernels.testing.strategies import Case, cases

ON_GPU = ("direct", "lattice")
PATH = pytest.mark.parametrize("path", ON_GPU)
DTYPE = pytest.mark.parametrize("dtype", ["float32", "float64"])


def make_engine(path):
    """This engine on a path, forward and backward."""

    def conv(x, weights, kernel, **options):
        return ik.conv(x, weights, kernel, path=path, **options)

    def conv_backward(grad_y, x, weights, kernel, *, wrt, **options):
        return ik.conv_backward(grad_y, x, weights, kernel, wrt=wrt, path=path, **options)

    return conv, conv_backward


def make_supports(path):
    """Whether a path serves a problem on a GPU."""

    def supports(problem):
        try:
            ik.plan(
                problem.x_shape, problem.weights_shape, problem.kernel, dtype=problem.dtype, path=path, device="cuda:0",
                **problem.conv_options,
            )  # fmt: skip
        except ValueError:
            return False
        return True

    return supports


@PATH
@DTYPE
def test_the_kit_finds_no_fault(path, dtype, device):
    """All that the kit asks of a backend, but missing="renormalize": y and gradients by x, weights and anchors."""
    conv, conv_backward = make_engine(path)
    report = check_backend(
        conv, conv_backward, supports=make_supports(path), to_device=device.send, to_numpy=device.take,
        arithmetic=dtype, seed=ON_GPU.index(path), n=30 if device.simulates else 200,
    )  # fmt: skip
    assert report.failed == 0


def _serves(path, case):
    """Return the option that forces a path, or give the case up where the path cannot serve it."""
    if path == "lattice" and PATHS[path].supports(_problem(case).summed) is not None:
        hypothesis.reject()
    return {"path": path}


def _problem(case):
    dtype = "float64" if case.x.dtype == np.float64 else "float32"
    return ik.plan(
        case.x.shape, case.weights.shape, case.kernel, dtype=dtype, device="cuda:0", path="direct", **case.options
    ).problem


LATTICED = ["linear", "nearest", "cubic", "keys", "bspline", "dilated"]


@PATH
@hypothesis.settings(max_examples=20)
@hypothesis.given(data=st.data())
def test_non_finite_entries(path, data, device, spoil):
    """C7: NaN and infinity in x, weights or grad_y reach what the reference's reach, and no more; the rest keeps C1."""
    case = data.draw(
        cases(names=LATTICED if path == "lattice" else None, data=lambda rng, shape: rng.normal(size=shape))
    )
    where, seed = data.draw(st.sampled_from(["x", "weights", "grad_y"])), data.draw(st.integers(0, 999))
    case = spoil(case, where, seed)
    for quantity, actual in device.results(case, **_serves(path, case)).items():
        case.assert_matches(quantity, actual)


def _assume_exact(case):
    """Keep the cases whose every partial sum is exact: sums over absolute values at the matrix's finest bit fit."""
    matrix = np.abs(case.kernel.matrix)
    bits = 2.0 ** next(q for q in range(60) if (matrix * 2.0**q % 1 == 0).all())
    limit = 2.0 ** (24 if case.x.dtype == np.float32 else 53) / bits
    sizes, kernel = [np.abs(array) for array in (case.grad_y, case.x, case.weights)], absolute(case.kernel)
    grads = reference_backward(*sizes, kernel, **case.options)
    largest = [each.max(initial=0) for each in (reference(*sizes[1:], kernel, **case.options), grads.x, grads.weights)]
    hypothesis.assume(max(*largest, sizes[0].sum() * sizes[1].max(initial=0)) <= limit)


@PATH
@hypothesis.settings(max_examples=60)
@hypothesis.given(case=cases(dyadic=True))
def test_exact_on_dyadic_data(path, case, device):
    """C0: dyadic matrices and integer data give the reference bit for bit, and so what the loops of the CPU give."""
    options = _serves(path, case)
    _assume_exact(case)
    expected = case.results(path="reference")
    for quantity, actual in device.results(case, **options).items():
        assert actual.dtype == expected[quantity].dtype
        np.testing.assert_array_equal(actual, expected[quantity], err_msg=quantity)


@PATH
def test_a_cell_that_all_outputs_show(path, device):
    """Every output reads cell 0 of three, by strides over a circular padding: its gradient is the sum of all."""
    kernel = ik.InterpolatedKernel([[0.0]], 1, "linear")
    options = {"stride": 3, "padding": ((0, 4),), "padding_mode": "circular"}
    case = Case(np.array([2.0, 1.0, 0.0]), np.array([-2.0]), np.array([-1.0, -3.0, -3.0]), kernel, options)
    found = device.results(case, path=path)
    np.testing.assert_array_equal(found["y"], [-4, -4, -4])
    np.testing.assert_array_equal(found["grad_x"], [14, 0, 0])
    np.testing.assert_array_equal(found["grad_weights"], [-14])


def _bank(x, filters, kernel, dtype, **options):
    rng, channels = np.random.default_rng(7), x[1] // options.get("groups", 1)
    lead = (filters, channels) if kernel.channel_mode == "separate" else (filters,)
    weights = rng.standard_normal((*lead, kernel.n_anchors)).astype(dtype)
    y = ik.plan(x, weights.shape, kernel, **options).problem.y_shape
    return Case(*(rng.standard_normal(x).astype(dtype), weights, rng.standard_normal(y).astype(dtype)), kernel, options)


def _grid(window, spacing, interpolator="linear", **options):
    return ik.InterpolatedKernel(ik.grid_positions(window, spacing), window, interpolator, **options)


LARGER = {
    "many taps, more filters than a tile": lambda **k: _bank((1, 3, 6, 7), 17, _grid((5, 5), 1), padding="same", **k),
    "rows longer than blocks": lambda **k: _bank((2, 1, 3, 70), 3, _grid((2, 9), (1, 4)), **k),
    "more outputs than a sum of products": lambda **k: _bank((3, 1, 30, 31), 1, _grid((3, 3), 2), padding="same", **k),
    "strided": lambda **k: _bank((1, 2, 15, 16), 5, _grid((4, 5), 2, "nearest"), stride=(2, 3), dilation=2, **k),
    "volume": lambda **k: _bank((1, 2, 5, 6, 7), 3, _grid((3, 2, 3), 2), padding=2, padding_mode="circular", **k),
    "tied": lambda **k: _bank((2, 4, 7, 8), 4, _grid((3, 3), 1, channel_mode="tied"), groups=2, **k),
}


@PATH
@DTYPE
@pytest.mark.parametrize("name", sorted(LARGER))
def test_quality(path, dtype, name, device):
    """C2: on normal data errors stay below 4 sqrt(n + 2) u S, at sizes that reach all of a loop."""
    case = LARGER[name](dtype=dtype)
    for quantity, actual in device.results(case, path=path).items():
        case.assert_matches(quantity, actual, quality=True)


@PATH
def test_bits_do_not_depend_on_the_grid(path, device, monkeypatch):
    """C8: however many blocks a grid has, and when computed again, y and both gradients have the same bits."""
    case = LARGER["rows longer than blocks"](dtype="float32")
    first = device.results(case, path=path)
    for most in ((2**31 - 1, 65535, 65535), (1, 1, 1), (2, 3, 1)):
        monkeypatch.setattr("interpolated_kernels.loops.cuda.compile._MOST_BLOCKS", most)
        for quantity, actual in device.results(case, path=path).items():
            np.testing.assert_array_equal(actual, first[quantity], err_msg=f"{quantity}, {most}")


@PATH
def test_bits_do_not_depend_on_the_batch(path, device):
    """C8: a sample alone and in a batch, held at once or one after another, has the same bits in y and grad_x."""
    case = _bank((3, 2, 5, 9), 3, _grid((3, 3), 2), "float32", padding=1)
    whole = device.results(case, path=path)
    least = ik.plan(
        case.x.shape, case.weights.shape, case.kernel, path=path, device="cuda:0", padding=1
    ).cost.extra_bytes
    by_chunks = device.results(case, path=path, max_memory=least)
    case.assert_matches("grad_weights", by_chunks["grad_weights"])
    for sample in range(3):
        alone = device.results(case.replace(x=case.x[sample], grad_y=case.grad_y[sample]), path=path)
        for quantity in ("y", "grad_x"):
            np.testing.assert_array_equal(alone[quantity], whole[quantity][sample])
            np.testing.assert_array_equal(by_chunks[quantity], whole[quantity])


@PATH
def test_blocks_of_products_are_added_once(path, device, monkeypatch):
    """More stretches of outputs than blocks: each block adds several, and each adds to its own sums alone."""
    monkeypatch.setattr("interpolated_kernels.loops.cuda.products._MOST_BLOCKS", 2)
    monkeypatch.setattr("interpolated_kernels.paths.on_cuda.maps._PRODUCTS_OF_SUM", 3)
    case = _bank((2, 1, 9, 10), 2, _grid((3, 3), 2), "float32", padding=1)
    case.assert_matches("grad_weights", device.results(case, path=path)["grad_weights"], quality=True)
