import numpy as np
import pytest

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


def test_counts():
    """So many anchors an axis stand from edge to edge; a single one in the middle."""
    np.testing.assert_array_equal(ik.grid_positions((12,), counts=3).ravel(), [0, 5.5, 11])
    np.testing.assert_array_equal(ik.grid_positions((3, 5), counts=(1, 2)), [[1, 0], [1, 4]])


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (((3, 3),), ValueError, "either `spacing` or `counts`"),
        (((3, 3), 0), ValueError, "`spacing` must be positive"),
        (((3, 3), -1), ValueError, "`spacing` must be positive"),
        (((3, 3), np.nan), ValueError, "`spacing` must be positive"),
        (((3, 0), 1), ValueError, "`window` must be at least 1"),
        (((3, 2.5), 1), TypeError, "`window` must be an int"),
        (((3, 3), (1, 2, 3)), ValueError, "`spacing`"),
    ],
)
def test_bad_spacing(arguments, error, match):
    """A missing, non-positive or misshapen spacing raises with the argument's name."""
    with pytest.raises(error, match=match):
        ik.grid_positions(*arguments)


@pytest.mark.parametrize("counts", [0, -1, 1.5, (2, 2, 2)])
def test_bad_counts(counts):
    """Counts are positive integers, one or one an axis."""
    with pytest.raises(ValueError, match="`counts`"):
        ik.grid_positions((3, 3), counts=counts)


def test_spacing_and_counts_exclude_each_other():
    """Giving both raises."""
    with pytest.raises(ValueError, match="either `spacing` or `counts`"):
        ik.grid_positions((3, 3), 1, counts=2)
