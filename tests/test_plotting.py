import subprocess
import sys

import numpy as np
import pytest

import interpolated_kernels as ik

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402 - after the backend is chosen

from interpolated_kernels.plotting import plot_anchors, plot_kernel  # noqa: E402 - as above


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


@pytest.fixture
def ax():
    return pyplot.subplots()[1]


def scattered(interpolator="polyharmonic"):
    """A kernel of five anchors in a window of 7 x 11."""
    return ik.InterpolatedKernel([[0, 0], [6, 1], [2, 5], [1, 10], [5, 8.5]], (7, 11), interpolator)


def test_plot_kernel_draws_the_dense_kernel(ax):
    """The image holds the dense kernel's cells, and the given Axes come back."""
    kernel, weights = scattered(), np.array([1.0, -3.0, 0.5, 0.0, 2.0])
    assert plot_kernel(kernel, weights, ax) is ax
    np.testing.assert_array_equal(ax.images[0].get_array(), ik.densify(weights, kernel))


def test_plot_kernel_overlays_the_anchors(ax):
    """The dots stand at (column, row) of the anchors, coloured by their weights in the image's own scale."""
    kernel, weights = scattered(), np.array([1.0, -3.0, 0.5, 0.0, 2.0])
    plot_kernel(kernel, weights, ax)
    (dots,) = ax.collections
    np.testing.assert_array_equal(dots.get_offsets(), kernel.positions[:, ::-1])
    np.testing.assert_array_equal(dots.get_array(), weights)
    assert dots.get_clim() == ax.images[0].get_clim()
    assert dots.get_cmap() == ax.images[0].get_cmap()


def test_plot_kernel_centres_its_colours_at_zero(ax):
    """Colours run from -m to m, m the largest absolute cell or weight; a zero kernel has a scale, too."""
    kernel = scattered()
    plot_kernel(kernel, np.array([0.5, -3.0, 0.5, 0.0, 2.0]), ax)
    low, high = ax.images[0].get_clim()
    assert low == -high
    assert high >= 3.0
    plot_kernel(kernel, np.zeros(5), ax)
    assert ax.images[1].get_clim() == (-1.0, 1.0)


def test_rows_run_downwards_and_all_anchors_are_inside():
    """The axes hold the whole window and anchors beyond it, the first row on top."""
    kernel = ik.InterpolatedKernel([[-2, 0], [4, 9], [2, 3]], (5, 5))
    for ax in (plot_kernel(kernel, np.arange(3.0)), plot_anchors(kernel)):
        assert ax.get_ylim() == (4.5, -2.5)
        assert ax.get_xlim() == (-0.5, 9.5)


def test_plot_kernel_in_one_dimension(ax):
    """A 1-D kernel is a line through its cells, with the anchors at their positions and weights."""
    kernel = ik.InterpolatedKernel([[0], [3], [7.5]], 9, "linear")
    weights = np.array([1.0, -1.0, 2.0])
    plot_kernel(kernel, weights, ax)
    np.testing.assert_array_equal(ax.lines[-1].get_ydata(), ik.densify(weights, kernel))
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), np.column_stack([[0, 3, 7.5], weights]))


@pytest.mark.parametrize("window", [(6,), (6, 4)])
def test_plot_anchors_numbers_them(window, ax):
    """Each anchor is a dot at its position with its index beside it."""
    kernel = ik.InterpolatedKernel(ik.grid_positions(window, 2), window, "linear")
    assert plot_anchors(kernel, ax) is ax
    assert [text.get_text() for text in ax.texts] == [str(index) for index in range(kernel.n_anchors)]
    np.testing.assert_array_equal(ax.collections[0].get_offsets()[:, 0], kernel.positions[:, -1])


def test_anchors_repeated_for_every_filter_are_drawn_once(ax):
    """Positions that are the same for every filter are one set of anchors."""
    kernel = ik.InterpolatedKernel(np.repeat(scattered().positions[None], 3, axis=0), (7, 11))
    assert len(plot_anchors(kernel, ax).texts) == 5


@pytest.mark.parametrize(
    "kernel",
    [
        ik.InterpolatedKernel(ik.grid_positions((3, 3, 3), 2), 3, "linear"),
        ik.InterpolatedKernel([[[0, 0], [2, 2], [0, 2]], [[0, 0], [2, 2], [2, 0]]], 3),
        ik.InterpolatedKernel([[0, 0, 0], [2, 2, 0], [0, 2, 1], [2, 0, 1]], (3, 3, 2), channel_mode="interpolated"),
    ],
    ids=["3-D", "positions of each filter", "interpolated channels"],
)
def test_what_has_no_plane_raises(kernel):
    """A kernel of three axes, or with more than one set of positions, is refused with the way out."""
    with pytest.raises(ValueError, match="`plot_kernel` draws kernels of one or two axes"):
        plot_kernel(kernel, np.zeros(kernel.n_anchors))
    with pytest.raises(ValueError, match="`plot_anchors` draws kernels of one or two axes"):
        plot_anchors(kernel)


def test_a_bank_of_weights_raises():
    """The weights of many filters are refused: one filter and channel is a picture."""
    with pytest.raises(ValueError, match=r"`weights` must be those of one filter and channel, \(5,\)"):
        plot_kernel(scattered(), np.zeros((2, 3, 5)))


def test_import_of_plotting_leaves_matplotlib_alone():
    """matplotlib is loaded by the first picture, not by the import."""
    code = "import interpolated_kernels.plotting, sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
