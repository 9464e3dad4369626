"""Mistakes that users make, one a row, and the page of the documentation that shows what they are told.

`TABLE` lists public functions, each with a call that is right (`given`) and, by the error that is raised and the
argument that its message names, what is wrong: a value of this argument, or of several that do not go together. So

    Calls("conv", {"x": "x", "weights": "weights", "kernel": "kernel"}, ValueError={"stride": ["0"]})

is one row, `conv(x, weights, kernel, stride=0)`. Everything is text as a user writes it, in a program that begins with
`PREAMBLE`. No row compiles a loop: what is wrong is found before anything is computed.

`python tests/bad_inputs.py` writes docs/errors.md (or another file that is named); the tests run every row, and see
that the page is current.
"""

import inspect
import itertools
import sys
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"

PREAMBLE = """\
import numpy
from interpolated_kernels import *
from interpolated_kernels import testing

x = numpy.zeros((1, 2, 9, 9))  # batch, channels, rows, columns
weights = numpy.zeros((4, 2, 9))  # filters, channels, anchors
y = numpy.zeros((1, 4, 5, 5))
grid = grid_positions((5, 5), 2)  # 9 anchors
kernel = InterpolatedKernel(grid, (5, 5), "linear")
dense = numpy.zeros((4, 2, 5, 5))
"""


INTRODUCTION = """\
# Errors

What is wrong with a call is found before anything is computed, and said in one sentence: the argument in backticks, the
rule, what came (cut short where it is long) and, where the rule does not say, what to do. It is a `TypeError` where the
type is wrong, a `ValueError` where the value is, and an `AnchorError`, which is a `ValueError`, where an interpolator
cannot serve the anchors. Nothing is rounded, cast or repeated silently.

This page is made by `make errors` from the table that the tests run, `tests/bad_inputs.py`. Calls follow these lines:

```
PREAMBLE
```
"""


class Calls:
    """Calls of one function that are wrong, by the error and the argument that its message names."""

    def __init__(self, function, given, group="", **errors):
        self.function, self.given, self.group, self.errors = function, given, group, errors

    def list_mistakes(self, names):
        """Return a `Mistake` for each row; `names` is the program's, after `PREAMBLE`."""
        taken = inspect.signature(eval(self.function, names)).parameters
        return [
            Mistake(self.function, error, argument, self._write(taken, argument, wrong))
            for error, arguments in self.errors.items()
            for argument, values in arguments.items()
            for wrong in values
        ]

    def _write(self, taken, argument, wrong):
        """Return the call as text: arguments by position as far as they go, the others by name."""
        values = {**self.given, **(wrong if isinstance(wrong, dict) else {argument: wrong})}
        by_position = [
            name
            for name, entry in itertools.takewhile(lambda item: item[0] in values, taken.items())
            if entry.kind is entry.POSITIONAL_OR_KEYWORD
        ]
        by_name = [f"{name}={value}" for name, value in values.items() if name not in by_position]
        return f"{self.function}({', '.join([*(values[name] for name in by_position), *by_name])})"


class Mistake(NamedTuple):
    """One row: the function, the error's type, the argument that its message names in backticks, and the call."""

    function: str
    error: str
    argument: str
    call: str


ARRAYS = {"x": "x", "weights": "weights", "kernel": "kernel"}
KERNEL = {"positions": "grid", "window": "(5, 5)", "interpolator": "'linear'"}
SHAPES = {"x_shape": "(1, 2, 9, 9)", "weights_shape": "(4, 2, 9)", "kernel": "kernel"}

NO_ARRAYS = ["None", "'abc'", "numpy.zeros((1, 2, 9, 9), int)", "x + 1j", "x > 0", "numpy.ma.masked_array(x)", "kernel"]
NO_KERNELS = ["None", "'linear'", "weights", "InterpolatedKernel"]
OPTIONS = {
    "TypeError": {
        "stride": ["None", "1.5", "'2'", "True", "(1, 2.0)", "{1: 1, 2: 2}"],
        "padding": ["None", "1.5", "[(1, 2), (1, None)]", "numpy.array([0.5, 1])"],
        "dilation": ["None", "2.0"],
        "groups": ["None", "1.0", "'1'", "True"],
        "path": [{"path": "{'direct'}"}],
        "accuracy": [{"accuracy": "0.1"}],
        "max_memory": ["1e9", "'2GB'"],
        "strides": ["2"],
        "pad": ["1"],
    },
    "ValueError": {
        "stride": ["0", "-1", "(1, 2, 3)", "()", "10**400"],
        "padding": ["-1", "'full'", "'SAME'", "'causal'", "(1, 2, 3)", "[(1, 2, 3), (1, 2)]", "10**400", "10**18"],
        "padding_mode": ["'constant'", "None", "3", "('zeros', 'reflect', 'zeros')", "('zeros', 'edge')"],
        "dilation": ["0", "(2,)"],
        "window": [{"dilation": "10**9"}],
        "groups": ["0", "-2", "3"],
        "path": ["'fast'", "None", "['auto']"],
        "accuracy": ["'high'", "None"],
        "max_memory": ["-1"],
    },
}


def extend(rows, **more):
    """Return rows by error and argument, with more of them before or after those of the same argument."""
    return {
        error: {
            argument: [*more.get(error, {}).get(argument, []), *rows.get(error, {}).get(argument, [])]
            for argument in dict.fromkeys([*more.get(error, {}), *rows.get(error, {})])
        }
        for error in dict.fromkeys([*rows, *more])
    }


def drop(rows, *arguments):
    """Return rows by error and argument, without those of some arguments."""
    return {error: {name: rows[error][name] for name in rows[error] if name not in arguments} for error in rows}


TABLE = [
    Calls(
        "InterpolatedKernel",
        KERNEL,
        "Kernels",
        TypeError={
            "positions": ["None", "'abc'", "[['a', 'b']]", "grid + 1j", "grid > 0", "numpy.ma.masked_array(grid)"],
            "window": ["None", "'5'", "5.0", "(5, 5.0)", "(True, 5)", "{5}"],
            "interpolator": ["None", "3", "Linear", "['linear']"],
            "widths": [
                {"widths": "'wide'", "interpolator": "'gaussian'"},
                {"widths": "numpy.ma.masked_array(grid)", "interpolator": "'gaussian'"},
            ],
            "anchors": ["grid"],
        },
        ValueError={
            "positions": [
                "[1, 2]",
                "[[0, 0], [1]]",
                "numpy.zeros((0, 2))",
                "numpy.zeros((1, 1, 1, 1, 2))",
                {"positions": "numpy.zeros((1, 4))", "window": "(5, 5, 5, 5)", "interpolator": "'voronoi'"},
            ],
            "window": ["0", "(5, -5)", "(5, 5, 5)", "()", "10**400", "(99999999, 99999999)"],
            "interpolator": ["'spline'", "''"],
            "channel_mode": ["None", "'shared'", "['tied']"],
            "widths": ["grid", {"widths": "[1.0]", "interpolator": "'gaussian'"}],
        },
        AnchorError={
            "positions": [
                "grid * numpy.nan",
                "grid * numpy.inf",
                "grid[:-1]",
                "grid[[0, 0]]",
                {"positions": "[[0.5, 0]]", "interpolator": "'dilated'"},
                {"positions": "[[9, 0]]", "interpolator": "'dilated'"},
                {"positions": "[[0, 0], [0, 0]]", "interpolator": "'polyharmonic'"},
                {"positions": "[[0, 0], [0, 1]]", "interpolator": "'rbf'"},
                {"positions": "[[0], [1], [3]]", "window": "4", "interpolator": "'keys'"},
            ],
            "widths": [
                {"widths": "grid * numpy.nan", "interpolator": "'gaussian'"},
                {"widths": "numpy.zeros(9)", "interpolator": "'cone'"},
            ],
        },
    ),
    Calls(
        "InterpolatedKernel.from_dict",
        {"spec": "kernel.to_dict()"},
        "Kernels",
        TypeError={
            "spec": [
                "None",
                "[]",
                "kernel",
                "{**kernel.to_dict(), 'interpolator': 'linear'}",
                "{**kernel.to_dict(), 'interpolator': {'name': 'linear', 'degree': 3}}",
            ],
            "window": [{"spec": "{**kernel.to_dict(), 'window': None}"}],
            "normalized": [{"spec": "{**kernel.to_dict(), 'interpolator': {'name': 'cone', 'normalized': 'false'}}"}],
            "degree": [{"spec": "{**kernel.to_dict(), 'interpolator': {'name': 'bspline', 'degree': 3.0}}"}],
        },
        ValueError={
            "spec": [
                "{}",
                "{**kernel.to_dict(), 'weights': 1}",
                "{**kernel.to_dict(), 'interpolator': {'name': 'spline'}}",
                "{**kernel.to_dict(), 'interpolator': {'name': ['linear']}}",
            ],
            "channel_mode": [{"spec": "{**kernel.to_dict(), 'channel_mode': 1}"}],
        },
    ),
    Calls(
        "kernel.replace",
        {},
        "Kernels",
        TypeError={"window": ["None"], "padding": ["1"]},
        ValueError={"channel_mode": ["'all'"]},
        AnchorError={"positions": ["grid[:4] * 2 + numpy.nan"]},
    ),
    Calls(
        "kernel.resized",
        {"window": "(9, 9)"},
        "Kernels",
        TypeError={"window": ["None", "9.0"]},
        ValueError={"window": ["0", "(9,)", "10**400"]},
    ),
    Calls(
        "Polyharmonic",
        {},
        "Interpolators",
        TypeError={
            "order": ["None", "1.0", "True", "'1'"],
            "smoothing": ["None", "'0'", "True"],
            "degree": ["None", "0.5"],
        },
        ValueError={
            "order": ["0", "-1", "10**6"],
            "smoothing": ["-1", "numpy.nan", "numpy.inf", {"smoothing": "1", "order": "2", "degree": "0"}],
            "degree": ["-2", "3"],
        },
    ),
    Calls(
        "RBF",
        {},
        "Interpolators",
        TypeError={"shape": ["None", "'1'", "True"], "degree": ["1.0", "'1'", "True"], "smoothing": ["None", "[0.0]"]},
        ValueError={
            "function": ["None", "'spline'", "['linear']"],
            "shape": ["0", "-1", "numpy.nan", "10**400"],
            "degree": ["-2", "10**6"],
            "smoothing": ["-1", "numpy.inf"],
        },
    ),
    Calls(
        "BSpline",
        {},
        "Interpolators",
        TypeError={"degree": ["None", "3.0", "True", "'3'"]},
        ValueError={"degree": ["-1", "10**6", "10**400"]},
    ),
    Calls(
        "InverseDistance",
        {},
        "Interpolators",
        TypeError={"power": ["None", "'2'", "True", "2j"]},
        ValueError={"power": ["0", "-1", "numpy.nan", "numpy.inf"]},
    ),
    Calls(
        "Cone",
        {},
        "Interpolators",
        TypeError={"radius": ["None", "'1'", "True"], "normalized": ["None", "1", "'false'"]},
        ValueError={"radius": ["0", "-0.2", "numpy.nan", "numpy.inf"]},
    ),
    *(
        Calls(name, {}, "Interpolators", TypeError={"normalized": ["None", "0", "'false'", "numpy.array(True)"]})
        for name in ("Gaussian", "Triangle", "Bilinear")
    ),
    Calls(
        "Symmetric",
        {"interpolator": "Linear()"},
        "Interpolators",
        TypeError={
            "interpolator": ["None", "'linear'", "Linear", "Symmetric(Linear())"],
            "group": ["None", "5", "('a',)", "(0.5,)", "(True,)", "{0}"],
        },
        ValueError={"group": ["'mirrors'", "''", "(-1,)"], "spec": [{"interpolator": "{'name': 'spline'}"}]},
    ),
    Calls(
        "register",
        {"name": "'mine'", "cls": "Linear"},
        "Interpolators",
        TypeError={"name": ["None", "5"], "cls": ["None", "Linear()", "dict"]},
        ValueError={"name": ["'cubic'"]},
    ),
    Calls(
        "grid_positions",
        {"window": "(5, 5)", "spacing": "2"},
        "Layouts",
        TypeError={
            "window": ["None", "5.0", "'5'"],
            "spacing": ["'2'", "(2, None)", "True", "2j"],
            "counts": [{"spacing": "None", "counts": "2.0"}, {"spacing": "None", "counts": "(2, '2')"}],
            "centred": ["None", "'no'", "1"],
        },
        ValueError={
            "window": ["0", "()", "(5, 5, 5, 5, 5)", "10**400"],
            "spacing": [
                "0",
                "-1",
                "numpy.inf",
                "numpy.nan",
                "(1, 2, 3)",
                "None",
                "1e-12",
                {"spacing": "2", "counts": "2"},
            ],
            "counts": [{"spacing": "None", "counts": value} for value in ("0", "-1", "(1, 2, 3)", "10**9")],
        },
    ),
    Calls(
        "random_positions",
        {"window": "(9, 9)", "n": "5", "rng": "0"},
        "Layouts",
        TypeError={"window": ["None", "9.5"], "n": ["None", "5.0", "True"], "rng": ["'seed'", "0.5"]},
        ValueError={
            "window": ["-9", "(9, 9, 9, 9, 9)"],
            "n": ["0", "-1", "10**12", {"window": "1", "n": "2"}],
            "rng": ["-1"],
        },
    ),
    Calls(
        "ring_positions",
        {"window": "(9, 9)", "radii": "[0, 2]", "counts": "[1, 4]"},
        "Layouts",
        TypeError={
            "window": ["None"],
            "radii": ["None", "2", "[0, 'a']", "[0, None]"],
            "counts": ["None", "4", "[1, 4.0]"],
        },
        ValueError={
            "window": ["9", "(9, 9, 9)"],
            "radii": ["[0]", "[]", "[0, -1]", "[0, numpy.nan]"],
            "counts": ["[2, 4]", "[1, 0]", "[1, 10**9]"],
        },
    ),
    Calls(
        "peripheral_positions",
        {"window": "15"},
        "Layouts",
        TypeError={"window": ["None", "'15'"], "core": ["None", "1.0", "True"], "ratio": ["None", "'2'"]},
        ValueError={
            "window": ["0"],
            "core": ["-1", {"window": "2**30", "core": "10**9"}],
            "ratio": ["0.5", "numpy.nan", "numpy.inf"],
        },
    ),
    Calls(
        "symmetric_positions",
        {"positions": "grid", "window": "(5, 5)", "group": "'flips'"},
        "Layouts",
        TypeError={"positions": ["None", "'abc'"], "window": ["None"], "group": ["None", "5", "(0.5,)", "('a',)"]},
        ValueError={
            "positions": ["grid[None]"],
            "window": ["(5, 5, 5)", {"window": "(5, 6)", "group": "'rotations'"}],
            "group": ["'mirrors'", "(2,)", "(-1,)"],
        },
        AnchorError={"positions": ["grid[1:]"]},
    ),
    Calls(
        "densify",
        {"weights": "weights", "kernel": "kernel"},
        "Dense kernels",
        TypeError={
            "weights": ["None", "'abc'", "numpy.zeros(9, int)", "weights * 1j", "numpy.ma.masked_array(weights)"],
            "kernel": NO_KERNELS,
            "dtype": ["'float32'"],
        },
        ValueError={"weights": ["numpy.zeros(8)", "numpy.zeros(())", "numpy.zeros((4, 9))", "[[1.0, 2.0], [1.0]]"]},
    ),
    Calls(
        "densify_backward",
        {"grad_dense": "dense", "weights": "weights", "kernel": "kernel"},
        "Dense kernels",
        TypeError={"grad_dense": ["None", "dense > 0"], "weights": ["None"], "kernel": ["None"], "wrt": ["None", "3"]},
        ValueError={
            "grad_dense": ["dense[0]", "dense[..., 1:]"],
            "weights": ["weights[..., 1:]"],
            "wrt": ["'x'", "['positions']", "[None]", "['weight']"],
        },
    ),
    Calls(
        "from_dense",
        {"dense": "dense", "kernel": "kernel"},
        "Dense kernels",
        TypeError={"dense": ["None", "numpy.zeros((5, 5), int)"], "kernel": ["None", "dense"]},
        ValueError={
            "dense": ["dense[..., 1:]", "dense[0]", "dense * numpy.nan"],
            "positions": [{"kernel": "kernel.replace(positions=[grid, grid + 0.5], interpolator='voronoi')"}],
        },
    ),
    Calls(
        "initial_weights",
        {"kernel": "kernel", "filters": "4", "channels": "2", "rng": "0"},
        "Dense kernels",
        TypeError={
            "kernel": ["None"],
            "filters": ["None", "4.0", "True"],
            "channels": ["'2'"],
            "rng": ["'seed'", "1.5"],
        },
        ValueError={"filters": ["0"], "channels": ["-1"], "rng": ["-1"]},
        AnchorError={"positions": [{"kernel": "InterpolatedKernel([[50.0, 50.0]], (5, 5), 'triangle')"}]},
    ),
    Calls(
        "conv",
        ARRAYS,
        "Convolutions",
        **extend(
            OPTIONS,
            TypeError={
                "x": NO_ARRAYS[:-1],
                "kernel": [*NO_KERNELS, {"weights": "kernel", "kernel": "weights"}],
                "weights": ["None", "'abc'", "[None]"],
                "missing": [{"missing": "1.5"}],
                "out": ["'file'", "[0.0]", "numpy.zeros((1, 4, 5, 5), 'float32')"],
            },
            ValueError={
                "x": ["[[1.0, 2.0], [1.0]]", "x[0, 0]", {"x": "x[:, :1]", "groups": "2"}],
                "weights": ["weights[..., 1:]", "weights[0]", "weights[:, :1]", "numpy.zeros(())"],
                "window": [{"x": "x[:, :, :4]"}, {"x": "x[:, :, :, :4]"}],
                "missing": ["None", "'omit'"],
                "out": [
                    "numpy.zeros((1, 4, 5, 6))",
                    "numpy.broadcast_to(numpy.zeros(5), (1, 4, 5, 5))",
                    "numpy.lib.stride_tricks.as_strided(numpy.zeros(5), (1, 4, 5, 5), (0, 0, 0, 8))",
                    {"x": "y", "weights": "weights[:, :1]", "groups": "4", "out": "y", "padding": "'same'"},
                ],
            },
        ),
    ),
    Calls(
        "conv_backward",
        {"grad_y": "y", **ARRAYS},
        "Convolutions",
        **extend(
            drop(OPTIONS, "strides", "pad", "window"),
            TypeError={"grad_y": ["None", "y > 0"], "kernel": ["None"], "wrt": ["None", "1"], "out": ["y"]},
            ValueError={
                "grad_y": ["y[..., 1:]", "y[0, 0]"],
                "wrt": [
                    "'y'",
                    "('x', 'positions')",
                    "iter(['weight'])",
                    "[['x']]",
                    {"kernel": "kernel.replace(interpolator='gaussian')", "wrt": "'widths'"},
                ],
            },
        ),
    ),
    Calls(
        "conv_transpose",
        {"x": "y", "weights": "weights", "kernel": "kernel"},
        "Convolutions",
        TypeError={
            "x": ["None", "numpy.zeros((1, 4, 5, 5), int)"],
            "kernel": ["None"],
            "stride": ["None", "1.5"],
            "output_padding": ["None", "1.0"],
            "missing": ["'renormalize'"],
            "out": ["[0.0]"],
        },
        ValueError={
            "x": ["x", "y[0, 0]", {"padding": "9"}],
            "stride": ["0"],
            "padding": ["'full'"],
            "groups": ["0", "3"],
            "output_padding": ["-1", "1", "(1, 2, 3)", {"padding": "'same'", "output_padding": "1"}],
            "out": ["numpy.zeros((1, 2, 9, 8))"],
        },
    ),
    Calls(
        "conv_transpose_backward",
        {"grad_y": "x", "x": "y", "weights": "weights", "kernel": "kernel"},
        "Convolutions",
        TypeError={"grad_y": ["None"], "kernel": ["None"], "wrt": ["None"], "accuracy": [{"accuracy": "1.5"}]},
        ValueError={"grad_y": ["y"], "wrt": ["'grad_y'", "('x', None)"], "output_padding": ["5"]},
    ),
    Calls(
        "plan",
        SHAPES,
        "Plans",
        **extend(
            drop(OPTIONS, "pad"),
            TypeError={
                "x_shape": ["None", "9", "'1x1x9x9'", "(1, 2, 9.0, 9)", "(1, 2, None, 9)"],
                "weights_shape": ["None", "(4, 2.0, 9)"],
                "kernel": ["None", "(4, 2, 9)"],
            },
            ValueError={
                "x_shape": ["(-1, 2, 9, 9)", "(1, 2, 10**400, 9)"],
                "x": [{"x_shape": "(9, 9)"}],
                "weights_shape": ["(-4, 2, 9)"],
                "weights": [{"weights_shape": "(4, 2, 8)"}, {"weights_shape": "()"}],
                "dtype": ["None", "'float16'", "'double precision'", "3"],
                "device": ["None", "'gpu'", "'cuda:-1'"],
                "missing": [{"device": "'cuda:0'", "missing": "'renormalize'"}],
            },
        ),
    ),
    Calls(
        "plan((1, 2, 9, 9), (4, 2, 9), kernel).backward",
        {"grad_y": "y.astype('float32')", "x": "x.astype('float32')", "weights": "weights.astype('float32')"},
        "Plans",
        TypeError={"wrt": ["None"]},
        ValueError={"wrt": ["'y'"], "x": ["y"], "grad_y": ["x"], "weights": ["y"]},
    ),
    Calls(
        "fit",
        {"x": "x", "y": "y", "kernel": "kernel"},
        "Fits",
        TypeError={
            "x": ["None", "x > 0"],
            "y": ["None", "'abc'"],
            "kernel": ["None", "y"],
            "ridge": ["None", "'0'", "True"],
            "sample_weights": ["'abc'", "numpy.ones((1, 4, 5, 5), int)"],
            "intercept": ["None", "1", "'yes'"],
            "total": ["'one'", "[None]"],
            "max_memory": ["1e9"],
            "stride": ["None"],
            "path": ["'direct'"],
        },
        ValueError={
            "x": ["x[0]", "x + numpy.nan", "x + numpy.inf"],
            "y": ["y[..., 1:]", {"x": "x[0, 0]"}, "y + numpy.nan"],
            "ridge": ["-1", "numpy.nan", "numpy.inf"],
            "missing": ["None", "'renormalize'"],
            "sample_weights": ["-numpy.ones((1, 4, 5, 5))", "numpy.ones(4)", "y + numpy.nan"],
            "total": ["[1.0, 2.0]", "numpy.nan"],
            "max_memory": ["-1"],
            "groups": ["0"],
        },
    ),
    Calls("report", {"kernel": "kernel"}, "Kernels", TypeError={"kernel": NO_KERNELS}),
    Calls(
        "save",
        {"path": "'kernel.npz'", "kernel": "kernel"},
        "Files",
        TypeError={
            "path": ["None", "3"],
            "kernel": ["None", "weights"],
            "weights": ["'abc'", "numpy.zeros(9, int)"],
            "bias": ["[None]"],
        },
        ValueError={
            "path": ["'kernel'", "'kernel.txt'", {"path": "'kernel.json'", "weights": "weights"}],
            "weights": ["numpy.zeros(8)"],
            "bias": ["[[1.0], [1.0, 2.0]]"],
        },
    ),
    Calls("load", {"path": "'kernel.npz'"}, "Files", TypeError={"path": ["None", "3", "kernel"]}),
    Calls(
        "from_checkpoint",
        {"arrays": "{'conv': dense}", "kernel": "kernel"},
        "Files",
        TypeError={"arrays": ["None", "3"], "kernel": ["None"]},
        ValueError={"arrays": ["{}", "{'conv': y[..., 1:]}"]},
    ),
    Calls(
        "from_dcls",
        {"state": "{'weight': weights, 'P': numpy.zeros((2, 4, 2, 9))}", "window": "(5, 5)", "version": "'v1'"},
        "Files",
        TypeError={"state": ["None", "[]", "{'weight': weights, 'P': 'abc'}"], "window": ["None", "5.0"]},
        ValueError={
            "state": ["{}", "{'weight': weights, 'P': weights}"],
            "window": ["0"],
            "version": ["None", "'v2'", "['v1']"],
        },
    ),
    Calls(
        "set_num_threads",
        {"n": "1"},
        "",  # not on the page: how many there are is the machine's
        TypeError={"n": ["None", "'2'", "1.0", "True"]},
        ValueError={"n": ["0", "-1", "10**9"]},
    ),
    Calls("calibrate", {}, "The machine", ValueError={"device": ["None", "'gpu'", "0"]}),
    Calls(
        "warmup",
        {},
        "The machine",
        TypeError={"dtypes": ["None", "'float32'", "3"]},
        ValueError={"dtypes": ["['float16']", "[None]"]},
    ),
    Calls(
        "testing.reference",
        ARRAYS,
        "The oracle kit",
        TypeError={"kernel": ["None"], "strides": ["2"], "stride": ["None"]},
        ValueError={"padding": ["'full'"]},
    ),
    Calls(
        "testing.reference_backward",
        {"grad_y": "y", **ARRAYS},
        "The oracle kit",
        TypeError={"kernel": ["None"], "strides": ["2"], "wrt": ["None"]},
        ValueError={"wrt": ["'y'"]},
    ),
    Calls(
        "testing.reference_transpose",
        {"x": "y", "weights": "weights", "kernel": "kernel"},
        "The oracle kit",
        TypeError={"kernel": ["None"], "strides": ["2"]},
        ValueError={"output_padding": ["5"]},
    ),
    Calls(
        "testing.assert_matches_reference",
        {"actual": "y", **ARRAYS},
        "The oracle kit",
        TypeError={"strides": ["2"]},
        ValueError={"quantity": ["'z'"], "grad_y": [{"quantity": "'grad_x'"}]},
    ),
    Calls(
        "testing.error_bound",
        ARRAYS,
        "The oracle kit",
        TypeError={"strides": ["2"]},
        ValueError={"quantity": ["'z'"], "arithmetic": ["'float8'"]},
    ),
]


LAYER_OPTIONS = {
    "TypeError": {
        "kernel": ["None", "'linear'", "weights"],
        "groups": ["None", "1.0"],
    },
    "ValueError": {
        "kernel": ["InterpolatedKernel([[0], [2]], 3, 'linear')"],
        "groups": ["0"],
        "engine": ["None", "'cuda'"],
        "path": ["'fast'", "None", {"engine": "'native'", "path": "'direct'"}],
        "accuracy": ["None", "'high'"],
    },
}
TORCH_LAYER = {"in_channels": "2", "out_channels": "4", "kernel": "kernel"}
KERAS_LAYER = {"filters": "4", "kernel": "kernel"}

LAYERS = {
    "torch": [
        Calls(
            "interpolated_kernels_torch.InterpolatedConv2d",
            TORCH_LAYER,
            **extend(
                LAYER_OPTIONS,
                TypeError={
                    "in_channels": ["None", "2.0", "True", "'2'"],
                    "out_channels": ["None", "4.0"],
                    "stride": ["None", "1.5"],
                    "padding": ["None", "0.5"],
                    "dilation": ["'2'"],
                },
                ValueError={
                    "in_channels": ["0", "-2"],
                    "out_channels": ["0"],
                    "stride": ["0", "(1, 2, 3)"],
                    "padding": ["-1", "'full'"],
                    "padding_mode": ["None", "'constant'"],
                    "positions": [{"learn_positions": "True"}],
                    "widths": [{"learn_widths": "True"}],
                },
            ),
        ),
    ],
    "keras": [
        Calls(
            "interpolated_kernels_keras.InterpolatedConv2D",
            KERAS_LAYER,
            **extend(
                drop(LAYER_OPTIONS, "groups"),
                TypeError={"filters": ["None", "4.0", "True", "'4'"]},
                ValueError={
                    "filters": ["0", "-4"],
                    "data_format": ["'rows_first'"],
                    "positions": [{"learn_positions": "True"}],
                    "widths": [{"learn_widths": "True"}],
                },
            ),
        ),
    ],
}
"""The same of layers, by framework, which are not on the page: their options raise what `conv`'s do."""


def make_names():
    """Return the names of a program after `PREAMBLE`."""
    names = {}
    exec(PREAMBLE, names)
    return names


def list_mistakes(table=TABLE):
    """Return all rows, each once."""
    names = make_names()
    return list(dict.fromkeys(row for calls in table for row in calls.list_mistakes(names)))


def find_error(mistake, names):
    """Return what a mistake raises, or None."""
    try:
        eval(mistake.call, dict(names))
    except Exception as error:
        return error
    return None


def write_page():
    """Return the documentation's page of errors: a section a group, a table a function, a line a mistake."""
    names = make_names()
    lines = [INTRODUCTION.replace("PREAMBLE", PREAMBLE.strip())]
    for group in dict.fromkeys(calls.group for calls in TABLE if calls.group):
        lines.append(f"\n## {group}\n")
        for calls in (calls for calls in TABLE if calls.group == group):
            lines += [f"\n### {calls.function}\n", "| argument | you write | you read |", "|---|---|---|"]
            rows = sorted(calls.list_mistakes(names), key=lambda row: row.argument)
            lines += [_write_line(row, find_error(row, names)) for row in dict.fromkeys(rows)]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _write_line(mistake, error):
    message = " ".join(str(error).split()).replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")
    call = mistake.call.replace("|", "\\|")
    return f"| `{mistake.argument}` | `{call}` | {type(error).__name__}: {message} |"


if __name__ == "__main__":
    Path(*sys.argv[1:] or [PAGE]).write_text(write_page())
