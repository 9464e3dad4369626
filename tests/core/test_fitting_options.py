"""What is fitted beside the kernel, what is left out and how much memory it takes, against the design matrix itself."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels import testing

GRID = ik.grid_positions((5, 4), 2)


def _draw_problem(draw, rng, *, window, n, spatial, most_samples, interpolators=("inverse_distance",)):
    """Return x, weights, a kernel of n anchors in a window of rows and columns, and options of `conv`."""
    mode = draw(st.sampled_from(["separate", "tied", "interpolated"]))
    groups, filters, channels = draw(st.sampled_from([1, 2])), 2 * draw(st.integers(1, 2)), draw(st.integers(1, 2))
    shape = draw(st.sampled_from([(), (filters,), (filters, channels)] if mode == "separate" else [(), (filters,)]))
    window = (*window, channels) if mode == "interpolated" else window
    interpolator = draw(st.sampled_from(interpolators))
    if interpolator == "dilated":
        cells = np.array(list(np.ndindex(*window)), float)
        sets = [rng.permutation(cells)[:n] for _ in range(int(np.prod(shape, dtype=int)))]
        positions = np.reshape(sets, (*shape, n, len(window)))
    else:
        positions = rng.uniform(0, 1, (*shape, n, len(window))) * (np.array(window) - 1.0)
    kernel = ik.InterpolatedKernel(positions, window, interpolator, channel_mode=mode)
    options = {
        "groups": groups, "stride": draw(st.integers(1, 2)), "dilation": draw(st.integers(1, 2)),
        "padding": draw(st.sampled_from(["same", "valid", 2])),
        "padding_mode": draw(st.sampled_from(["zeros", "reflect", "circular"])),
    }  # fmt: skip
    x = rng.standard_normal((draw(st.integers(1, most_samples)), groups * channels, *spatial))
    weights = rng.standard_normal((filters, channels, n) if mode == "separate" else (filters, n))
    return x, weights, kernel, options


@st.composite
def exact_problems(draw):
    """Return x, weights, a kernel and options for which there are more outputs than weights."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return _draw_problem(draw, rng, window=(5, 4), n=5, spatial=(21, 20), most_samples=3)


@given(problem=exact_problems())
def test_weights_are_recovered(problem):
    """Outputs without noise give back the weights that made them, for every way to share anchors and channels."""
    x, weights, kernel, options = problem
    y = ik.conv(x, weights, kernel, **options)
    found = ik.fit(x, y, kernel, **options)
    assert found.weights.shape == weights.shape == found.standard_errors.shape
    left = ik.conv(x, found.weights, kernel, **options) - y
    assert np.abs(left).max() <= 1e-9 * np.abs(y).max()
    assert (found.residual <= 1e-9 * np.abs(y).max()).all()
    known = np.isfinite(found.standard_errors) & (found.standard_errors < 1e-6)
    np.testing.assert_allclose(found.weights[known], weights[known], rtol=1e-5, atol=1e-5)


@st.composite
def problems(draw):
    """Return x and y with noise, a kernel, options of `conv`, and options of `fit`."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # dilated kernels have holes in their support, through which a NaN is not seen
    interpolators = ("inverse_distance", "dilated")
    x, weights, kernel, options = _draw_problem(
        draw, rng, window=(4, 3), n=3, spatial=(15, 14), most_samples=2, interpolators=interpolators
    )
    y = ik.conv(x, weights, kernel, **options)
    y += rng.standard_normal(y.shape) + 3.0
    return x, y, kernel, options, _draw_fit_options(draw, rng, x, y)


def _draw_fit_options(draw, rng, x, y):
    """Return options of `fit`; where they leave NaN out, x and y get some."""
    asked = {"ridge": draw(st.sampled_from([0.0, 30.0])), "intercept": draw(st.booleans())}
    if draw(st.booleans()):
        asked["missing"] = "omit"
        x[rng.random(x.shape) < draw(st.sampled_from([0.0, 0.01]))] = np.nan
        y[rng.random(y.shape) < draw(st.sampled_from([0.0, 0.1]))] = np.nan
    weights = draw(st.sampled_from(["none", "one a filter", "alike"]))
    if weights != "none":
        rows = rng.uniform(0, 2, (len(y), y.shape[1] if weights == "one a filter" else 1, *y.shape[2:]))
        asked["sample_weights"] = np.broadcast_to(np.where(rows < 0.3, 0.0, rows), y.shape)
    total = draw(st.sampled_from(["none", "one", "one a filter"]))
    if total != "none":
        asked["total"] = 1.5 if total == "one" else rng.standard_normal(y.shape[1])
    return asked


def design_of(x, kernel, options, filters, number):
    """Return the design matrix of one filter, `(outputs, columns)`, and which outputs see a NaN, by the reference."""
    per_group = x.shape[1] // options["groups"]
    rows = kernel.n_anchors * (per_group if kernel.channel_mode == "separate" else 1)
    shape = (filters, per_group, kernel.n_anchors) if kernel.channel_mode == "separate" else (filters, rows)
    finite, columns = np.nan_to_num(x), []
    for row in np.eye(rows):
        bank = np.zeros((filters, rows))
        bank[number] = row
        columns.append(testing.reference(finite, bank.reshape(shape), kernel, **options)[:, number].ravel())
    seen = np.isnan(testing.reference(x, np.zeros(shape), kernel, **options)[:, number].ravel())
    return np.stack(columns, axis=1), seen


def solve_by_multiplier(design, y, sample_weights, sums, asked, number):
    """Return weights, constant, the root mean square left over, and standard errors, of the textbook.

    Unknowns are the weights, the constant, and the multiplier of the total.
    """
    n, total = design.shape[1], asked.get("total")
    columns = np.column_stack([design, np.ones(len(y))])[:, : n + asked["intercept"]]
    size = columns.shape[1]
    penalty = asked["ridge"] * np.diag([1.0] * n + [0.0] * (size - n))
    normal, right = columns.T @ (sample_weights[:, None] * columns), columns.T @ (sample_weights * y)
    matrix = normal + penalty
    if total is not None:
        row = np.append(sums, np.zeros(size - n))
        matrix = np.block([[matrix, row[:, None]], [row[None], np.zeros((1, 1))]])
        right = np.append(right, np.broadcast_to(total, number + 1)[number] if np.ndim(total) == 0 else total[number])
    inverse = np.linalg.inv(matrix)
    found = (inverse @ right)[:size]
    left = columns @ found - y
    freedom = np.count_nonzero(sample_weights) - size + (total is not None)
    variance = sample_weights @ left**2 / freedom
    gain = inverse[:size, :size]
    errors = np.sqrt(variance * np.diag(gain @ normal @ gain))[:n]
    constant = found[n] if asked["intercept"] else None
    return found[:n], constant, np.sqrt(sample_weights @ left**2 / sample_weights.sum()), errors


@given(problem=problems())
def test_all_options_together_are_the_textbook(problem):
    """Weights, constants, residuals and standard errors are those of constrained, weighted least squares."""
    x, y, kernel, options, asked = problem
    filters = y.shape[1]
    found = ik.fit(x, y, kernel, **options, **asked)
    assert (found.intercept is None) == (not asked["intercept"])
    rows, errors = found.weights.reshape(filters, -1), found.standard_errors.reshape(filters, -1)
    # what each weight adds to the dense kernel's sum
    sums = ik.densify_backward(
        np.ones_like(ik.densify(found.weights, kernel)), found.weights, kernel
    ).weights.reshape(filters, -1)  # fmt: skip
    for number in range(filters):
        design, seen = design_of(x, kernel, options, filters, number)
        of_filter = y[:, number].ravel()
        kept = ~(seen | np.isnan(of_filter))
        weights = np.ones(y.shape) if "sample_weights" not in asked else asked["sample_weights"]
        weights = np.where(kept, weights[:, number].ravel(), 0.0)
        expected = solve_by_multiplier(design, np.nan_to_num(of_filter), weights, sums[number], asked, number)
        # the normal equations square the condition of the columns, scaled to one
        scaled = np.linalg.cond(design[weights > 0] / np.linalg.norm(design[weights > 0], axis=0)) ** 2
        tolerance = 2.0**-44 * scaled
        np.testing.assert_allclose(rows[number], expected[0], rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(errors[number], expected[3], rtol=max(tolerance, 1e-9))
        assert found.residual[number] == pytest.approx(expected[2], rel=1e-9)
        if asked["intercept"]:
            assert found.intercept[number] == pytest.approx(expected[1], rel=tolerance, abs=tolerance)
    dense = ik.densify(found.weights, kernel).reshape(filters, -1)
    np.testing.assert_allclose(found.total, dense.sum(axis=1), rtol=0, atol=2.0**-44 * np.abs(dense).sum())
    if "total" in asked:
        rounding = 2.0**-44 * np.abs(dense).sum()
        np.testing.assert_allclose(dense.sum(axis=1), np.broadcast_to(asked["total"], filters), rtol=0, atol=rounding)


def test_the_example_of_the_page():
    """The worked example at the top of the room gives the weights that it says."""
    kernel = ik.InterpolatedKernel([[0], [2]], 3, "linear")
    found = ik.fit(np.array([1.0, 2.0, 0.0, 4.0]), np.array([3.0, 6.0]), kernel)
    np.testing.assert_allclose(found.weights, [1.0, 1.0], rtol=1e-12)


def _blur(rng, noise=0.01):
    """Return an image, a kernel of sum 1 with its weights, and the image blurred by it with a little noise."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((7, 7), 3), (7, 7), "linear")
    weights = np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]).ravel()
    weights /= ik.densify(weights, kernel).sum()
    x = rng.standard_normal((60, 70)) + 1.0
    y = ik.conv(x, weights, kernel)
    return x, y + noise * rng.standard_normal(y.shape), kernel, weights


def test_a_constant_does_not_spoil_the_kernel():
    """Five more everywhere is the constant's, not the kernel's, which sums to one; without a constant it does not."""
    x, y, kernel, weights = _blur(np.random.default_rng(0))
    found = ik.fit(x, y + 5.0, kernel, intercept=True)
    assert found.intercept == pytest.approx(5.0, abs=1e-2)
    assert ik.densify(found.weights, kernel).sum() == pytest.approx(1.0, abs=1e-2)
    assert (np.abs(found.weights - weights) < 6 * found.standard_errors).all()
    assert abs(ik.densify(ik.fit(x, y + 5.0, kernel).weights, kernel).sum() - 1.0) > 1.0


def test_a_block_of_bad_pixels_is_left_out():
    """Omitted, a block of NaN costs nothing but its outputs; filled with zeros, it spoils the kernel."""
    x, y, kernel, weights = _blur(np.random.default_rng(0))
    bad = x.copy()
    bad[20:30, 20:40] = np.nan
    found = ik.fit(bad, y, kernel, missing="omit")
    assert (np.abs(found.weights - weights) < 6 * found.standard_errors).all()
    with pytest.raises(ValueError, match="`x` must be finite, got NaN: pass missing='omit'"):
        ik.fit(bad, y, kernel)
    filled = ik.fit(np.nan_to_num(bad), y, kernel)
    assert np.abs(filled.weights - weights).max() > 10 * np.abs(found.weights - weights).max()


def test_only_outputs_that_see_a_hole_are_left_out():
    """One NaN in x leaves out as many outputs as the support has cells: the same fit as for these outputs NaN in y."""
    kernel = ik.InterpolatedKernel([[0, 0], [2, 1], [3, 3]], (4, 4), "dilated")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 20))
    y = rng.standard_normal((17, 17))
    with_hole, without = x.copy(), y.copy()
    with_hole[10, 10] = np.nan
    for row, column in kernel.positions.astype(int):
        without[10 - row, 10 - column] = np.nan
    holes, gaps = (ik.fit(*data, kernel, missing="omit") for data in ((with_hole, y), (x, without)))
    np.testing.assert_allclose(holes.weights, gaps.weights, rtol=1e-12)
    np.testing.assert_allclose(holes.standard_errors, gaps.standard_errors, rtol=1e-12)
    assert holes.residual == pytest.approx(gaps.residual, rel=1e-12)


def test_weights_of_zero_leave_out():
    """Sample weights of 0 do what NaN in y does, and equal weights nothing but the residual's unit."""
    x, y, kernel, _ = _blur(np.random.default_rng(0))
    mask = np.random.default_rng(1).random(y.shape) < 0.3
    weighted = ik.fit(x, y, kernel, sample_weights=np.where(mask, 0.0, 3.0))
    omitted = ik.fit(x, np.where(mask, np.nan, y), kernel, missing="omit")
    for name in ("weights", "standard_errors", "residual", "total"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(omitted, name), rtol=1e-11)


def test_outputs_that_nothing_is_missing_from():
    """`missing="omit"` changes no bit where there is no NaN."""
    x, y, kernel, _ = _blur(np.random.default_rng(0))
    np.testing.assert_array_equal(ik.fit(x, y, kernel, missing="omit").weights, ik.fit(x, y, kernel).weights)


def test_what_a_constant_image_tells():
    """An image of one value cannot tell a constant from a kernel: the constant takes all, and every weight is open."""
    kernel = ik.InterpolatedKernel(GRID, (5, 4), "linear")
    found = ik.fit(np.full((20, 20), 7.0), np.full((16, 17), 3.0), kernel, intercept=True)
    np.testing.assert_allclose(found.weights, 0.0, atol=1e-12)
    assert found.intercept == pytest.approx(3.0)
    assert np.isinf(found.standard_errors).all()
    held = ik.fit(np.full((20, 20), 7.0), np.full((16, 17), 3.0), kernel, intercept=True, total=1.0)
    assert held.intercept == pytest.approx(-4.0)


def test_a_single_anchor_with_a_total():
    """Where a total leaves nothing free, the weight is known without an error."""
    kernel = ik.InterpolatedKernel([[0.0]], 1, "nearest")
    found = ik.fit(np.arange(1.0, 9.0), np.arange(1.0, 9.0) * 5, kernel, total=2.0)
    np.testing.assert_array_equal(found.weights, [2.0])
    np.testing.assert_array_equal(found.standard_errors, [0.0])


@pytest.mark.parametrize("dtype", ["float16", ">f4", "float32", ">f8"])
def test_memory_maps_of_any_dtype_and_strides(dtype, tmp_path):
    """Memory maps, transposed and in any byte order, give the fit of their values in float64."""
    x, y, kernel, _ = _blur(np.random.default_rng(0))
    maps = []
    for name, values in (("x", x), ("y", y), ("w", np.abs(y) + 0.1)):
        stored = np.memmap(tmp_path / name, dtype, mode="w+", shape=values.T.shape)
        stored[...] = values.T
        stored.flush()
        maps.append(np.memmap(tmp_path / name, dtype, mode="r", shape=values.T.shape).T)
    found = ik.fit(maps[0], maps[1], kernel, sample_weights=maps[2], intercept=True)
    wide = [np.array(values, np.float64, order="C") for values in maps]
    expected = ik.fit(wide[0], wide[1], kernel, sample_weights=wide[2], intercept=True)
    np.testing.assert_array_equal(found.weights, expected.weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"missing": "drop"}, "`missing` must be one of raise, omit"),
        ({"x": np.full((8, 9), np.inf), "missing": "omit"}, "`x` must be finite, got infinite values"),
        ({"y": np.full((4, 6), -np.inf), "missing": "omit"}, "`y` must be finite, got infinite values"),
        ({"y": np.full((4, 6), np.nan)}, "`y` must be finite, got NaN: pass missing='omit'"),
        ({"y": np.full((4, 6), np.nan), "missing": "omit"}, "`y` must have outputs to fit"),
        ({"sample_weights": np.ones((4, 5))}, r"`sample_weights` must have y's shape \(4, 6\), got \(4, 5\)"),
        ({"sample_weights": np.full((4, 6), -1.0)}, "`sample_weights` must be finite and at least 0"),
        ({"sample_weights": np.full((4, 6), np.nan)}, "`sample_weights` must be finite and at least 0"),
        ({"sample_weights": np.zeros((4, 6))}, "`y` must have outputs to fit"),
        ({"total": [1.0, 2.0]}, "`total` must be a number, or have shape"),
        ({"total": np.nan}, "`total` must be finite, got nan"),
        ({"max_memory": -1}, "`max_memory` must be at least 0"),
    ],
)
def test_what_cannot_be_asked(change, message):
    """Options that do not fit raise and name themselves."""
    kernel = ik.InterpolatedKernel(GRID, (5, 4), "linear")
    arguments = {"x": np.ones((8, 9)), "y": np.ones((4, 6)), **change}
    with pytest.raises(ValueError, match=message):
        ik.fit(arguments.pop("x"), arguments.pop("y"), kernel, **arguments)


def test_a_total_that_no_weight_can_give():
    """Where no anchor reaches a cell, every dense kernel sums to 0."""
    kernel = ik.InterpolatedKernel([[9.0, 9.0]], (3, 3), "bilinear")
    with pytest.raises(ValueError, match="`total` must be 0 where no weight changes"):
        ik.fit(np.ones((5, 5)), np.ones((3, 3)), kernel, total=1.0)
    np.testing.assert_array_equal(ik.fit(np.ones((5, 5)), np.ones((3, 3)), kernel, total=0.0).weights, [0.0])


_MEMORY_CASES = {
    "rows": ((600, 400), {"padding": "same", "padding_mode": "reflect"}),
    "one long line": ((600_000,), {"padding": "same", "padding_mode": "circular"}),
    "planes": ((6, 130, 130), {"padding": 3, "padding_mode": "circular"}),
}


@pytest.mark.parametrize("interpolator", ["linear", "gaussian"])
@pytest.mark.parametrize("case", _MEMORY_CASES)
def test_memory_is_bounded_whatever_the_image(case, interpolator):
    """Python's allocator never sees more than `max_memory` beside the arrays, along however many axes it must cut."""
    spatial, options = _MEMORY_CASES[case]
    window = (7,) * len(spatial)
    kernel = ik.InterpolatedKernel(ik.grid_positions(window, 3), window, interpolator)
    rng = np.random.default_rng(0)
    x = rng.standard_normal(spatial, dtype=np.float32)
    y = ik.conv(x, rng.standard_normal(kernel.n_anchors, dtype=np.float32), kernel, **options)
    y += 1.0
    weights = rng.random(y.shape, dtype=np.float32)
    x.flat[len(x.flat) // 2] = np.nan
    limit = 8 * 2**20
    asked = {"missing": "omit", "intercept": True, "sample_weights": weights, "max_memory": limit, **options}
    fitted = ik.fit(x, y, kernel, **asked)
    tracemalloc.start()
    try:
        ik.fit(x, y, kernel, **asked)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= limit + 2**19  # plans' tables, and what is small
    assert fitted.intercept == pytest.approx(1.0, abs=1e-4)


def test_fits_are_printed():
    """A fit prints what a reader asks first, in a few lines, and no arrays."""
    x, y, kernel, _ = _blur(np.random.default_rng(0))
    found = ik.fit(x, y + 5.0, kernel, intercept=True, total=1.0)
    lines = str(found).splitlines()
    assert lines[0] == "Fit"
    assert [line[2:19].strip() for line in lines[1:]] == [
        "weights", "kernel sum", "intercept", "residual", "standard errors", "left open",
    ]  # fmt: skip
    assert lines[2].split() == ["kernel", "sum", "1"]
    assert "0 of 9 weights" in lines[-1]
    assert "intercept" not in str(ik.fit(x, y, kernel))
    assert repr(found).startswith("Fit(weights (9,), residual 0.0")
    bank = ik.from_dense(np.random.default_rng(0).standard_normal((2, 3, 7, 7)), kernel)
    assert "residual         " in str(bank)
    assert " to " in str(bank).splitlines()[2]


def test_a_dense_kernels_sum():
    """`from_dense` says what the dense kernels of its weights sum to, and knows no constant."""
    kernel = ik.InterpolatedKernel(GRID, (5, 4), "linear")
    found = ik.from_dense(np.random.default_rng(0).standard_normal((3, 2, 5, 4)), kernel)
    np.testing.assert_allclose(found.total, ik.densify(found.weights, kernel).sum(axis=(1, 2, 3)), rtol=1e-12)
    assert found.intercept is None


def test_gradients_are_printed():
    """Gradients print names, shapes, dtypes and the largest absolute values, None for what was not asked for."""
    x, y, kernel, weights = _blur(np.random.default_rng(0))
    grads = ik.conv_backward(y.astype(np.float32), x.astype(np.float32), weights.astype(np.float32), kernel)
    assert str(grads).splitlines() == [
        "Gradients",
        f"  x          (60, 70) float32, largest {np.abs(grads.x).max():.4g}",
        f"  weights    (9,) float32, largest {np.abs(grads.weights).max():.4g}",
        "  positions  None",
        "  widths     None",
    ]
    assert repr(grads) == "Gradients(x (60, 70), weights (9,))"
