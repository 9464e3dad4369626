"""Engine "numba": the core behind host functions, differentiable to any order.

`conv` has one transpose, with results for any of its operands. Operands are x, the weights, and positions and widths
where they are given. By x, and by the weights of fixed anchors, all of this is linear, so that the two give each
other's derivatives. By moving anchors it is not: there second derivatives come from TensorFlow's formulas of the dense
kernel, for the interpolators that have them, and raise for the others.

In a graph the host functions have no state, so that TensorFlow leaves out those whose results nobody asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.python.ops import gradients_util  # no public word tells what tapes watch

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_tensorflow.densifying import densify_moved

LAYOUT = "channels_first"
_OPERATION = "interpolated_kernels_engine_numba"  # what TensorFlow's errors name where a graph has left this process
_ALIGNMENT = 64  # bytes: TensorFlow takes such an array as it is, and copies others


class Call(NamedTuple):
    """What a convolution is beside its tensors: the names of its operands, in order, and what they are put to."""

    names: tuple[str, ...]
    settled: adapting.Settled
    options: dict[str, Any]

    @property
    def moves(self) -> bool:
        """Whether anchors are operands."""
        return len(self.names) > 2

    def read(self, arrays: Sequence[Any]) -> tuple[Any, Any, ik.InterpolatedKernel]:
        """Return x, the weights and the kernel at the positions of now."""
        x, weights, *moved = arrays
        anchors = {name: np.asarray(array, np.float64) for name, array in zip(self.names[2:], moved, strict=True)}
        with adapting.ignore_anchor_warnings():  # the maker of the kernel was warned
            return x, weights, self.settled.kernel.replace(**anchors) if anchors else self.settled.kernel


def conv(operands: dict[str, Any], settled: adapting.Settled, options: dict[str, Any]) -> Any:
    """Return y for tensors by name: x and weights of one dtype, and bias, positions and widths where they are given."""
    names = tuple(name for name in ("x", "weights", "positions", "widths") if name in operands)
    bias = [operands["bias"]] if "bias" in operands else []
    return _conv(Call(names, settled, options), [operands[name] for name in names], bias)


def _conv(call: Call, operands: Sequence[Any], bias: Sequence[Any] = ()) -> Any:
    """Return y, whose gradients by operands come from one host function where a tape asks for them together."""
    shares, n = _share_out(call, operands), len(operands)

    @tf.custom_gradient
    def run(*tensors: Any) -> Any:
        y = _run(lambda *arrays: [_convolve(call, arrays[:n], arrays[n:])], tensors, [tensors[0].dtype], [y_shape])[0]

        def backward(grad_y: Any) -> Any:
            grads: dict[str, Any] = {}
            for wrt in shares:
                grads |= zip(wrt, _transpose(call, wrt, grad_y, tensors[:n]), strict=True)
            return *map(grads.get, call.names), *(_sum_up(call, grad_y, own) for own in tensors[n:])

        return y, backward

    y_shape = call.settled.y_shape
    return run(*operands, *bias)


def _transpose(call: Call, wrt: tuple[str, ...], grad_y: Any, operands: Sequence[Any]) -> Sequence[Any]:
    """Return the gradients by the operands that `wrt` names."""
    needed = _find_needed([grad_y, *operands])
    wanted = [operand for name, operand in zip(call.names, operands, strict=True) if name in wrt]

    @tf.custom_gradient
    def run(grad_y: Any, *operands: Any) -> Any:
        grads = _run(
            lambda grad_y, *arrays: _convolve_back(call, wrt, grad_y, arrays),
            (grad_y, *operands),
            [operand.dtype for operand in wanted],
            [operand.shape for operand in wanted],
        )

        def backward(*along: Any) -> Any:
            given = {name: value for name, value in zip(wrt, along, strict=True) if value is not None}
            return _find_seconds(call, given, grad_y, operands, needed)

        return grads, backward

    found: Sequence[Any] = run(grad_y, *operands)
    return found


def _find_seconds(
    call: Call, along: dict[str, Any], grad_y: Any, operands: Sequence[Any], needed: Sequence[bool]
) -> list[Any]:
    """Return the gradients by grad_y and the operands of the first gradients' sum with `along`."""
    x, *anchors = operands
    seconds: list[Any] = [None] * len(needed)
    if "x" in along:
        if needed[0]:
            seconds[0] = _conv(call, [along["x"], *anchors])
        wrt = tuple(name for name, is_needed in zip(call.names[1:], needed[2:], strict=True) if is_needed)
        grads = dict(zip(wrt, _transpose(call, wrt, grad_y, [along["x"], *anchors]) if wrt else (), strict=True))
        seconds = [*seconds[:2], *map(grads.get, call.names[1:])]
    others = {name: value for name, value in along.items() if name != "x"}
    if others and call.moves:
        seconds = list(map(_add, seconds, _differentiate_twice(call, others, grad_y, operands)))
    elif others:
        if needed[0]:
            seconds[0] = _add(seconds[0], _conv(call, [x, others["weights"]]))
        if needed[1]:
            seconds[1] = _transpose(call, ("x",), grad_y, [x, others["weights"]])[0]
    return seconds


def _differentiate_twice(call: Call, along: dict[str, Any], grad_y: Any, operands: Sequence[Any]) -> Sequence[Any]:
    """Return what `_find_seconds` does, by TensorFlow's formulas of the dense kernel and the core's `conv` of it."""
    kernel = call.settled.kernel
    if not adapting.can_spread(kernel):
        raise NotImplementedError(
            f"`positions` of {kernel.interpolator} have a first derivative alone, in reverse mode: there is no second "
            "one by them."
        )

    names, ways = tuple(along), list(along.values())

    def run(tensors: Any, ways: Any) -> Any:
        # Each tensor stands for itself, so that a derivative by one does not run through what made another.
        grad_y, *operands = map(tf.identity, tensors)
        named = dict(zip(call.names, operands, strict=True))

        def convolve() -> Any:
            dense = densify_moved(named["weights"], kernel, named.get("positions"), named.get("widths"))
            return _conv_dense(call, named["x"], dense)

        return _differentiate(convolve, [named[name] for name in names], grad_y, ways, [grad_y, *operands])

    seconds: Sequence[Any] | None = run([grad_y, *operands], ways)
    # While an accumulator of forward mode works, tapes see nothing: a graph needs none.
    return tf.function(run)([grad_y, *operands], ways) if seconds is None else seconds


def _differentiate(function: Callable[[], Any], wrt: Any, grad_y: Any, ways: Any, tensors: Any) -> Any:
    """Return the gradients by tensors, along ways, of the first gradients by `wrt`; None where a tape saw nothing."""
    if not tf.executing_eagerly():
        return tf.gradients(tf.gradients(function(), wrt, grad_y), tensors, ways)
    with tf.GradientTape() as outer:
        outer.watch(tensors)
        with tf.GradientTape() as inner:
            inner.watch(tensors[1:])
            y = function()
        first = inner.gradient(y, wrt, grad_y)
    return None if any(grad is None for grad in first) else outer.gradient(first, tensors, ways)


def _conv_dense(call: Call, x: Any, dense: Any) -> Any:
    """Return y of a dense kernel in the place of the call's own: that of a kernel with an anchor on every cell."""
    kernel = call.settled.kernel
    whole = adapting.keep_whole_kernel(kernel.spatial_window, kernel.channel_mode)
    n_lead = 0 if len(call.settled.weights_shape) == 1 else 1 if whole.channel_mode == "tied" else 2
    weights = tf.reshape(dense, [*dense.shape[:n_lead], whole.n_anchors])
    settled = dataclasses.replace(call.settled, kernel=whole, weights_shape=tuple(weights.shape))
    return _conv(Call(call.names[:2], settled, {**call.options, "path": "auto"}), [x, weights])


def _share_out(call: Call, operands: Sequence[Any]) -> list[tuple[str, ...]]:
    """Return which gradients are found together: all that a tape asks for; in a graph also what others may ask for."""
    taped = [name for name, operand in zip(call.names, operands, strict=True) if _is_watched(operand)]
    untaped = [] if tf.executing_eagerly() else [name for name in call.names if name not in taped]
    apart = call.moves and not adapting.can_spread(call.settled.kernel)  # by x alone there are second derivatives
    shares = []
    for names in (taped, untaped):
        if apart or names is untaped:
            shares += [tuple(name for name in names if (name == "x") is is_x) for is_x in (True, False)]
        else:
            shares.append(tuple(names))
    return [share for share in shares if share]


def _find_needed(tensors: Sequence[Any]) -> list[bool]:
    """Return by which tensors gradients may be asked for: in a graph, by all."""
    return [not tf.executing_eagerly() or _is_watched(tensor) for tensor in tensors]


def _is_watched(tensor: Any) -> bool:
    """Return whether a tape or a forward accumulator may ask for a derivative by a tensor."""
    return bool(gradients_util.PossibleTapeGradientTypes([tensor]))


def _convolve(call: Call, operands: Sequence[Any], bias: Sequence[Any]) -> Any:
    """Return y by the core, with the bias."""
    x, weights, kernel = call.read(operands)
    y = _allocate(_find_y_shape(call.settled, x.shape), x.dtype)
    ik.conv(x, weights, kernel, **call.options, out=y)
    for values in bias:
        y += np.reshape(values, adapting.shape_bias(np.shape(values), weights.shape, kernel.n_dims))
    return y


def _convolve_back(call: Call, wrt: tuple[str, ...], grad_y: Any, operands: Sequence[Any]) -> list[Any]:
    """Return the gradients that `wrt` names by the core, each in its operand's dtype."""
    x, weights, kernel = call.read(operands)
    grads = ik.conv_backward(grad_y, x, weights, kernel, wrt=wrt, **call.options)
    dtypes = dict(zip(call.names, (operand.dtype for operand in operands), strict=True))
    return [np.ascontiguousarray(getattr(grads, name), dtypes[name]) for name in wrt]


def _run(function: Callable[..., Any], inputs: Sequence[Any], dtypes: Sequence[Any], shapes: Sequence[Any]) -> Any:
    """Call a function of arrays, which returns a list of them, now, or when the graph runs."""
    if tf.executing_eagerly():
        return [_as_tensor(array) for array in function(*map(np.asarray, inputs))]
    results = tf.numpy_function(function, inputs, dtypes, stateful=False, name=_OPERATION)
    for result, shape in zip(results, shapes, strict=True):
        result.set_shape(shape)
    return results


def _as_tensor(array: Any) -> Any:
    """Return a new array's own memory where TensorFlow may have it, else a copy."""
    if array.size and array.dtype.kind == "f" and array.ctypes.data % _ALIGNMENT == 0:  # bfloat16 has no DLPack
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.convert_to_tensor(array)


def _allocate(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return an array without values that TensorFlow need not copy."""
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(n_bytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + n_bytes].view(dtype).reshape(shape)


def _find_y_shape(settled: adapting.Settled, x_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return y's shape for x's, also where sizes were open."""
    d = settled.kernel.n_dims
    axes = zip(x_shape[-d:], settled.padding, settled.extent, settled.stride, strict=True)
    spatial = (
        -(-size // step) if pair is None else (size + sum(pair) - extent) // step + 1
        for size, pair, extent, step in axes
    )
    if len(settled.weights_shape) == 1:
        return (*x_shape[:-d], *spatial)
    return (*x_shape[: -d - 1], settled.filters, *spatial)


def _sum_up(call: Call, grad_y: Any, bias: Any) -> Any:
    """Return the gradient by the bias."""
    d = call.settled.kernel.n_dims
    by_filter = tf.reduce_sum(grad_y, list(range(grad_y.shape.rank - d, grad_y.shape.rank)))
    has_filters = len(call.settled.weights_shape) > 1
    total = tf.reduce_sum(by_filter, list(range(by_filter.shape.rank - has_filters)))
    return tf.reshape(total, bias.shape)


def _add(first: Any, second: Any) -> Any:
    """Return the sum of two gradients, either of which may be None."""
    return second if first is None else first if second is None else first + second
