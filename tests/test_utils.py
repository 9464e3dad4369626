import sys

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels import layers, utils

POSITIONS = [[0, 0], [3, 1], [1, 4]]


@pytest.mark.parametrize("positions", [POSITIONS, np.array(POSITIONS), [[0, 0, 1], [2, 2, 0]]])
def test_symmetric_filters_repeats_the_positions(positions):
    """Every filter has the same positions, from lists and from arrays, with 2 and with 3 columns."""
    filters = utils.symmetric_filters(positions, 4)
    assert filters.shape == (4, *np.shape(positions))
    for one in filters:
        np.testing.assert_array_equal(one, positions)


@pytest.mark.parametrize(("size", "rate"), [(1, 1), (3, 1), (3, 2), (2, 5)])
def test_dilated_filters_are_a_dilated_kernel(size, rate):
    """The positions are those of an ordinary dilated kernel, and `required_kernel_size` is its extent."""
    positions = utils.dilated_interpolated_filters(size, rate)
    window = utils.required_kernel_size(positions)
    assert window == (size - 1) * rate + 1
    expected = np.zeros((window, window))
    expected[::rate, ::rate] = np.arange(1.0, size * size + 1).reshape(size, size)
    kernel = ik.InterpolatedKernel(positions, window, "dilated")
    np.testing.assert_array_equal(ik.densify(np.arange(1.0, size * size + 1), kernel), expected)


def test_auto_positions_are_a_grid_over_the_window():
    """Anchors stand at 0, s, 2s, ... as far as the square window reaches."""
    np.testing.assert_array_equal(utils.auto_filter_positions(12, 2), ik.grid_positions((12, 12), 2))
    assert utils.auto_filter_positions(12, 2).shape == (36, 2)


@pytest.mark.parametrize(
    ("positions", "size"),
    [
        (POSITIONS, 5),
        ([POSITIONS, [[0, 0], [6, 0], [0, 1]]], 7),
        ([[0, 0, 9], [2, 1, 0]], 3),
        ([[0.0, 2.5], [1.0, 0.0]], 4),
        ([[0, 0]], 1),
    ],
)
def test_required_size_holds_every_position(positions, size):
    """The size is the largest row or column, rounded up, plus 1, as an int; channels do not count."""
    assert utils.required_kernel_size(positions) == size
    assert isinstance(utils.required_kernel_size(positions), int)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: utils.symmetric_filters([0, 1], 3), "`known_positions` must have shape"),
        (lambda: utils.symmetric_filters(POSITIONS, 0), "`n_filters` must be at least 1, got 0"),
        (lambda: utils.dilated_interpolated_filters(0, 1), "`kernel_size` must be at least 1, got 0"),
        (lambda: utils.dilated_interpolated_filters(3, 0), "`dilation_rate` must be at least 1, got 0"),
        (lambda: utils.auto_filter_positions(3, 0), "`spacing` must be finite and positive, got 0"),
        (lambda: utils.required_kernel_size([[1], [2]]), "`kernel_positions` must have shape"),
        (lambda: utils.required_kernel_size([[-1, 0]]), "`kernel_positions` must be finite and at least 0"),
    ],
)
def test_mistakes_raise(call, message):
    """Each helper names the argument that is wrong."""
    with pytest.raises(ValueError, match=message):
        call()


def test_layers_without_keras_says_what_to_install(monkeypatch):
    """Where Keras is missing, the original's import path raises an ImportError that names the extra."""
    for name in [name for name in sys.modules if name.split(".")[0] == "interpolated_kernels_keras"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(ImportError, match=r"pip install 'interpolated-kernels\[keras,tensorflow\]'"):
        _ = layers.InterpolatedConv2d


def test_layers_has_the_layer_alone():
    """`layers` lists `InterpolatedConv2d`, and another name is an AttributeError."""
    assert dir(layers) == ["InterpolatedConv2d"]
    with pytest.raises(AttributeError, match="has no attribute 'InterpolatedConv3d'"):
        _ = layers.InterpolatedConv3d
