"""The report names what is wrong with anchors, by index, and never raises for a kernel that exists."""

import warnings

import hypothesis
import numpy as np
import pytest

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


def test_only_kernels_have_reports():
    """Positions alone are no kernel."""
    with pytest.raises(TypeError, match="`kernel`"):
        ik.report(np.zeros((3, 2)))
