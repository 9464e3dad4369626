"""Every fault that is planted in the plain backend is found, and its message says what is wrong."""

import functools
import os
import sys
import types
from pathlib import Path

import pytest

from interpolated_kernels.testing import check_backend

sys.path.insert(0, str(Path(__file__).parent))
from numpy_mutants import NUMPY_MUTANTS

FOLDER = Path(__file__).parent

QUICK = [
    "before and after swapped",
    "a halo without the dilation",
    "a flipped last axis",
    "every group sees the first",
    "tied channels averaged",
    "the tail of a vector lost",
    "float32 where float64 is promised",
    "sums in half precision",
    "another filter's sum",
    "the gradient by x with the kernel flipped",
]
"""Some of every kind; `make mutants` runs them all."""

RUN = {mutant.name: mutant for mutant in NUMPY_MUTANTS}
if not os.environ.get("INTERPOLATED_KERNELS_MUTANTS"):
    RUN = {name: RUN[name] for name in QUICK}


@functools.cache
def _read(file):
    return (FOLDER / file).read_text()


def make_backend(mutant):
    """The plain backend with a fault, as a module."""
    module = types.ModuleType("plain_backend")
    exec(compile(mutant.apply(_read(mutant.file)), mutant.name, "exec"), vars(module))
    return module


def test_names_and_texts_are_unique():
    """No mutant hides another, and each applies."""
    assert len({mutant.name for mutant in NUMPY_MUTANTS}) == len(NUMPY_MUTANTS)
    for mutant in NUMPY_MUTANTS:
        make_backend(mutant)


@pytest.mark.parametrize("mutant", RUN.values(), ids=RUN)
def test_a_fault_is_found(mutant):
    """The kit refuses the backend, names the quantity and the option on a small problem, and writes code."""
    backend = make_backend(mutant)
    backward = None if mutant.quantity == "y" else backend.conv_backward
    with pytest.raises(AssertionError) as caught:
        check_backend(backend.conv, backward, arithmetic=mutant.arithmetic, n=mutant.n)
    mutant.check_message(str(caught.value))
    assert caught.value.failure.trial.x.size <= mutant.largest
