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

RUNS_ALL = bool(os.environ.get("INTERPOLATED_KERNELS_MUTANTS"))  # `make mutants`; otherwise every fourth
FOLDER = Path(__file__).parent


@functools.cache
def _read(file):
    return (FOLDER / file).read_text()


def make_backend(mutant):
    """The plain backend with a fault, as a module."""
    module = types.ModuleType("plain_backend")
    exec(compile(mutant.apply(_read(mutant.file)), mutant.name, "exec"), vars(module))
    return module


@pytest.mark.parametrize("mutant", NUMPY_MUTANTS[:: 1 if RUNS_ALL else 4], ids=lambda mutant: mutant.name)
def test_a_fault_is_found(mutant):
    """The kit refuses the backend, names the quantity and the option on a small problem, and writes code."""
    backend = make_backend(mutant)
    backward = None if mutant.quantity == "y" else backend.conv_backward
    with pytest.raises(AssertionError) as caught:
        check_backend(backend.conv, backward, arithmetic=mutant.arithmetic, n=mutant.n)
    mutant.check_message(str(caught.value))
    assert caught.value.failure.trial.x.size <= mutant.largest
