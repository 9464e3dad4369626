"""The lattice path's own facts: maps, blocks, and what it refuses."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.paths import lattice
from interpolated_kernels.paths.axes import make_axis
from interpolated_kernels.paths.lattice import folding, sizes
from interpolated_kernels.paths.lattice.late import smooths_columns_late
from interpolated_kernels.paths.lattice.stages import make_axes
from interpolated_kernels.testing import assert_matches_reference
from interpolated_kernels.testing.strategies import cases


def _kernel(window, spacing, **options):
    return ik.InterpolatedKernel(ik.grid_positions(window, spacing), window, "linear", **options)


@given(
    cells=st.integers(1, 20),
    spacing=st.integers(1, 7),
    stride=st.integers(1, 5),
    dilation=st.integers(1, 5),
    splits=st.booleans(),
)
def test_maps_and_lags_are_the_axis_matrix(cells, spacing, stride, dilation, splits):
    """Every anchor's column is its map's profile: coefficient by coefficient at the cell that output 0 reads."""
    factor = _kernel((cells,), min(spacing, cells)).factors().axes[0]
    axis = make_axis(factor, 50, stride, dilation, splits)
    found = np.zeros((cells, factor.matrix.shape[1]))
    for part in axis.maps:
        for (node, lag), (read, value) in itertools.product(
            zip(part.nodes, part.lags, strict=True), zip(part.reads, part.coefficients, strict=True)
        ):
            padded = axis.cell_step * (axis.stride * lag + read)
            assert padded % dilation == 0
            found[padded // dilation, node] += value
    np.testing.assert_array_equal(found, factor.matrix)


@pytest.mark.parametrize(
    "options", [{}, {"stride": (2, 3)}, {"padding": "same"}, {"dilation": (3, 2), "padding": 4, "stride": (2, 1)}]
)
@pytest.mark.parametrize("weights_shape", [(7, 3), (3, 1), (2, 3)], ids=["first", "late", "late, two filters"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_blocks(dtype, weights_shape, options, monkeypatch):
    """C8: y and the gradient by x have the same bits whatever the size of a block."""
    rng, kernel = np.random.default_rng(0), _kernel((17, 13), 4)
    options = {**options, "groups": 3 // weights_shape[1]}
    x, weights = (
        rng.standard_normal((2, 3, 70, 150)).astype(dtype),
        rng.standard_normal((*weights_shape, kernel.n_anchors)),
    )
    weights = weights.astype(dtype)
    plan = ik.plan(x.shape, weights.shape, kernel, dtype=dtype, path="lattice", **options)
    y = plan.forward(x, weights)
    gradient = plan.backward(y, x, weights, ("x",)).x
    for name in ("choose_output_block", "choose_cell_block"):
        chosen = getattr(sizes, name)
        monkeypatch.setattr(sizes, name, lambda *given, chosen=chosen: replace(chosen(*given), counts=(1, 5, 24)))
    smaller = lattice.prepare(plan.problem)
    assert smaller.forward_layout.n_blocks > plan._run(lambda prepared: prepared.forward_layout.n_blocks)
    for function, source, whole in ((smaller.forward, x, y), (smaller.grad_x, y, gradient)):
        by_blocks = np.empty_like(whole)
        function(source, weights, by_blocks)
        np.testing.assert_array_equal(by_blocks, whole)


@given(count=st.integers(1, 60))
def test_rows_fill_tiles(count):
    """Every row stands in one tile of at most four, and tiles of one or two are left for one, two or five rows."""
    tiles = sizes.split_rows(count)
    assert sum(tiles) == count
    assert max(tiles) <= sizes.MOST_ROWS
    assert min(tiles) >= 3 or count in (1, 2, 5)


@pytest.mark.parametrize(
    ("shape", "weights_shape", "window", "spacing", "groups"),
    [
        ((1, 3, 60), (2, 3), (9,), 2, 1),
        ((2, 10, 50), (4, 5), (9,), 4, 2),
        ((1, 1, 30, 40), (70, 1), (9, 5), 2, 1),
        ((1, 5, 30, 40), (33, 5), (3, 9), 2, 1),
        ((2, 3, 9, 12, 14), (5, 3), (3, 5, 4), 1, 1),
        ((1, 2, 12, 10, 30), (3, 2), (7, 1, 5), 3, 1),
    ],
    ids=["1-D", "1-D groups", "many filters", "two rows of nodes", "3-D", "one row of nodes"],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_tile_gathers_the_gradient(shape, weights_shape, window, spacing, groups, dtype):
    """The gradient by x is the reference's for few and many rows of nodes, channels a task and chunks of filters."""
    rng, kernel = np.random.default_rng(1), _kernel(window, spacing)
    weights = rng.standard_normal((*weights_shape, kernel.n_anchors)).astype(dtype)
    x = rng.standard_normal(shape).astype(dtype)
    options = {"padding": "same", "groups": groups}
    grad_y = rng.standard_normal(ik.conv(x, weights, kernel, **options).shape).astype(dtype)
    found = ik.conv_backward(grad_y, x, weights, kernel, path="lattice", wrt=("x",), **options).x
    assert_matches_reference(found, x, weights, kernel, quantity="grad_x", grad_y=grad_y, **options)


def _is_late(problem):
    return smooths_columns_late(problem, make_axes(problem))


@pytest.mark.parametrize(
    ("shape", "weights_shape", "options"),
    [
        ((2, 3, 40, 90), (3, 1), {"groups": 3, "padding": "same"}),
        ((2, 4, 40, 90), (4, 2), {"groups": 2, "padding": 2, "stride": (3, 1)}),
        ((1, 1, 40, 300), (2, 1), {"padding": "same", "padding_mode": "reflect", "dilation": (2, 1)}),
        ((1, 3, 12, 14, 40), (3, 3), {}),
        ((1, 2, 30, 16), (2, 1), {"groups": 2, "padding": "same"}),
    ],
    ids=["depthwise", "rows skipped", "reflected", "volume", "columns that fill no tile"],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_columns_smoothed_last(shape, weights_shape, options, dtype):
    """C1, C5: with few filters columns are smoothed after the taps; forward and both gradients keep their bounds."""
    window = (7, 9, 11)[5 - len(shape) :]
    rng, kernel = np.random.default_rng(2), _kernel(window, 3)
    x = rng.standard_normal(shape).astype(dtype)
    weights = rng.standard_normal((*weights_shape, kernel.n_anchors)).astype(dtype)
    plan = ik.plan(shape, weights.shape, kernel, dtype=dtype, path="lattice", **options)
    assert _is_late(plan.problem)
    y = plan.forward(x, weights)
    assert_matches_reference(y, x, weights, kernel, **options)
    found = plan.backward(y, x, weights, ("x", "weights"))
    for quantity, gradient in (("grad_x", found.x), ("grad_weights", found.weights)):
        assert_matches_reference(gradient, x, weights, kernel, quantity=quantity, grad_y=y, **options)


@pytest.mark.parametrize(
    ("shape", "weights_shape", "window", "options"),
    [
        ((1, 1, 90), (1, 1), (9,), {}),
        ((1, 1, 40, 90), (5, 1), (9, 9), {}),
        ((1, 1, 40, 90), (1, 1), (9, 9), {"stride": (1, 2)}),
        ((1, 1, 40, 90), (1, 1), (9, 9), {"dilation": (1, 2)}),
    ],
    ids=["1-D", "many filters", "columns skipped", "columns with gaps"],
)
def test_columns_smoothed_first(shape, weights_shape, window, options):
    """Columns are smoothed first where the sums of the nodes would cost more, or would meet cells that no tap does."""
    kernel = _kernel(window, 3)
    plan = ik.plan(shape, (*weights_shape, kernel.n_anchors), kernel, path="lattice", **options)
    assert not _is_late(plan.problem)


@pytest.mark.parametrize("size", [30, 300])
def test_the_size_does_not_choose_when_columns_are_smoothed(size):
    """C8: a chunk of an image is summed in the same order as the whole."""
    kernel = _kernel((9, 11), 3)
    assert _is_late(ik.plan((1, 1, size, size), (1, 1, kernel.n_anchors), kernel, path="lattice").problem)


def test_anchors_cost_and_not_cells():
    """The planner takes the lattice for a wide window of few anchors, and knows that the window hardly matters."""
    plans = [
        ik.plan((1, 1, 1024, 1024), (16, 1, 49), _kernel((cells, cells), spacing), padding="same")
        for cells, spacing in ((31, 5), (61, 10))
    ]
    assert [plan.path for plan in plans] == ["lattice", "lattice"]
    assert plans[1].cost.seconds < 1.5 * plans[0].cost.seconds


def test_it_says_what_it_cannot_serve():
    """A kernel that is no tensor product on shared positions is refused, with what would unlock the path."""
    kernel = ik.InterpolatedKernel([[0, 0], [3, 1], [1, 4]], (5, 5), "polyharmonic")
    with pytest.raises(ValueError, match="not a tensor product"):
        ik.plan((1, 1, 20, 20), (1, 1, 3), kernel, path="lattice")


@given(
    case=cases(names=["linear", "nearest", "cubic", "bspline"]).filter(
        lambda case: case.options["padding_mode"] != "zeros"
    )
)
def test_bands_of_padding_change_no_bits(case):
    """C8: padding is folded back in one band or in many, with the same bits of the gradient by x."""
    problem = ik.plan(case.x.shape, case.weights.shape, case.kernel, **case.options).problem
    assume(lattice.supports(problem.summed) is None)
    patch, whole = pytest.MonkeyPatch(), case.results(path="lattice")["grad_x"]
    ik.clear_caches()
    with patch.context() as small:
        small.setattr(folding, "_BYTES_OF_FOLD", 1)
        np.testing.assert_array_equal(case.results(path="lattice")["grad_x"], whole)
    ik.clear_caches()
