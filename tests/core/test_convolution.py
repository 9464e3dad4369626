import itertools

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.testing import assert_matches_reference

KERNEL = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "linear")
RNG = np.random.default_rng(20)
X = RNG.standard_normal((2, 4, 9, 11))
W = RNG.standard_normal((6, 2, 9))
Y = RNG.standard_normal((2, 6, 5, 7))
PLAIN = RNG.standard_normal(9)


def conv(x=X, weights=W, kernel=KERNEL, groups=2, **options):
    return ik.conv(x, weights, kernel, groups=groups, **options)


def backward(grad_y=Y, x=X, weights=W, kernel=KERNEL, groups=2, **options):
    return ik.conv_backward(grad_y, x, weights, kernel, groups=groups, **options)


LINE = ik.InterpolatedKernel([[0], [2]], 3, "linear")
CHANNELS = ik.InterpolatedKernel([[0, 0], [2, 0]], (3, 2), "nearest", channel_mode="interpolated")
PER_FILTER = ik.InterpolatedKernel([[[0], [2]], [[0], [1]]], 3, "linear")
PER_CHANNEL = ik.InterpolatedKernel([[[[0], [2]], [[0], [1]]]] * 2, 3, "linear")


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        # shapes
        (lambda: conv(X[0, 0]), ValueError, "`x` must have shape.*lack the batch axis"),
        (lambda: conv(X[None]), ValueError, "`x` must have shape"),
        (lambda: conv(np.float64(1)), ValueError, "`x` must have"),
        (lambda: conv(X[0, 0, 0], PLAIN, groups=1), ValueError, "`x` must have at least the kernel's 2 spatial axes"),
        (lambda: conv(weights=W[..., :8]), ValueError, r"`weights` must end in 9 anchors.*\(6, 2, 8\)"),
        (lambda: conv(weights=W[:, :1]), ValueError, r"`weights` must have shape \(6, 2, 9\)"),
        (lambda: conv(weights=W[:, 0]), ValueError, "`weights` must have shape"),
        (lambda: conv(weights=W[None], groups=1), ValueError, "`weights` must have shape"),
        (lambda: conv(weights=np.float64(1)), ValueError, "`weights` must end in 9 anchors"),
        (lambda: conv(kernel=KERNEL.replace(channel_mode="tied")), ValueError, r"`weights` must have shape \(6, 9\)"),
        (lambda: conv(X[:, :0]), ValueError, "`x` must have 4 channels.*got 0"),
        (lambda: conv(weights=W[:0]), ValueError, "`groups` must divide filters.*0"),
        (lambda: ik.conv(np.ones((1, 3, 9)), np.ones((2, 2)), CHANNELS), ValueError, "`window` must end in .*3"),
        (lambda: ik.conv(np.ones(9), np.ones(2), CHANNELS), ValueError, "`weights` of shape.*no channel axis"),
        (lambda: ik.conv(np.ones(9), np.ones(2), PER_FILTER), ValueError, "need one set of positions"),
        (lambda: ik.conv(np.ones((1, 1, 9)), np.ones((3, 1, 2)), PER_FILTER), ValueError, "`positions`|`weights`"),
        (lambda: ik.conv(np.ones((1, 3, 9)), np.ones((2, 3, 2)), PER_CHANNEL), ValueError, "`positions`|`weights`"),
        (lambda: conv(kernel="linear"), TypeError, "`kernel` must be an InterpolatedKernel, got str"),
        # the window must fit
        (lambda: conv(X[:, :, :4]), ValueError, "`window` must fit.*axis 0 it reaches 5.*input has 4"),
        (lambda: conv(dilation=(1, 3)), ValueError, "`window` must fit.*axis 1 it reaches 13.*11"),
        (lambda: conv(X[:, :, :0], padding=1), ValueError, "`window` must fit"),
        # stride, dilation, groups
        (lambda: conv(stride=0), ValueError, "`stride` must be at least 1, got 0"),
        (lambda: conv(stride=(1, -2)), ValueError, "`stride` must be at least 1, got -2"),
        (lambda: conv(stride=1.0), TypeError, "`stride` must be an int"),
        (lambda: conv(stride=True), TypeError, "`stride` must be an int"),
        (lambda: conv(stride="2"), TypeError, "`stride` must be an int"),
        (lambda: conv(stride=(1, 1, 1)), ValueError, "`stride` must be an int or have 2 entries"),
        (lambda: conv(dilation=0), ValueError, "`dilation` must be at least 1"),
        (lambda: conv(dilation=-1), ValueError, "`dilation` must be at least 1"),
        (lambda: conv(dilation=(1.5, 1)), TypeError, "`dilation` must be an int"),
        (lambda: conv(dilation=None), TypeError, "`dilation` must be an int"),
        (lambda: conv(groups=3), ValueError, "`x` must have 6 channels, 2 in each of `groups`=3.*got 4"),
        (lambda: conv(groups=4), ValueError, "`groups` must divide filters, got groups=4 and 6"),
        (lambda: conv(groups=0), ValueError, "`groups` must be at least 1"),
        (lambda: conv(groups=-1), ValueError, "`groups` must be at least 1"),
        (lambda: conv(groups=2.0), TypeError, "`groups` must be an int"),
        # padding
        (lambda: conv(padding="full"), ValueError, "`padding` must be one of valid, same, causal"),
        (lambda: conv(padding="SAME"), ValueError, "`padding` must be one of"),
        (lambda: conv(padding="causal"), ValueError, "`padding`='causal' needs one spatial axis"),
        (lambda: conv(padding=-1), ValueError, "`padding` must be at least 0"),
        (lambda: conv(padding=((0, -1), (0, 0))), ValueError, "`padding` must be at least 0"),
        (lambda: conv(padding=1.5), TypeError, "`padding` must be an int"),
        (lambda: conv(padding=(1, 1, 1)), ValueError, "`padding` must"),
        (lambda: conv(padding=((1, 1),)), ValueError, "`padding` must have 2 .*pairs"),
        (lambda: conv(padding=((1, 1, 1), (1, 1, 1))), ValueError, "`padding` must"),
        (lambda: conv(padding=1, padding_mode="constant"), ValueError, "`padding_mode` must be one.*constant"),
        (lambda: conv(padding_mode=("zeros",)), ValueError, "`padding_mode` must be one mode or have 2 entries"),
        (lambda: conv(padding_mode=("zeros", "wrap")), ValueError, "`padding_mode` must be one of.*wrap"),
        # choices
        (lambda: conv(path="fast"), ValueError, "`path` must be 'auto' or one of.*direct.*reference.*fast"),
        (lambda: conv(accuracy="exact"), ValueError, "`accuracy` must be one of componentwise, normwise"),
        (lambda: conv(max_memory=-1), ValueError, "`max_memory` must be at least 0"),
        (lambda: conv(max_memory=1.5), TypeError, "`max_memory` must be an int"),
        # dtypes
        (lambda: conv(X.astype(np.int64)), TypeError, r"`x` must be .*got int64.*`x.astype\(numpy.float32\)`"),
        (lambda: conv(X.astype(np.uint8)), TypeError, "`x` must be a floating array, got uint8"),
        (lambda: conv(X > 0), TypeError, "`x` must be a floating array, got bool"),
        (lambda: conv(X + 1j), TypeError, "`x` must be real, got complex128"),
        (lambda: conv(X.astype(object)), TypeError, "`x` must be float16.*of dtype object"),
        (lambda: conv(X.astype(np.longdouble)), TypeError, "`x` must be float16"),
        (lambda: conv(np.full(X.shape, "a")), TypeError, "`x` must be float16"),
        (lambda: conv(np.ma.masked_array(X, X > 0)), TypeError, r"`x` must not be a masked array.*filled"),
        (lambda: conv([1, 2, 3], PLAIN[:2], LINE, groups=1), TypeError, "`x` must be a float"),
        (lambda: conv(None), TypeError, "`x` must be float16"),
        (lambda: conv(weights=W.astype(int)), TypeError, r"`weights` must be a floating array.*`weights.astype"),
        (lambda: conv(weights=W.astype(object)), TypeError, "`weights` must be float16"),
        (lambda: conv(weights=np.ma.masked_array(W)), TypeError, "`weights` must not be a masked array"),
        # gradients
        (lambda: backward(Y[..., :-1]), ValueError, r"`grad_y` must have the shape.*\(2, 6, 5, 7\)"),
        (lambda: backward(Y[0]), ValueError, "`grad_y` must have the shape"),
        (lambda: backward(Y.astype(int)), TypeError, "`grad_y` must be a floating array"),
        (lambda: backward(np.ma.masked_array(Y)), TypeError, "`grad_y` must not be a masked array"),
        (lambda: backward(wrt=("bias",)), ValueError, "`wrt` must name some of x, weights for.*bias"),
        (lambda: backward(wrt="y"), ValueError, "`wrt` must name some of x, weights for.*'y'"),
        (lambda: backward(wrt=None), TypeError, "`wrt` must be a name or an iterable of names, got None"),
        (lambda: backward(wrt=("x", "positions")), ValueError, "`wrt`.*Linear"),
        (lambda: backward(stride=0), ValueError, "`stride` must be at least 1"),
        (lambda: backward(path="fast"), ValueError, "`path` must be 'auto' or one of"),
    ],
)  # fmt: skip
def test_bad_input(call, error, match):
    """Every mistake is a ValueError or TypeError of one line that names the argument, the rule and what came."""
    with pytest.raises(error, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "`"))


@pytest.mark.parametrize("option", ["stride", "dilation", "groups"])
@pytest.mark.parametrize("value", [True, 1.0, np.float32(1), np.True_])
def test_an_equal_value_of_another_type_still_raises(option, value):
    """True and 1.0 equal 1, but are no ints: they raise also after a call with 1 has made the plan."""
    x, weights = X[:, :1], W[:, :1]
    ik.conv(x, weights, KERNEL, **{option: 1})
    with pytest.raises(TypeError, match=f"`{option}` must be an int"):
        ik.conv(x, weights, KERNEL, **{option: value})


@pytest.mark.parametrize(
    ("make_out", "error", "match"),
    [
        (lambda: np.empty(Y.shape, np.float32), TypeError, "`out` must be an array of dtype float64, got float32"),
        (lambda: Y.tolist(), TypeError, "`out` must be an array of dtype float64, got list"),
        (lambda: np.empty((2, 6, 5, 8)), ValueError, r"`out` must have the result's shape \(2, 6, 5, 7\)"),
        (lambda: np.broadcast_to(np.zeros(7), Y.shape), ValueError, "`out` must be writeable"),
    ],
)
def test_bad_out(make_out, error, match):
    """`out` must be a writeable array of the result's shape and dtype."""
    with pytest.raises(error, match=match):
        conv(out=make_out())


def test_out_must_not_overlap_an_input():
    """`out` that shares memory with x or weights raises, and x keeps its values."""
    base = np.zeros(400)
    x, out, apart = base[:100].reshape(10, 10), base[50:150].reshape(10, 10), base[100:200].reshape(10, 10)
    x[...] = RNG.standard_normal((10, 10))
    before = x.copy()
    with pytest.raises(ValueError, match="`out` must not overlap an input"):
        ik.conv(x, PLAIN, KERNEL, padding="same", out=out)
    with pytest.raises(ValueError, match="`out` must not overlap an input"):
        ik.conv(x, PLAIN, KERNEL, padding="same", out=x)
    np.testing.assert_array_equal(x, before)
    ik.conv(x, PLAIN, KERNEL, padding="same", out=apart)
    np.testing.assert_array_equal(apart, ik.conv(before, PLAIN, KERNEL, padding="same"))


def test_out_takes_the_result():
    """`out` of any strides is filled and returned."""
    for out in (np.full(Y.shape, np.nan), np.full(Y.shape[::-1], np.nan).T, np.full((2, 6, 5, 14), np.nan)[..., ::-2]):
        assert conv(out=out) is out
        np.testing.assert_array_equal(out, conv())


@pytest.mark.parametrize("path", ["auto", "direct", "reference"])
@pytest.mark.parametrize("mode", ["separate", "tied"])
def test_empty_batch(path, mode):
    """No samples give no outputs, no gradient by x, and zeros for the weights."""
    kernel, weights = KERNEL.replace(channel_mode=mode), W if mode == "separate" else W[:, 0]
    y = conv(X[:0], weights, kernel, path=path)
    assert y.shape == (0, 6, 5, 7)
    assert y.dtype == np.float64
    grads = backward(y, X[:0], weights, kernel, path=path)
    assert grads.x.shape == (0, 4, 9, 11)
    np.testing.assert_array_equal(grads.weights, np.zeros_like(weights))
    plain = ik.conv(X[:0, 0], PLAIN, KERNEL, path=path)
    assert plain.shape == (0, 5, 7)


def test_gradients_hold_only_what_was_asked_for():
    """What `wrt` does not name is None."""
    assert backward(wrt=()).x is None
    assert backward(wrt=("x",)).weights is None
    only = backward(wrt=["weights"])
    assert only.x is None
    np.testing.assert_array_equal(only.weights, backward().weights)


@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (2, 1, 2)])
def test_plain_weights_keep_leading_axes(lead):
    """Weights `(n,)` map `(..., *spatial)` to `(..., *out)`, each image as on its own."""
    x = RNG.standard_normal((*lead, 9, 11))
    y = ik.conv(x, PLAIN, KERNEL)
    assert y.shape == (*lead, 5, 7)
    for index in np.ndindex(*lead):
        np.testing.assert_array_equal(y[index], ik.conv(x[index], PLAIN, KERNEL))
    grads = ik.conv_backward(y, x, PLAIN, KERNEL)
    assert grads.x.shape == x.shape
    assert grads.weights.shape == PLAIN.shape


def test_no_batch_axis():
    """Full weights take x without its batch axis, as torch does, and give y and gradients without it."""
    np.testing.assert_array_equal(conv(X[0]), conv(X)[0])
    grads = backward(Y[0], X[0])
    np.testing.assert_array_equal(grads.x, backward().x[0])
    assert grads.weights.shape == W.shape


DTYPES = ["float16", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize(("x_dtype", "w_dtype"), list(itertools.product(DTYPES, DTYPES)))
def test_dtypes_promote_as_in_numpy(x_dtype, w_dtype, find_dtype):
    """y has NumPy's promoted dtype, a gradient its argument's; narrow dtypes compute in float32, rounded once."""
    x, weights = X.astype(find_dtype(x_dtype)), W.astype(find_dtype(w_dtype))
    try:
        promoted = np.result_type(x, weights)
    except TypeError:
        pytest.skip("NumPy itself does not promote these")
    y = conv(x, weights)
    assert y.dtype == promoted
    assert_matches_reference(y, x, weights, KERNEL, groups=2)
    grad_y = Y.astype(promoted)
    grads = backward(grad_y, x, weights)
    for quantity, grad in (("grad_x", grads.x), ("grad_weights", grads.weights)):
        assert_matches_reference(grad, x, weights, KERNEL, quantity=quantity, grad_y=grad_y, groups=2)


def _read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def _unaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    raw[...] = array
    return raw


@pytest.mark.parametrize(
    "layout",
    [
        np.asfortranarray,
        lambda array: array.astype(">f8"),
        lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
        lambda array: array[..., ::-1].copy()[..., ::-1],
        lambda array: np.moveaxis(np.moveaxis(array, 1, -1).copy(), -1, 1),
        _read_only,
        _unaligned,
        lambda array: array.view(np.recarray),
    ],
    ids=["fortran", "big-endian", "strided", "negative", "channels-last", "read-only", "unaligned", "subclass"],
)
@pytest.mark.parametrize("path", ["direct", "reference"])
def test_any_layout(layout, path):
    """Strides, byte order, alignment and writeability of the inputs change no bit, and inputs are not written to."""
    x, weights, grad_y = layout(X), layout(W), layout(Y)
    y, grads = conv(x, weights, path=path), backward(grad_y, x, weights, path=path)
    expected = backward(path=path)
    for actual, wanted in ((y, conv(path=path)), (grads.x, expected.x), (grads.weights, expected.weights)):
        np.testing.assert_array_equal(actual, wanted)
        assert type(actual) is np.ndarray
        assert actual.flags.writeable
    for kept, original in ((x, X), (weights, W), (grad_y, Y)):
        np.testing.assert_array_equal(kept, original)


def test_broadcast_input():
    """An input of stride 0 is read like any other."""
    x = np.broadcast_to(X[:1], X.shape)
    np.testing.assert_array_equal(conv(x), conv(x.copy()))


def test_lists_and_scalars():
    """Lists of floats are float64 arrays, options may be lists and NumPy ints."""
    y = ik.conv([0.0, 1.0, 0.0, 0.0], [1.0, 3.0], LINE, padding="same")
    np.testing.assert_array_equal(y, [3, 2, 1, 0])
    np.testing.assert_array_equal(
        conv(stride=[2, 1], padding=[[1, 0], [0, 1]], dilation=np.array([1, 2]), groups=np.int64(2)),
        conv(stride=(2, 1), padding=((1, 0), (0, 1)), dilation=(1, 2)),
    )
    np.testing.assert_array_equal(conv(padding=np.int64(1)), conv(padding=(1, 1)))


def test_results_are_their_own():
    """No result shares memory with an input, or with the result of another call."""
    ones = ik.InterpolatedKernel([[0]], 1, "nearest")
    x = np.ones((1, 1, 5))
    y = ik.conv(x, np.ones((1, 1, 1)), ones)
    again = ik.conv(x, np.ones((1, 1, 1)), ones)
    assert not np.shares_memory(y, x)
    assert not np.shares_memory(y, again)
    grads = ik.conv_backward(y, x, np.ones((1, 1, 1)), ones)
    assert not np.shares_memory(grads.x, y)


def test_collinear_anchors_convolve():
    """The original project's own example is collinear: it runs, with one warning at construction."""
    with pytest.warns(ik.AnchorWarning, match="collinear") as caught:
        kernel = ik.InterpolatedKernel([[0, 0, 1], [1, 1, 1], [2, 2, 1]], (4, 4, 3), channel_mode="interpolated")
    assert len(caught) == 1
    weights = RNG.standard_normal((5, 3))
    x = np.ones((5, 3, 11, 11))
    y = ik.conv(x, weights, kernel)
    assert y.shape == (5, 5, 8, 8)
    assert_matches_reference(y, x, weights, kernel)
