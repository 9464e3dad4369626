"""Every adapter, on every engine: the reference's y and gradients, dtypes, and the core's own errors."""

import re
import runpy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels import testing

ADAPTERS = runpy.run_path(str(Path(__file__).with_name("rows.py")))["ADAPTERS"]
ENGINES = ("numba", "native", "auto")
FUNCTIONAL = ("torch", "tensorflow", "jax")
of_functions = pytest.mark.parametrize("adapter", FUNCTIONAL, indirect=True)


@pytest.fixture
def adapter(request):
    """An adapter that is at work; skips the test where its framework is missing."""
    pytest.importorskip(request.param.split()[0])
    with ADAPTERS[request.param]() as opened:
        yield opened


@dataclass(frozen=True)
class Problem:
    """One convolution, and which of its kernel's positions and widths are operands."""

    kernel: ik.InterpolatedKernel
    x_shape: tuple[int, ...]
    weights_shape: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)
    moves: tuple[str, ...] = ()

    def draw(self, dtype="float64"):
        """Return the operands by name, and a gradient of y, all normal."""
        rng = np.random.default_rng(7)
        arrays = {"x": rng.normal(size=self.x_shape), "weights": rng.normal(size=self.weights_shape)}
        y = testing.reference(arrays["x"], arrays["weights"], self.kernel, **self.options)
        arrays |= {name: getattr(self.kernel, name) for name in self.moves}
        return {name: array.astype(dtype) for name, array in arrays.items()}, rng.normal(size=y.shape).astype(dtype)

    def is_served_by(self, name):
        """Return whether an adapter takes the problem: Keras' layers have a bank of weights, a batch, and no modes."""
        has_options = "padding_mode" not in self.options and isinstance(self.options.get("padding", "valid"), str)
        is_bank = len(self.weights_shape) > 1 and len(self.x_shape) == self.kernel.n_dims + 2
        return name in FUNCTIONAL or (has_options and is_bank)

    def differentiate(self, adapter, engine, arrays, grad_y):
        """Return y and every gradient, by the names that `assert_matches_reference` knows."""

        def run(*operands):
            named = dict(zip(arrays, operands, strict=True))
            return adapter.conv(kernel=self.kernel, engine=engine, **self.options, **named)

        made = [adapter.make(array) for array in arrays.values()]
        y, grads = adapter.differentiate(run, made, adapter.make(grad_y))
        names = ["y", *(f"grad_{name}" for name in arrays)]
        return {name: adapter.read(result) for name, result in zip(names, (y, *grads), strict=True)}

    def check(self, adapter, engine, dtype="float64"):
        """Raise unless y and every gradient are the reference's within the bounds, in the dtypes of their arrays."""
        arrays, grad_y = self.draw(dtype)
        for quantity, result in self.differentiate(adapter, engine, arrays, grad_y).items():
            testing.assert_matches_reference(
                result, arrays["x"], arrays["weights"], self.kernel, quantity=quantity, grad_y=grad_y,
                dtype=None if quantity == "y" else arrays[quantity.removeprefix("grad_")].dtype, **self.options,
            )  # fmt: skip


def grid(window, spacing=2, interpolator="linear", **options):
    return ik.InterpolatedKernel(ik.grid_positions(window, spacing), window, interpolator, **options)


def scattered(lead, window=(4, 5), **options):
    positions = np.random.default_rng(3).uniform(0, np.array(window) - 1, (*lead, 5, len(window)))
    return ik.InterpolatedKernel(positions, window, "polyharmonic", **options)


def padded(mode, padding, x_shape=(2, 2, 7, 6), **options):
    return Problem(grid((5, 3)), x_shape, (3, 2, 6), {"padding": padding, "padding_mode": mode, **options})


def moving(interpolator, mode="separate", lead=(), batch=1):
    """Return a problem whose kernel's positions, and widths where it has them, are operands too.

    Positions are quarters and widths halves of cells: off all kinks, and at no cell so near to a cone's foot that its
    value, whose digits cancel there, is worse than the bounds know, which take the kernel as given.
    """
    rng, d = np.random.default_rng(0), 3 if mode == "interpolated" else 2
    positions = rng.integers(0, 6, (*lead, 4, d)) / 2 + 0.25
    kernel = ik.InterpolatedKernel(positions, (4, 5, 3)[:d], interpolator, channel_mode=mode)
    moves, axes = ("positions",), kernel.interpolator.width_axes
    if axes is not None:
        moves = ("positions", "widths")
        kernel = kernel.replace(widths=rng.integers(1, 4, positions.shape[: None if axes else -1]) / 2)
    weights_shape = (2, 3, 4) if mode == "separate" else (2, 4)
    options = {"stride": (2, 1), "padding": "same", "groups": 2}
    return Problem(kernel, (batch, 6, 5, 6), weights_shape, options, moves)


PROBLEMS = {
    "plain weights": Problem(grid((3, 5)), (2, 3, 8, 9), (6,), {"padding": "same"}),
    "plain image": Problem(grid((3, 5)), (8, 9), (6,), {"stride": (1, 2)}),
    "no batch": Problem(grid((3, 5)), (3, 8, 9), (4, 3, 6), {"padding": 1}),
    "1-D causal": Problem(grid((5,)), (2, 3, 9), (4, 3, 3), {"padding": "causal", "dilation": 2}),
    "1-D groups": Problem(grid((4,), 3), (2, 4, 13), (6, 2, 2), {"groups": 2, "stride": 3, "dilation": 2}),
    "even window": Problem(grid((4, 6), 3), (2, 3, 9, 11), (4, 3, 4), {"padding": "same", "stride": (2, 3)}),
    "depthwise": Problem(grid((5, 3)), (2, 3, 9, 8), (6, 1, 6), {"groups": 3, "padding": "same"}),
    "pads": Problem(grid((5, 5)), (2, 4, 9, 8), (6, 2, 9), {"groups": 2, "padding": ((1, 2), (0, 3))}),
    "stride and dilation": Problem(grid((3, 3)), (1, 2, 9, 8), (3, 2, 4), {"dilation": (2, 1), "stride": 2}),
    "reflect": padded("reflect", [(2, 1), (3, 0)]),
    "replicate": padded("replicate", (8, 1)),
    "circular": padded("circular", "same"),
    "symmetric": padded("symmetric", [(7, 1), (0, 2)]),
    "wide reflect": padded("reflect", [(13, 6), (3, 9)], (2, 2, 6, 1)),
    "wide circular": padded("circular", [(16, 7), (6, 14)]),
    "wide symmetric": padded("symmetric", [(16, 7), (6, 14)]),
    "modes": padded(("reflect", "zeros"), [(9, 3), (2, 11)]),
    "modes, same": padded(["symmetric", "circular"], "same", stride=2, dilation=(2, 1)),
    "per filter": Problem(scattered((4,)), (2, 4, 8, 9), (4, 2, 5), {"groups": 2}),
    "per channel": Problem(scattered((4, 2)), (2, 4, 8, 9), (4, 2, 5), {"groups": 2}),
    "tied": Problem(grid((3, 5), channel_mode="tied"), (2, 4, 8, 9), (6, 6), {"groups": 2, "padding": "same"}),
    "tied, per filter": Problem(scattered((3,), channel_mode="tied"), (2, 2, 6, 7), (3, 5)),
    "interpolated": Problem(scattered((), (4, 5, 2), channel_mode="interpolated"), (2, 4, 8, 9), (6, 5), {"groups": 2}),
    "interpolated, per filter": Problem(
        scattered((6,), (4, 5, 2), channel_mode="interpolated"), (2, 2, 9, 11), (6, 5), {"stride": 2}
    ),
    "3-D": Problem(grid((3, 4, 2), 1), (2, 2, 5, 6, 4), (3, 2, 24), {"stride": (1, 2, 1), "padding": "same"}),
    "3-D dilation": Problem(grid((2, 3, 2), 1), (1, 2, 5, 7, 4), (2, 1, 12), {"dilation": (1, 2, 2), "groups": 2}),
    "3-D modes": Problem(
        grid((2, 3, 4), 1), (2, 2, 4, 5, 6), (2, 2, 24),
        {"padding": ((3, 2), (0, 2), (1, 1)), "padding_mode": ["reflect", "circular", "reflect"]},
    ),
    "empty batch": Problem(grid((5, 5)), (0, 4, 9, 8), (6, 2, 9), {"groups": 2}),
    "empty batch, tied": Problem(grid((3, 4), channel_mode="tied"), (0, 6, 6, 7), (4, 4), {"groups": 2}),
    "empty batch, moving": moving("gaussian", batch=0),
    "gaussian": moving("gaussian"),
    "gaussian, per channel": moving("gaussian", lead=(2, 3)),
    "gaussian, tied": moving("gaussian", "tied", (2,)),
    "triangle, per filter": moving("triangle", lead=(2,)),
    "triangle, interpolated": moving("triangle", "interpolated", (2,)),
    "bilinear, tied": moving("bilinear", "tied"),
    "shares, interpolated": moving(ik.Bilinear(normalized=False), "interpolated"),
    "cone, per filter": moving("cone", lead=(2,)),
    "cone, tied": moving("cone", "tied", (2,)),
    "cone, interpolated": moving("cone", "interpolated"),
}  # fmt: skip


def of_problems(*names):
    """Run a test on these problems, each by the adapters that take it."""
    rows = [(adapter, name) for name in names for adapter in ADAPTERS if PROBLEMS[name].is_served_by(adapter)]
    return pytest.mark.parametrize(("adapter", "name"), rows, indirect=["adapter"])


@pytest.mark.parametrize("engine", ["numba", "native"])
@of_problems(*PROBLEMS)
def test_y_and_every_gradient_are_the_references(adapter, name, engine):
    """Each shape, padding, channel mode and set of moving anchors gives the reference's numbers within its bounds."""
    PROBLEMS[name].check(adapter, engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@of_problems("depthwise", "gaussian")
def test_dtypes_come_back_as_they_came(adapter, name, dtype, engine, find_dtype):
    """Narrow floats compute in float32 and are rounded once; a gradient has the dtype of what it is by."""
    PROBLEMS[name].check(adapter, engine, find_dtype(dtype))


@of_functions
@pytest.mark.parametrize("engine", ENGINES)
def test_dtypes_promote_as_in_numpy(adapter, engine):
    """float32 x with weights of float64 gives float64, and a gradient of float32 by x."""
    problem = PROBLEMS["depthwise"]
    arrays, grad_y = problem.draw()
    arrays["x"] = arrays["x"].astype("float32")
    results = problem.differentiate(adapter, engine, arrays, grad_y)
    assert {name: result.dtype for name, result in results.items()} == {
        "y": "float64", "grad_x": "float32", "grad_weights": "float64"
    }  # fmt: skip
    testing.assert_matches_reference(results["y"], *arrays.values(), problem.kernel, **problem.options)


@pytest.mark.parametrize("engine", ENGINES)
@of_problems("depthwise", "plain image")
def test_a_bias_is_one_value_a_filter(adapter, name, engine):
    """In whole numbers, y with a bias is y plus a filter's value, and the bias' gradient the sum of y's, exactly."""
    problem = PROBLEMS[name]
    arrays, grad_y = problem.draw()
    whole = {name: np.round(4 * array) for name, array in arrays.items()}
    problem = replace(problem, kernel=problem.kernel.replace(interpolator="nearest"))
    plain = len(problem.weights_shape) == 1
    bias = np.array(3.0) if plain else np.arange(1.0, 1 + len(arrays["weights"]))
    results = problem.differentiate(adapter, engine, {**whole, "bias": bias}, np.round(4 * grad_y))
    y = testing.reference(*whole.values(), problem.kernel, **problem.options)
    np.testing.assert_array_equal(results["y"], y + (bias if plain else bias[:, None, None]))
    np.testing.assert_array_equal(results["grad_bias"], np.round(4 * grad_y).sum(axis=None if plain else (0, 2, 3)))


KERNEL, SPLATS = grid((5, 5)), grid((5, 5), 2, "gaussian")
X, WEIGHTS = np.ones((2, 4, 9, 8)), np.ones((6, 4, 9))
OF_THE_CORE = {
    "kernel": {"kernel": "linear"},
    "axes": {"x": X[0, 0, 0]},
    "anchors": {"weights": WEIGHTS[..., 1:]},
    "channels": {"weights": WEIGHTS[:, 1:]},
    "window": {"x": X[..., :3]},
    "groups": {"groups": 3},
    "type of groups": {"groups": True},
    "stride": {"stride": 0},
    "type of stride": {"stride": 1.5},
    "types of stride": {"stride": (1.0, 1)},
    "dilation": {"dilation": 1.5},
    "padding": {"padding": "full"},
    "padding mode": {"padding_mode": "constant"},
    "modes": {"padding_mode": ("zeros", "reflect", "zeros")},
    "path": {"path": "fastest"},
    "accuracy": {"accuracy": "high"},
}  # fmt: skip
OF_ADAPTERS = {
    "integers": (TypeError, "`x` must be a floating ", {"x": X.astype(int)}),
    "bool": (TypeError, "`weights` must be a floating ", {"weights": WEIGHTS > 0}),
    "complex": (TypeError, "`x` must be real, got .*complex128", {"x": X + 1j}),
    "engine": (ValueError, "`engine` must be one of auto, native, numba, got 'cuda'", {"engine": "cuda"}),
    "native path": (
        ValueError, "`path`='direct' is this project's own and needs engine='numba'",
        {"engine": "native", "path": "direct"},
    ),
    "bias": (ValueError, r"`bias` must have shape \(6,\), one a filter, got \(4,\)", {"bias": np.ones(4)}),
    "positions": (ValueError, "`positions` cannot be learned: Linear", {"positions": np.ones((9, 2))}),
    "widths": (ValueError, "`widths` cannot be learned: Linear", {"widths": np.ones((9, 2))}),
    "shape of positions": (
        ValueError, r"`positions` must have shape \(9, 2\)", {"kernel": SPLATS, "positions": np.ones((8, 2))}
    ),
    "native positions": (
        ValueError, "engine='native' learns those of splats and cones",
        {"kernel": SPLATS.replace(interpolator="rbf"), "positions": np.ones((9, 2)), "engine": "native"},
    ),
}  # fmt: skip


def assert_raises(adapter, mistake, error, message):
    """Raise unless every engine, or the mistake's own, answers a call with this error."""
    arguments = {"x": X, "weights": WEIGHTS, "kernel": KERNEL, **mistake}
    made = {name: adapter.make(value) if isinstance(value, np.ndarray) else value for name, value in arguments.items()}
    for engine in ENGINES:
        with pytest.raises(error, match=message):
            adapter.conv(**{"engine": engine, **made})


@of_functions
@pytest.mark.parametrize("name", OF_THE_CORE)
def test_a_mistake_is_the_core_error(adapter, name):
    """What the core refuses is refused by every engine with the core's type and words."""
    mistake = OF_THE_CORE[name]
    with pytest.raises((TypeError, ValueError), match="`") as expected:
        ik.conv(**{"x": X, "weights": WEIGHTS, "kernel": KERNEL, **mistake})
    assert_raises(adapter, mistake, expected.type, f"^{re.escape(str(expected.value))}$")


@of_functions
@pytest.mark.parametrize("name", OF_ADAPTERS)
def test_a_mistake_is_the_same_error_everywhere(adapter, name):
    """What the core alone does not see, dtypes of tensors among it, has one type of error and one text."""
    error, message, mistake = OF_ADAPTERS[name]
    assert_raises(adapter, mistake, error, message)


@of_functions
@pytest.mark.parametrize("engine", ENGINES)
def test_a_named_path_belongs_to_numba(adapter, engine):
    """`path="reference"` computes in float64, so that float32 comes back rounded once; native refuses it."""
    problem = PROBLEMS["depthwise"]
    arrays, _ = problem.draw("float32")
    call = lambda: adapter.conv(  # noqa: E731 # one call, in two places
        *map(adapter.make, arrays.values()), problem.kernel, path="reference", engine=engine, **problem.options
    )
    if engine == "native":
        with pytest.raises(ValueError, match="`path`='reference' is this project's own and needs engine='numba'"):
            call()
    else:
        expected = ik.conv(*arrays.values(), problem.kernel, path="reference", **problem.options)
        np.testing.assert_array_equal(adapter.read(call()), expected)
