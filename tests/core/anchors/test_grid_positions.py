"""The regular grid: by spacing or by counts, from the first cell or about the window's middle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import interpolated_kernels as ik


def test_spacing():
    """Anchors stand at 0, s, 2s, ... as far as the window reaches, row by row."""
    positions = ik.grid_positions((31, 31), 5)
    assert positions.shape == (49, 2)
    np.testing.assert_array_equal(positions[:8, 1], [0, 5, 10, 15, 20, 25, 30, 0])
    np.testing.assert_array_equal(ik.grid_positions((5, 4, 3), (2, 3, 1))[-1], [4, 3, 2])
    np.testing.assert_array_equal(ik.grid_positions((4,), 1.5).ravel(), [0, 1.5, 3])
    np.testing.assert_array_equal(ik.grid_positions(3, 7), [[0]])


def test_spacing_reaches_the_edge_despite_rounding():
    """A spacing of 0.1 in a window of 2 cells gives 11 anchors, the last at the edge."""
    positions = ik.grid_positions(2, 0.1)
    assert len(positions) == 11
    np.testing.assert_allclose(positions[-1], 1.0, rtol=0, atol=1e-12)


@given(
    window=st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple),
    spacing=st.one_of(st.integers(1, 9), st.floats(0.3, 9.0)),
)
def test_a_centred_grid_is_the_grid_in_the_middle(window, spacing):
    """As many anchors at the same steps, all inside; mirrored at the window's middle they are the same anchors."""
    plain, centred = ik.grid_positions(window, spacing), ik.grid_positions(window, spacing, centred=True)
    assert centred.shape == plain.shape
    near = {"rtol": 0, "atol": 1e-7}  # a step that misses the edge by 1e-9 of itself counts as reaching it
    np.testing.assert_allclose(centred - centred[0], plain - plain[0], **near)
    np.testing.assert_allclose(centred + centred[::-1] + 1, np.broadcast_to(window, plain.shape), **near)
    assert (centred >= 0).all()
    assert (centred <= np.array(window) - 1).all()


def test_a_centred_grid_has_whole_or_half_positions():
    """An odd number of cells left over puts whole steps on half cells; nothing left over leaves the grid as it is."""
    np.testing.assert_array_equal(ik.grid_positions(12, 2, centred=True).ravel(), np.arange(0.5, 11, 2))
    np.testing.assert_array_equal(ik.grid_positions((12, 9), 4, centred=True)[[0, -1]], [[1.5, 0], [9.5, 8]])
    np.testing.assert_array_equal(ik.grid_positions((31, 31), 5, centred=True), ik.grid_positions((31, 31), 5))
    np.testing.assert_array_equal(ik.grid_positions(8, 20, centred=True), [[3.5]])


@pytest.mark.parametrize(("centred", "middle"), [(False, 14), (True, 15)])
def test_symmetric_weights_peak_in_the_middle_of_a_centred_grid(centred, middle):
    """A window of 31 leaves 2 cells over beyond anchors 7 apart: the kernel peaks at 14, or centred at 15."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((31, 31), 7, centred=centred), (31, 31), "linear")
    hill = np.array([0.0, 1.0, 3.0, 1.0, 0.0])
    dense = ik.densify(np.outer(hill, hill).ravel(), kernel)
    assert np.unravel_index(dense.argmax(), dense.shape) == (middle, middle)
    assert np.allclose(dense, dense[::-1, ::-1], rtol=0, atol=2**-48) == centred  # a few roundings of 9


def test_no_anchor_stands_beyond_the_window_by_rounding():
    """Steps that divide the window but for rounding end on its last cell, and never a bit further."""
    for step in (14 / 25, 14 / 41, 14 / 6 * (1 + 1e-11)):
        for centred in (False, True):
            positions = ik.grid_positions(15, step, centred=centred)
            assert positions.min() >= 0
            assert positions.max() <= 14


def test_counts():
    """So many anchors an axis stand from edge to edge; a single one in the middle."""
    np.testing.assert_array_equal(ik.grid_positions((12,), counts=3).ravel(), [0, 5.5, 11])
    np.testing.assert_array_equal(ik.grid_positions((3, 5), counts=(1, 2)), [[1, 0], [1, 4]])


def test_counts_are_centred_already():
    """From edge to edge is in the middle: asking for it changes nothing."""
    np.testing.assert_array_equal(
        ik.grid_positions((12, 7), counts=(3, 1), centred=True), ik.grid_positions((12, 7), counts=(3, 1))
    )


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (((3, 3),), ValueError, "either `spacing` or `counts`"),
        (((3, 3), 0), ValueError, "`spacing` must be finite and positive"),
        (((3, 3), -1), ValueError, "`spacing` must be finite and positive"),
        (((3, 3), np.nan), ValueError, "`spacing` must be finite and positive"),
        (((3, 3), 1e-12), ValueError, "`spacing` must give at most 2.22 anchors, got 1e-12"),
        (((3, 3), "2"), TypeError, "`spacing` must be a real number"),
        (((3, 3), 1j), TypeError, "`spacing` must be a real number"),
        (((3, 3), np.inf), ValueError, "`spacing` must be finite and positive, got inf"),
        (((3, 0), 1), ValueError, "`window` must be at least 1"),
        (((3, 2.5), 1), TypeError, "`window` must be an int"),
        (((3, 3), (1, 2, 3)), ValueError, "`spacing`"),
    ],
)
def test_bad_spacing(arguments, error, match):
    """A missing, non-positive or misshapen spacing raises with the argument's name."""
    with pytest.raises(error, match=match):
        ik.grid_positions(*arguments)


@pytest.mark.parametrize(
    ("counts", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ((2, 2, 2), ValueError)]
)
def test_bad_counts(counts, error):
    """Counts are positive integers, one or one an axis."""
    with pytest.raises(error, match="`counts`"):
        ik.grid_positions((3, 3), counts=counts)


def test_spacing_and_counts_exclude_each_other():
    """Giving both raises."""
    with pytest.raises(ValueError, match="either `spacing` or `counts`"):
        ik.grid_positions((3, 3), 1, counts=2)
