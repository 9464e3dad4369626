import numpy as np
import pytest

import interpolated_kernels as ik


def test_the_kernel_is_not_flipped():
    """`conv` is cross-correlation, with axes in array order."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((2, 3), 1), (2, 3), "dilated")
    x = np.zeros((4, 5))
    x[1, 2] = 1
    y = ik.conv(x, np.arange(6.0), kernel)
    np.testing.assert_array_equal(y, [[5, 4, 3], [2, 1, 0], [0, 0, 0]])


def test_groups_split_channels_and_filters_in_order():
    """Filter f of group g sees the channels of group g alone."""
    kernel = ik.InterpolatedKernel([[0]], 1, "nearest")
    x = np.arange(1.0, 5.0).reshape(1, 4, 1)
    y = ik.conv(x, np.array([1.0, 10.0] * 4).reshape(4, 2, 1), kernel, groups=2)
    np.testing.assert_array_equal(y.ravel(), [21, 21, 43, 43])


@pytest.mark.parametrize(
    ("x_shape", "weights_shape", "options", "y_shape"),
    [
        ((2, 3, 20, 21), (4, 3, 9), {}, (2, 4, 16, 17)),
        ((2, 3, 20, 21), (4, 3, 9), {"stride": (2, 3), "padding": 1}, (2, 4, 9, 7)),
        ((2, 3, 20, 21), (4, 3, 9), {"padding": "same", "stride": 3}, (2, 4, 7, 7)),
        ((2, 4, 20, 21), (4, 1, 9), {"dilation": 4, "groups": 4}, (2, 4, 4, 5)),
        ((20, 21), (9,), {"stride": 50}, (1, 1)),
        ((20, 21), (9,), {"stride": (2**62, 1), "padding": "same"}, (1, 21)),
    ],
)
def test_shapes(x_shape, weights_shape, options, y_shape):
    """Output shapes are torch's formula."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "linear")
    assert ik.conv(np.ones(x_shape), np.ones(weights_shape), kernel, **options).shape == y_shape
