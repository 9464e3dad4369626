"""The report names what is wrong with anchors, by index, and never raises for a kernel that exists."""

import warnings

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.testing.strategies import kernels


@hypothesis.given(kernels(filters=2, channels=2))
def test_every_kernel_has_a_report(kernel):
    """One entry a position set; the numbers are those of the matrix."""
    report = ik.report(kernel)
    assert len(report.sets) == len(kernel.position_sets)
    assert str(report).startswith(repr(kernel))
    if all(not own.problem for own in report.sets):
        matrices = kernel.matrix.reshape(-1, *kernel.matrix.shape[-2:])
        for own, matrix in zip(report.sets, matrices, strict=True):
            assert own.rank == np.linalg.matrix_rank(matrix)
            assert own.dead == tuple(np.flatnonzero(~matrix.any(axis=0)))
            assert own.is_healthy == (own.rank == kernel.n_anchors and not own.dead)


def test_what_is_wrong_is_named():
    """Stray and dead anchors, the nearest pair, and anchors on a line, by index."""
    kernel = ik.InterpolatedKernel([[0, 0], [4, 4], [2, 2.5], [2, 2], [-3, 8]], (5, 5), "triangle")
    found = ik.report(kernel).sets[0]
    assert found.outside == (4,)
    assert found.dead == (4,)
    assert found.nearest_pair == (2, 3)
    assert found.nearest_distance == 0.5
    assert found.collinear == ()
    assert not ik.report(kernel).is_healthy
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ik.AnchorWarning)
        flat = ik.report(ik.InterpolatedKernel([[0, 0], [1, 1], [3, 3]], (5, 5))).sets[0]
    assert flat.collinear == (0, 1, 2)
    assert "on one line" in str(flat)


def test_coincident_anchors_are_told():
    """Two anchors on one place: distance 0, and a rank below their number."""
    found = ik.report(ik.InterpolatedKernel([[1.0], [3.0], [1.0]], 5, "gaussian")).sets[0]
    assert found.nearest_pair == (0, 2)
    assert found.nearest_distance == 0
    assert found.rank == 2
    assert np.isinf(found.condition)


def test_an_ill_conditioned_spline_is_reported_and_not_raised():
    """Where the matrix raises, the report holds its condition and the reason."""
    positions = [[0, 0], [0, 1e-7], [4, 0], [0, 4], [3, 3], [1, 2], [4, 2]]
    kernel = ik.InterpolatedKernel(positions, (5, 5), ik.Polyharmonic(order=5, degree=2))
    found = ik.report(kernel)
    with pytest.raises(ik.AnchorError):
        kernel.matrix  # noqa: B018  # it is computed when asked for
    assert "condition" in found.sets[0].problem
    assert found.sets[0].condition > 1e11
    assert not found.is_healthy
    assert "no matrix" in str(found)


def test_a_healthy_kernel():
    """A grid of linear anchors has nothing to report but its numbers."""
    report = ik.report(ik.InterpolatedKernel(ik.grid_positions((9, 9), 4), (9, 9), "linear"))
    assert report.is_healthy
    assert report.sets[0].rank == 9
    assert report.sets[0].nearest_distance == 4
    assert ik.report(ik.InterpolatedKernel([[0.0]], 3, "nearest")).sets[0].nearest_pair is None


@pytest.mark.parametrize(
    ("positions", "window", "offset", "line"),
    [
        (ik.grid_positions((31, 31), 7), (31, 31), (-1.0, -1.0), "off the window's middle: -1, -1 cells"),
        (ik.grid_positions((31, 30), 7), (31, 30), (-1.0, -0.5), "off the window's middle: -1, -0.5 cells"),
        (ik.grid_positions(9, 1.5), 9, (-0.25,), "off the window's middle: -0.25 cells"),
        ([[0, 0, 9], [0, 3, 9]], (2, 4, 4), (-0.5, 0.0, 7.5), "off the window's middle: -0.5, 0, +7.5 cells"),
    ],
)
def test_the_way_off_the_middle(positions, window, offset, line):
    """By axis, in cells, below 0 towards the first cell, and a line of its own."""
    report = ik.report(ik.InterpolatedKernel(positions, window, "bilinear"))
    assert report.sets[0].offset == offset
    assert line in str(report).splitlines()


@hypothesis.given(window=st.tuples(st.integers(1, 12), st.integers(1, 12)), spacing=st.floats(1.0, 9.0))
def test_what_is_in_the_middle_has_no_line(window, spacing):
    """A centred grid and rings about the centre are not off it, not even by rounding."""
    grid, rings = ik.grid_positions(window, spacing, centred=True), ik.ring_positions(window, [0, spacing], [1, 7])
    for positions in (grid, rings):
        report = ik.report(ik.InterpolatedKernel(positions, window, "gaussian"))
        assert report.sets[0].offset == (0.0, 0.0)
        assert "middle" not in str(report)


def test_symmetric_weights_are_shifted_by_the_offset():
    """The centre of mass of a kernel with equal weights lies off the window's middle by what is reported."""
    for positions in (ik.grid_positions((15, 12), 4), ik.random_positions((15, 12), 9, rng=2).round()):
        kernel = ik.InterpolatedKernel(positions, (15, 12), "dilated")
        dense = ik.densify(np.ones(kernel.n_anchors), kernel)
        mass = (np.indices(dense.shape) * dense).sum(axis=(1, 2)) / dense.sum()
        np.testing.assert_allclose(ik.report(kernel).sets[0].offset, mass - [7, 5.5], rtol=0, atol=1e-12)


def test_every_set_has_its_own_offset():
    """Where filters have positions of their own, each is measured; the channel axis is none of the kernel's."""
    grid = ik.grid_positions((7, 7), 2)
    report = ik.report(ik.InterpolatedKernel(np.stack([grid, grid + np.array([0, 0.5])]), (7, 7), "gaussian"))
    assert [found.offset for found in report.sets] == [(0.0, 0.0), (0.0, 0.5)]
    assert "position set 1:" in str(report)
    assert str(report).count("off the window's middle") == 1
    channels = ik.InterpolatedKernel([[1, 2, 0], [2, 2, 0]], (5, 5, 3), "gaussian", channel_mode="interpolated")
    assert ik.report(channels).sets[0].offset == (-0.5, 0.0)


def test_images_of_anchors_count():
    """A kernel that is symmetric in the window is in its middle, though its anchors fill a corner."""
    corner = ik.symmetric_positions(ik.grid_positions((9, 9), 2), (9, 9), "dihedral")
    kernel = ik.InterpolatedKernel(corner, (9, 9), ik.Symmetric(ik.Linear(), "dihedral"))
    assert ik.report(kernel).sets[0].offset == (0.0, 0.0)
    half = ik.InterpolatedKernel([[1.0, 2.0], [4.0, 3.0]], (9, 9), ik.Symmetric(ik.Gaussian(), (0,)))
    # The first anchor has an image, the second stands on the mirror: columns 2, 2 and 3.
    assert ik.report(half).sets[0].offset == pytest.approx((0.0, 7 / 3 - 4), abs=2**-50)


def test_only_kernels_have_reports():
    """Positions alone are no kernel."""
    with pytest.raises(TypeError, match="`kernel`"):
        ik.report(np.zeros((3, 2)))
