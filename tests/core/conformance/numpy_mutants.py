"""Faults of the plain backend in NumPy: what goes wrong in backends that are written by hand."""

from mutants import Mutant

_SUM = "        y[:, f] += padded[(slice(None), channel, *cells)] * dense[cell]\n"
_BY_X = "        by_padded[(slice(None), channel, *cells)] += grad_y[:, f].astype(np.float64) * dense[cell]\n"
_BY_DENSE = (
    "        by_dense[cell] = np.sum(grad_y[:, f].astype(np.float64) * padded[(slice(None), channel, *cells)])\n"
)
_PRODUCTS = "    for f, c, *tap in np.argwhere(taps):\n"
_FILL = "    dense = (matrix * bank[:, :, None, :]).sum(axis=-1)\n"
_LAID_OUT = "    dense, taps = fill(weights, kernel, x.shape[1] // groups)\n"
_SHOWN = "        shown.append(np.pad(np.arange(x.shape[axis + 2]), pairs[axis], mode=MODES[mode], **fill_value))\n"
_RETURN = "    return y.reshape(*lead, *out) if weights.ndim == 1"

PADDING = [
    Mutant(
        "the odd cell of same padding before x",
        "(total // 2, total - total // 2)",
        "(total - total // 2, total // 2)",
        r"padding='same'",
    ),
    Mutant(
        "same padding without the stride",
        "max((-(-size // step) - 1) * step + far + 1 - size, 0)",
        "far",
        r"stride=\(\d.*padding='same'",
    ),
    Mutant(
        "a halo without the dilation",
        "find_pairs(padding, x.shape[2:], stride, reach)",
        "find_pairs(padding, x.shape[2:], stride, [cells - 1 for cells in kernel.window][:d])",
        r"dilation=\((\d, )*[23]",
    ),
    Mutant(
        "a halo of one cell less",
        "[(entry, entry) for entry in",
        "[(entry, max(entry - 1, 0)) for entry in",
        r"expected \(.*padding=\(?\d",
    ),
    Mutant(
        "before and after swapped",
        "if np.ndim(padding) < 2 else padding",
        "if np.ndim(padding) < 2 else [pair[::-1] for pair in padding]",
        r"padding=\(\(\d",
    ),
    Mutant("causal padding after x", "[(reach[0], 0)]", "[(0, reach[0])]", r"padding='causal'"),
    Mutant("reflect as symmetric", '"reflect": "reflect"', '"reflect": "symmetric"', r"padding_mode=.*'reflect'"),
    Mutant("symmetric as reflect", '"symmetric": "symmetric"', '"symmetric": "reflect"', r"padding_mode=.*'symmetric'"),
    Mutant(
        "wrapping off by one",
        _SHOWN,
        _SHOWN + '        if mode == "circular":\n            shown[axis][: pairs[axis][0]] //= 2\n',
        r"padding_mode=.*'circular'",
    ),
    Mutant(
        "the axes' modes in reverse",
        "isinstance(padding_mode, str) else padding_mode)",
        "isinstance(padding_mode, str) else padding_mode[::-1])",
        r"padding_mode=\('",
    ),
]

GEOMETRY = [
    Mutant(
        "a flipped last axis",
        _SUM,
        _SUM.replace("dense[cell]", "dense[(*cell[:-1], -1 - cell[-1])]"),
        r"window \d*[2-9]",
    ),
    Mutant(
        "a stride that begins late",
        _LAID_OUT,
        "    x = np.roll(x, 1 - stride[-1], axis=-1)\n" + _LAID_OUT,
        r"stride=\((\d, )*[23],?\)",
    ),
    Mutant(
        "the axes' steps in reverse",
        "zip(tap, dilation, out, stride, strict=True)",
        "zip(tap, dilation[::-1], out, stride, strict=True)",
        r"dilation=\((1, [23]|[23], 1)",
    ),
    Mutant(
        "the window's last cell lost",
        _PRODUCTS,
        _PRODUCTS.replace("(taps)", "(taps)[: -1 if taps[0, 0].size > 1 else None]"),
        r"window",
    ),
    Mutant(
        "the window's first row lost where a row is left",
        _PRODUCTS,
        _PRODUCTS + "        if tap[0] == 0 and taps.shape[2] > 4:\n            continue\n",
        r"window [5-9]|window 1\d",
    ),
    Mutant(
        "rows and columns of the window swapped",
        "array.reshape(*array.shape[:2], *kernel.window)",
        "array.reshape(*array.shape[:2], *kernel.window[::-1]).T.reshape(*array.shape[:2], *kernel.window)",
        r"window \d",
    ),
]

CHANNELS = [
    Mutant("filters dealt to the groups in turn", "f // (len(dense) // groups) *", "f % groups *", r"groups=[2-9]"),
    Mutant("every group sees the first", "f // (len(dense) // groups) * dense.shape[1] + c", "c", r"groups=[2-9]"),
    Mutant(
        "a group's channels in reverse",
        "* dense.shape[1] + c,",
        "* dense.shape[1] + dense.shape[1] - 1 - c,",
        r"Problem: x \((\d+, )?[2-9]",
    ),
    Mutant(
        "tied channels averaged",
        _FILL,
        _FILL + '    dense = dense / (channels if kernel.channel_mode == "tied" else 1)\n',
        r"channels tied",
    ),
    Mutant(
        "interpolated channels reshaped, not transposed",
        "(np.moveaxis(array[:, 0], -1, 1) for array",
        "(array.reshape(len(array), -1, *kernel.window[:-1]) for array",
        r"channels interpolated",
    ),
    Mutant(
        "the first filter's positions for all",
        "matrix = kernel.matrix[:, None]\n    bank",
        "matrix = kernel.matrix[:1, None]\n    bank",
        r"anchors x \d+ sets",
    ),
    Mutant(
        "anchors in reverse",
        "dense = (matrix * bank[:, :, None, :])",
        "dense = (matrix * bank[:, :, None, ::-1])",
        r"[2-9] anchors",
    ),
]

BLOCKS = [
    Mutant("the tail of a vector lost", _RETURN, "    y[..., y.shape[-1] // 8 * 8 :] = 0\n" + _RETURN, r"y is"),
    Mutant(
        "the last filters lost",
        _SUM,
        "        if len(dense) > 4 and f >= len(dense) // 4 * 4:\n            continue\n" + _SUM,
        r"weights \(([5-79]|1\d)",
    ),
    Mutant("the last chunk lost", _RETURN, "    y[2:] = 0\n" + _RETURN, r"x \(\d"),
    Mutant("samples mixed", _SUM, _SUM.replace("(slice(None),", "(slice(None, None, -1),"), r"Problem: x \([2-9]"),
    Mutant(
        "samples of leading axes in another order",
        "y.reshape(*lead, *out)",
        'y.reshape(*lead, *out, order="F")',
        r"weights \(\d+,\)",
    ),
    Mutant(
        "a batch of none answered with one",
        "np.zeros((len(padded), len(dense), *out), x.dtype)",
        "np.zeros((max(len(padded), 1), len(dense), *out), x.dtype)",
        r"ValueError was raised.*Problem: x \((\d, )?0",
    ),
    Mutant(
        "a race: an update lost now and then",
        _SUM,
        "        if f % 3 < 2 or cell[-1] % 4 < 3:\n    " + _SUM,
        r"weights \(([3-9]|1\d)",
    ),
]

NUMBERS = [
    Mutant(
        "float32 where float64 is promised",
        "bank = weights.astype(np.float64)",
        "bank = weights.astype(np.float32)",
        r"times the bound C1|not exact",
        arithmetic="float64",
    ),
    Mutant(
        "sums in half precision",
        _SUM,
        _SUM + "        y[:, f] = y[:, f].astype(np.float16)\n",
        r"times the bound C1|finite",
    ),
    Mutant(
        "the kernel cut to bfloat16",
        "np.broadcast_to(dense, shape).astype(weights.dtype)",
        "(np.broadcast_to(dense, shape).astype(np.float32).view(np.int32) & -65536).view(np.float32)",
        r"times the bound C1|not exact",
    ),
    Mutant(
        "y in another dtype",
        "np.zeros((len(padded), len(dense), *out), x.dtype)",
        "np.zeros((len(padded), len(dense), *out))",
        r"dtype float64, expected float32",
    ),
    Mutant(
        "NaN lost",
        _SUM,
        _SUM.replace("padded[(slice(None), channel, *cells)]", "np.nan_to_num(padded[(slice(None), channel, *cells)])"),
        r"finite where the reference is not",
    ),
    Mutant(
        "every cell a tap",
        "np.broadcast_to(matrix.any(axis=-1), dense.shape)",
        "np.ones(dense.shape, bool)",
        r"finite where the reference is not",
        n=200,
    ),
    Mutant(
        "cells of value zero no taps",
        _PRODUCTS,
        _PRODUCTS.replace("(taps)", "(taps & (dense != 0))"),
        r"finite where the reference is not",
        n=200,
    ),
    Mutant(
        "sums of bfloat16 in bfloat16",
        _SUM,
        _SUM + "        y[:, f] = ((y[:, f].view(np.int32) + 32768) & -65536).view(np.float32)\n",
        r"times the bound",
        arithmetic="bfloat16",
        largest=200,
    ),
    Mutant(
        "a bias of rounding in bfloat16",
        _SUM,
        _SUM.replace("dense[cell]", "(dense[cell] * np.float32(1.03125))"),
        r"times the bound",
        arithmetic="bfloat16",
    ),
]

MISSING = [
    Mutant(
        "holes filled with zeros",
        "np.where(denominator > 0, numerator * (total / denominator), np.nan)",
        "numerator",
        r"missing='renormalize'",
    ),
    Mutant(
        "padding counts as there",
        "denominator = convolve(is_there.astype(x.dtype), weights, kernel, **options)",
        'denominator = convolve(is_there.astype(x.dtype), weights, kernel, **{**options, "padding_mode": "replicate"})',
        r"padding=.*missing='renormalize'",
    ),
    Mutant(
        "a value only where half is there",
        "denominator > 0, numerator",
        "denominator > total / 2, numerator",
        r"finite where the reference is not.*\n.*missing='renormalize'",
    ),
    Mutant(
        "another filter's sum",
        "[0].sum(axis=tuple(range(1, kernel.n_dims + 2)))",
        "[0].sum(axis=tuple(range(1, kernel.n_dims + 2)))[::-1]",
        r"weights \([2-9].*missing='renormalize'",
    ),
    Mutant(
        "a cell of 0 counts as missing",
        "is_there, channels = ~np.isnan(x)",
        "is_there, channels = ~np.isnan(x) & (x != 0)",
        r"missing='renormalize'",
    ),
    Mutant(
        "a cell of -0 counts as missing",
        "is_there, channels = ~np.isnan(x)",
        "is_there, channels = ~np.isnan(x) & ((x != 0) | ~np.signbit(x))",
        r"missing='renormalize'",
    ),
]

GRADIENTS = [
    Mutant(
        "the gradient by x with the kernel flipped",
        _BY_X,
        _BY_X.replace("dense[cell]", "dense[(*cell[:2], *(-1 - index for index in cell[2:]))]"),
        r"window",
        "grad_x",
    ),
    Mutant(
        "padding transposed by writing, not adding",
        "    np.add.at(folded, (*(slice(None),) * axis, shown[shown >= 0]), np.compress(",
        "    folded.__setitem__((*(slice(None),) * axis, shown[shown >= 0]), np.compress(",
        r"padding_mode=",
        "grad_x",
    ),
    Mutant(
        "the gradient by x without the stride",
        _BY_X,
        _BY_X.replace("*cells)]", "*(slice(s.start, s.start + -(-(s.stop - s.start) // s.step)) for s in cells))]"),
        r"stride=\(.*[23]",
        "grad_x",
    ),
    Mutant(
        "the gradient by x into the first group",
        _BY_X,
        _BY_X.replace("channel, *cells", "channel % dense.shape[1], *cells"),
        r"groups=[2-9]",
        "grad_x",
    ),
    Mutant(
        "the gradient by tied weights averaged",
        "by_dense.sum(axis=1, keepdims=True)",
        "by_dense.mean(axis=1, keepdims=True)",
        r"channels tied",
        "grad_weights",
    ),
    Mutant(
        "the gradient by weights of the first sample",
        _BY_DENSE,
        _BY_DENSE.replace("[:, f]", "[:1, f]").replace("slice(None), channel", "slice(1), channel"),
        r"Problem: x \([2-9]",
        "grad_weights",
    ),
    Mutant(
        "the gradient by weights in float32",
        _BY_DENSE,
        _BY_DENSE.replace(")])\n", ")].astype(np.float32))\n")
        .replace("np.sum(", "np.float32(1) * np.sum(")
        .replace("np.float64", "np.float32"),
        r"times the bound C1|not exact",
        "grad_weights",
        "float64",
    ),
    Mutant(
        "the channel axis of the gradient reshaped",
        "np.moveaxis(by_dense, 1, -1)[:, None]",
        "by_dense.reshape(len(by_dense), 1, *kernel.window)",
        r"channels interpolated",
        "grad_weights",
    ),
    Mutant(
        "a NaN lost in the gradient",
        _BY_X,
        _BY_X.replace("grad_y[:, f]", "np.nan_to_num(grad_y[:, f])"),
        r"finite where the reference is not",
        "grad_x",
    ),
]

NUMPY_MUTANTS = [*PADDING, *GEOMETRY, *CHANNELS, *BLOCKS, *NUMBERS, *MISSING, *GRADIENTS]
