"""Layouts: blue noise, rings, and grids that widen outwards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

import interpolated_kernels as ik

windows = st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple)


@given(window=windows, n=st.integers(1, 30), seed=st.integers(0, 2**32 - 1))
def test_random_positions_are_distinct_and_inside(window, n, seed):
    """n distinct positions between the border cells' centres, the same for the same seed."""
    n = n if max(window) > 1 else 1
    positions = ik.random_positions(window, n, rng=seed)
    assert positions.shape == (n, len(window))
    assert (positions >= 0).all()
    assert (positions <= np.array(window) - 1).all()
    assert len(np.unique(positions, axis=0)) == n
    np.testing.assert_array_equal(positions, ik.random_positions(window, n, rng=np.random.default_rng(seed)))


@pytest.mark.parametrize(("window", "n"), [((200,), 40), ((31, 31), 49), ((40, 20), 200), ((12, 12, 12), 60)])
@pytest.mark.parametrize("seed", range(3))
def test_random_positions_keep_their_distance(window, n, seed):
    """The nearest pair is at least 0.55 of the widest possible apart; of uniform points it is far closer."""
    extent, d = np.array(window) - 1.0, len(window)
    widest = 2 * (np.prod(extent) / ({1: 2.0, 2: 2 * 3**0.5, 3: 4 * 2**0.5}[d] * n)) ** (1 / d)
    assert pdist(ik.random_positions(window, n, rng=seed)).min() >= 0.55 * widest
    uniform = np.random.default_rng(seed).uniform(0, 1, (n, d)) * extent
    assert pdist(uniform).min() < 0.4 * widest


def test_many_random_positions_are_quick_enough_to_draw():
    """Thousands of positions are drawn by neighbours, not by all pairs."""
    assert ik.random_positions((300, 300), 3000, rng=0).shape == (3000, 2)


@given(
    window=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    rings=st.lists(st.tuples(st.floats(0.1, 20), st.integers(1, 12)), min_size=1, max_size=5),
)
def test_rings_are_round(window, rings):
    """Every anchor of a ring is its radius away from the window's centre, at even angles."""
    radii, counts = zip(*rings, strict=True)
    positions, first = ik.ring_positions(window, radii, counts) - (np.array(window) - 1) / 2, 0
    for radius, count in rings:
        ring = positions[first : first + count]
        np.testing.assert_allclose(np.hypot(*ring.T), radius, rtol=1e-12)
        angles = np.sort(np.arctan2(*ring.T) % (2 * np.pi))
        np.testing.assert_allclose(np.diff(angles), 2 * np.pi / count, rtol=1e-9)
        first += count
    assert first == len(positions)


@given(window=windows, core=st.integers(0, 4), ratio=st.sampled_from([1, 1.5, 2, 3]))
def test_peripheral_grids_widen_outwards(window, core, ratio):
    """Symmetric, from border to border, with gaps that never shrink outwards, but for the last, cut off one."""
    positions = ik.peripheral_positions(window, core, ratio)
    for axis, cells in enumerate(window):
        along = np.unique(positions[:, axis])
        np.testing.assert_allclose(along + along[::-1], cells - 1, atol=1e-12)
        assert along[0] == 0
        gaps = np.diff(along[along >= (cells - 1) / 2])
        assert (np.diff(gaps[:-1]) >= 0).all()
        assert (gaps[:core] <= 1).all()
    assert len(positions) == np.prod([len(np.unique(column)) for column in positions.T])


def test_a_peripheral_grid_serves_tensor_products():
    """A window of 51 has 13 nodes an axis, as published for a core of 2 and steps that double."""
    kernel = ik.InterpolatedKernel(ik.peripheral_positions((51, 51)), (51, 51), "nearest")
    assert kernel.n_anchors == 13**2
    assert kernel.structure.separable


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ik.random_positions((5, 5), 0, rng=0), ValueError, "`n` must be at least 1"),
        (lambda: ik.random_positions((5, 5), 2.0, rng=0), TypeError, "`n` must be an int"),
        (lambda: ik.random_positions((1, 1), 2, rng=0), ValueError, "single cell"),
        (lambda: ik.ring_positions((5,), [1], [4]), ValueError, "two axes"),
        (lambda: ik.ring_positions((5, 5), [1, 2], [4]), ValueError, "as many"),
        (lambda: ik.ring_positions((5, 5), [-1], [4]), ValueError, "`radii`"),
        (lambda: ik.ring_positions((5, 5), [1], [0]), ValueError, "`counts`"),
        (lambda: ik.ring_positions((5, 5), [0], [2]), ValueError, "radius 0"),
        (lambda: ik.peripheral_positions((5, 5), core=-1), ValueError, "`core`"),
        (lambda: ik.peripheral_positions((5, 5), ratio=0.5), ValueError, "`ratio`"),
    ],
)
def test_what_is_no_layout(call, error, message):
    """Counts, radii and steps that make no layout raise, naming the argument."""
    with pytest.raises(error, match=message):
        call()
