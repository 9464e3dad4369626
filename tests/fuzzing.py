"""Files and calls with something random wrong in them, each made from a seed and its number alone.

Whatever comes of them is right, or an error that a user of Python expects: `EXPECTED`. Files are kernels that `save`
wrote, of every interpolator, with some bytes changed, lost or added. Calls are those of `bad_inputs`, before their
mistakes, with some arguments replaced by whatever `VALUES` holds.
"""

import inspect
import runpy
from pathlib import Path

import numpy as np

import interpolated_kernels as ik

bad_inputs = runpy.run_path(str(Path(__file__).parent / "bad_inputs.py"))

EXPECTED = (TypeError, ValueError, FileNotFoundError)
VALUES = (
    "None",
    "True",
    "0",
    "1",
    "2",
    "3",
    "-1",
    "2**40",
    "2**62",
    "2**63",
    "-2**63",
    "10**400",
    "0.0",
    "1.5",
    "-0.5",
    "1e-300",
    "1e300",
    "numpy.nan",
    "numpy.inf",
    "1j",
    "''",
    "'valid'",
    "'same'",
    "'circular'",
    "'x'",
    "'linear'",
    "'\\0'",
    "b'same'",
    "()",
    "[]",
    "{}",
    "set()",
    "(1, 2)",
    "(2, 1.5)",
    "[[1, 2], [0, 3]]",
    "[[1], [2, 3]]",
    "[None]",
    "range(2)",
    "iter([1])",
    "numpy.int8(1)",
    "numpy.float16(2)",
    "numpy.array(3)",
    "numpy.zeros(0)",
    "numpy.ones((5, 5))",
    "numpy.zeros((2, 0, 3))",
    "numpy.array(['a', None])",
    "numpy.ma.masked_array([1.0], [True])",
    "numpy.full((9, 2), numpy.nan)",
    "x",
    "y",
    "weights",
    "grid",
    "dense",
    "kernel",
    "x.astype('float32')",
    "weights.astype('float16')",
    "x[::-1]",
    "weights[:0]",
    "x > 0",
    "Linear",
    "Linear()",
    "Gaussian()",
    "object()",
    "int",
    "print",
    "...",
)
SKIPPED = ("register", "warmup", "set_num_threads", "save", "testing.assert_matches_reference")
"""Functions that change the process or write files, and one that raises AssertionError where it is right to."""


def write_files(folder):
    """Write a json and an npz of every interpolator, and return their paths."""
    paths = []
    for name in ik.interpolators():
        kernel = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), name)
        for path in (folder / f"{name}.json", folder / f"{name}.npz"):
            contents = {"weights": np.zeros((3, 2, 9), np.float32), "bias": np.ones(3)} if path.suffix == ".npz" else {}
            ik.save(path, kernel, **contents)
            paths.append(path)
    return paths


def change_bytes(content, rng):
    """Return some bytes with up to eight places changed: a byte replaced, a stretch lost, doubled, or made anew."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 9)):
        start = int(rng.integers(len(changed) + 1))
        end = min(start + int(rng.integers(1, 5)) ** 3, len(changed))
        kind = rng.integers(5)
        if kind == 0:
            del changed[start:end]
        elif kind == 1:
            changed[start:start] = changed[start:end]
        elif kind == 2:
            changed[start:end] = rng.bytes(end - start)
        elif start < len(changed):
            changed[start] = int(rng.integers(256)) if kind == 3 else int(rng.choice(list(b'0123456789.-{}[]",:e')))
    return bytes(changed)


def make_file(paths, target, rng):
    """Write a broken file beside `target`, and return its path."""
    source = paths[rng.integers(len(paths))]
    broken = target.with_suffix(source.suffix)
    broken.write_bytes(change_bytes(source.read_bytes(), rng))
    return broken


def make_call(names, rng):
    """Return a call, as text, with one to three of its arguments replaced or added."""
    table = [calls for calls in bad_inputs["TABLE"] if calls.function not in SKIPPED]
    calls = table[rng.integers(len(table))]
    known = [name for name in inspect.signature(eval(calls.function, dict(names))).parameters if name != "options"]
    given = dict(calls.given)
    for _ in range(rng.choice([1, 1, 2, 3])):
        given[known[rng.integers(len(known))]] = VALUES[rng.integers(len(VALUES))]
    if "path" in known:  # a right call compiles nothing
        given.setdefault("path", "'reference'")
    return f"{calls.function}({', '.join(f'{name}={value}' for name, value in given.items())})"


def find_failures(run, count, seed):
    """Return which of `count` numbered runs, each with its own generator, raise what nobody expects, and what."""
    failures = {}
    for number in range(count):
        try:
            run(np.random.default_rng([seed, number]))
        except EXPECTED:
            continue
        except Exception as error:
            failures[f"seed {seed}, number {number}"] = error
    return failures
