import pickle
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


@pytest.mark.parametrize("interpolator", ["gaussian", "triangle", "bilinear", "cone"])
def test_splats_have_colours_of_their_own(interpolator, ax):
    """Where a weight is spread over many cells, cells and anchors each use the whole range of colours."""
    weights = np.array([1.0, -3.0, 0.5, 0.0, 2.0])
    kernel = ik.InterpolatedKernel(scattered().positions, (7, 11), interpolator)
    plot_kernel(kernel, weights, ax)
    limit = np.abs(ik.densify(weights, kernel)).max()
    assert ax.images[0].get_clim() == (-limit, limit)
    assert ax.collections[0].get_clim() == (-3.0, 3.0)


def test_splats_on_a_line_have_an_axis_of_their_own(ax):
    """The line fills its Axes, whatever the weights: these stand at another one, with zero at the same height."""
    kernel, weights = ik.InterpolatedKernel([[1], [6]], 9, "gaussian", widths=[[2], [1]]), np.array([1.0, -30.0])
    plot_kernel(kernel, weights, ax)
    dense, other = ik.densify(weights, kernel), ax.figure.axes[1]
    np.testing.assert_array_equal(ax.lines[-1].get_ydata(), dense)
    np.testing.assert_array_equal(other.collections[0].get_offsets(), [[1, 1], [6, -30]])
    assert other.get_ylabel() == "weight"
    for each, largest in ((ax, np.abs(dense).max()), (other, 30)):
        low, high = each.get_ylim()
        assert low == -high
        assert largest < high < 1.2 * largest


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


@pytest.mark.parametrize("draw", [plot_anchors, lambda kernel: plot_kernel(kernel, np.zeros(kernel.n_anchors))])
def test_what_has_no_plane_raises(draw):
    """A kernel with more than one set of positions or a channel axis is refused, and the way out is one."""
    own = ik.InterpolatedKernel([[[0, 0], [2, 2], [0, 2]], [[0, 0], [2, 2], [2, 0]]], 3)
    with pytest.raises(ValueError, match=r"positions that all filters share.*positions=kernel\.positions\[0\]"):
        draw(own)
    draw(own.replace(positions=own.positions[0]))
    with pytest.raises(ValueError, match=r"kernel\.positions\[0, 0\]"):
        draw(own.replace(positions=own.positions[:, None]))
    with pytest.raises(ValueError, match=r"kernel\.positions\[0\], widths=\.\.\."):
        draw(own.replace(interpolator="gaussian", widths=np.ones(own.positions.shape)))
    channels = ik.InterpolatedKernel(
        [[0, 0, 0], [2, 2, 0], [0, 2, 1], [2, 0, 1]], (3, 3, 2), channel_mode="interpolated"
    )
    with pytest.raises(ValueError, match=r"spatial axes.*channel_mode='separate'"):
        draw(channels)
    draw(channels.replace(channel_mode="separate"))
    with pytest.raises(TypeError, match="`kernel` must be an InterpolatedKernel, got ndarray"):
        draw(own.positions) if draw is plot_anchors else plot_kernel(own.positions, np.zeros(3))


def test_one_filter_with_positions_of_its_own_is_drawn(ax):
    """Positions listed for a single filter are those of a plain kernel."""
    kernel = ik.InterpolatedKernel(scattered().positions[None], (7, 11))
    assert plot_kernel(kernel, np.arange(5.0), ax) is ax
    assert len(plot_anchors(kernel).texts) == 5


VOLUME = ik.InterpolatedKernel(
    [[-1, 0, 0], [0.4, 1, 2], [0.6, 3, 3], [2, 5, 1], [2.5, 4.5, 0], [9, 3, 2], [3, 0, 3]], (4, 6, 4), "gaussian"
)


def test_three_axes_are_one_image_a_plane():
    """The planes of the first axis in their order, with their titles, one scale of colours and one colour bar."""
    weights = np.linspace(-1, 2, 7)
    axes = plot_kernel(VOLUME, weights)
    assert axes.shape == (4,)
    assert [ax.get_title() for ax in axes] == ["plane 0", "plane 1", "plane 2", "plane 3"]
    np.testing.assert_array_equal([ax.images[0].get_array() for ax in axes], ik.densify(weights, VOLUME))
    limit = np.abs(ik.densify(weights, VOLUME)).max()
    assert {ax.images[0].get_clim() for ax in axes} == {(-limit, limit)}
    assert len(axes[0].figure.axes) == 4 + 1
    assert len(plot_kernel(VOLUME, weights, colorbar=False)[0].figure.axes) == 4


def test_an_anchor_is_drawn_on_the_nearest_plane():
    """Each on exactly one: the first of two as near ones, and the border's where it stands beyond the window."""
    expected = [[0, 1], [2], [3, 4], [5, 6]]
    for ax, indices in zip(plot_kernel(VOLUME, np.arange(7.0)), expected, strict=True):
        np.testing.assert_array_equal(ax.collections[0].get_offsets(), VOLUME.positions[indices][:, [2, 1]])
        np.testing.assert_array_equal(ax.collections[0].get_array(), indices)
    for ax, indices in zip(plot_anchors(VOLUME), expected, strict=True):
        assert [text.get_text() for text in ax.texts] == list(map(str, indices))


def test_of_many_planes_every_second_or_third_is_drawn():
    """A first axis of 60 cells has 20 pictures, and every anchor is on one."""
    kernel = ik.InterpolatedKernel([[0, 0, 0], [29, 1, 1], [31, 0, 1], [59, 1, 1]], (60, 2, 2), "gaussian")
    axes = plot_anchors(kernel)
    assert [ax.get_title() for ax in axes] == [f"plane {plane}" for plane in range(0, 60, 3)]
    assert {ax.get_title(): ax.texts[0].get_text() for ax in axes if ax.texts} == {
        "plane 0": "0", "plane 30": "1", "plane 57": "3"
    }  # fmt: skip
    assert [text.get_text() for text in axes[10].texts] == ["1", "2"]


def test_three_axes_take_one_axes_a_plane():
    """In an array of any shape or a list; another number, or what is no Axes, raises with what to pass."""
    figure = pyplot.figure()
    given = figure.subplots(2, 2)
    assert list(plot_kernel(VOLUME, np.ones(7), given)) == given.ravel().tolist()
    assert list(plot_anchors(VOLUME, given.ravel().tolist())) == given.ravel().tolist()
    for wrong, count in ((given[0], 2), (given[0, 0], 1)):
        with pytest.raises(ValueError, match=rf"`ax` must be 4 Axes, one a plane.*subplots\(1, 4\)`, got {count}"):
            plot_kernel(VOLUME, np.ones(7), wrong)
    with pytest.raises(ValueError, match=r"`ax` must be one Axes, for example `figure.subplots\(\)`, got 4"):
        plot_anchors(scattered(), given)
    for kernel in (VOLUME, scattered(), ik.InterpolatedKernel([[0], [3]], 5, "linear")):
        with pytest.raises(TypeError, match=r"`ax` must be matplotlib's.*got Figure"):
            plot_kernel(kernel, np.ones(kernel.n_anchors), figure)


def test_three_axes_of_one_plane_are_still_an_array():
    """What comes back depends on the kernel's axes, not on how many planes there are."""
    kernel = ik.InterpolatedKernel([[0, 0, 0], [0, 2, 2]], (1, 3, 3), "gaussian")
    assert plot_kernel(kernel, np.ones(2)).shape == plot_anchors(kernel).shape == (1,)


SHAPES = {
    "square": ik.InterpolatedKernel(ik.grid_positions((31, 31), 5), (31, 31), "linear"),
    "many cells": ik.InterpolatedKernel(ik.grid_positions((129, 129), 32), (129, 129), "linear"),
    "tall": ik.InterpolatedKernel(ik.grid_positions((31, 3), 2), (31, 3), "linear"),
    "wide": ik.InterpolatedKernel(ik.grid_positions((2, 200), (1, 33)), (2, 200), "linear"),
    "one cell": ik.InterpolatedKernel([[0, 0]], (1, 1), "nearest"),
    "outside": ik.InterpolatedKernel([[-2, 0], [4, 9], [2, 3], [0, -3.5]], (5, 5)),
    "line": ik.InterpolatedKernel(ik.grid_positions(31, 5), 31, "linear"),
    "line of one cell": ik.InterpolatedKernel([[0]], 1, "nearest"),
    "line of splats": ik.InterpolatedKernel([[1], [6]], 9, "gaussian", widths=[[2], [1]]),
    "line with anchors outside": ik.InterpolatedKernel([[-4.5], [3], [12]], 9, "linear"),
    "volume": VOLUME,
    "five planes": ik.InterpolatedKernel(ik.grid_positions((5, 9, 9), 4), (5, 9, 9), "linear"),
    "planes of many cells": ik.InterpolatedKernel([[0, 0, 0], [3, 299, 299], [1, 9, 99]], (4, 300, 300), "gaussian"),
    "wide planes": ik.InterpolatedKernel(ik.grid_positions((3, 3, 40), (1, 2, 13)), (3, 3, 40), "linear"),
}


def list_labels(figure):
    """The bounds on the canvas of every text that is drawn, with what it says."""
    found = []
    for ax in figure.axes:
        texts = [*ax.texts, ax.title, ax.xaxis.label, ax.yaxis.label]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            texts += [tick.label1 for tick in ticks] + [tick.label2 for tick in ticks] + [axis.get_offset_text()]
        drawn = [text for text in texts if text.get_visible() and text.get_text()]
        found += [(text.get_text(), text.get_window_extent()) for text in drawn]
    return found


def assert_holds(outer, inner, name):
    """The inner box lies within the outer one, to a pixel: where the smoothing of a glyph's edge ends."""
    assert outer.x0 - 1 <= inner.x0 <= inner.x1 <= outer.x1 + 1, name
    assert outer.y0 - 1 <= inner.y0 <= inner.y1 <= outer.y1 + 1, name


@pytest.mark.parametrize(
    ("name", "scale"), [*((name, 1.0) for name in SHAPES), ("square", 1e-9), ("wide", 1e-9), ("line", 1e-9)]
)
def test_labels_of_a_kernel_are_within_the_figure(name, scale):
    """Names, ticks, titles and the colour bar's numbers lie within the figure, and none on another."""
    kernel = SHAPES[name]
    axes = plot_kernel(kernel, scale * np.random.default_rng(0).normal(size=kernel.n_anchors))
    figure = np.ravel(axes)[0].figure
    figure.canvas.draw()
    labels = list_labels(figure)
    for index, (text, box) in enumerate(labels):
        assert_holds(figure.bbox, box, text)
        assert not [other for other, there in labels[:index] if box.padded(-1).overlaps(there)], text


@pytest.mark.parametrize("kernel", SHAPES.values(), ids=SHAPES)
def test_numbers_of_anchors_are_within_their_axes(kernel):
    """Each index stands within the Axes, near its own anchor; all other labels within the figure."""
    axes = np.ravel(plot_anchors(kernel))
    axes[0].figure.canvas.draw()
    for name, box in list_labels(axes[0].figure):
        assert_holds(axes[0].figure.bbox, box, name)
    for ax in axes:
        for text in ax.texts:
            assert_holds(ax.get_window_extent(), text.get_window_extent(), text.get_text())


@pytest.mark.parametrize("layout", [None, "constrained", "compressed"])
@pytest.mark.parametrize("name", ["square", "tall", "wide", "outside"])
def test_the_colour_bar_stands_beside_the_kernel(name, layout):
    """In Axes of any figure the bar is as high as the image, right beside it, and its numbers are not cut off."""
    figure, ax = pyplot.subplots(layout=layout)
    plot_kernel(SHAPES[name], np.linspace(-1, 1, SHAPES[name].n_anchors), ax)
    figure.canvas.draw()
    image, bar = ax.get_window_extent(), figure.axes[1].get_window_extent()
    np.testing.assert_allclose((bar.y0, bar.y1), (image.y0, image.y1), atol=0.5)  # half a pixel
    np.testing.assert_allclose((bar.x0 - image.x1, bar.width), np.multiply((0.1, 0.15), figure.dpi), atol=0.5)
    for text, box in list_labels(figure):
        assert_holds(figure.bbox, box, text)


@pytest.mark.parametrize("name", SHAPES)
def test_cells_are_squares_up_to_eight_times_as_long_as_wide(name):
    """An image has square cells; a longer one is stretched until it is eight times as long as wide."""
    kernel = SHAPES[name]
    axes = np.ravel(plot_anchors(kernel))
    axes[0].figure.canvas.draw()
    for ax in axes:
        box, (left, right), (bottom, top) = ax.get_window_extent(), ax.get_xlim(), ax.get_ylim()
        ratio = (right - left) / (bottom - top)
        assert box.width / box.height == pytest.approx(np.clip(ratio, 1 / 8, 8), rel=1e-6)


def test_weights_that_are_not_numbers_are_grey(ax):
    """NaN cells and anchors have a colour that no number has; the others keep their scale."""
    kernel = ik.InterpolatedKernel([[0, 0], [2, 2], [3, 0]], (4, 4), "dilated")
    plot_kernel(kernel, np.array([np.nan, -2.0, np.inf]), ax)
    image, dots = ax.images[0], ax.collections[0]
    assert image.get_clim() == (-2.0, 2.0)
    assert not np.ma.is_masked(dots.get_offsets())  # no anchor is left out
    grey = image.get_cmap()(np.ma.masked_invalid([np.nan]))[0]
    np.testing.assert_array_equal(image.to_rgba(image.get_array())[0, 0], grey)
    assert grey[0] == grey[1] == grey[2] < 0.9
    ax.figure.canvas.draw()
    np.testing.assert_array_equal(dots.get_facecolors()[0], grey)


@pytest.mark.parametrize("dtype", ["float16", "float32", ">f8"])
@pytest.mark.parametrize("name", ["square", "line", "volume"])
def test_any_floats_are_drawn(name, dtype):
    """Narrow floats and other byte orders are drawn as they are; integers raise with the cast to write."""
    kernel = SHAPES[name]
    np.ravel(plot_kernel(kernel, np.linspace(-1, 1, kernel.n_anchors).astype(dtype)))[0].figure.canvas.draw()
    with pytest.raises(TypeError, match=r"`weights\.astype\(numpy\.float32\)`"):
        plot_kernel(kernel, np.arange(kernel.n_anchors))


@pytest.mark.parametrize("name", ["one cell", "outside", "line of one cell", "volume"])
@pytest.mark.parametrize("value", [0.0, 1.0, np.nan, 1e-320, 1e300])
def test_weights_that_are_all_the_same_are_drawn(name, value):
    """Zeros, constants, NaN, and the smallest and largest numbers make a picture, without a warning."""
    np.ravel(plot_kernel(SHAPES[name], np.full(SHAPES[name].n_anchors, value)))[0].figure.canvas.draw()


def test_a_figure_can_be_pickled(ax):
    """Its colour bar's place, too."""
    plot_kernel(scattered(), np.arange(5.0), ax)
    assert len(pickle.loads(pickle.dumps(ax.figure)).axes) == 2


def test_a_bank_of_weights_raises():
    """The weights of many filters are refused: one filter and channel is a picture."""
    with pytest.raises(ValueError, match=r"`weights` must be those of one filter and channel, \(5,\)"):
        plot_kernel(scattered(), np.zeros((2, 3, 5)))


def test_import_of_plotting_leaves_matplotlib_alone():
    """matplotlib is loaded by the first picture, not by the import."""
    code = "import interpolated_kernels.plotting, sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
