"""Random damage to files and calls ends in results or in errors that users expect: 200 of each; `make fuzz`, 2,000."""

import os
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest

import interpolated_kernels as ik

fuzzing = runpy.run_path(str(Path(__file__).parent / "fuzzing.py"))
COUNT = int(os.environ.get("INTERPOLATED_KERNELS_FUZZ", "200"))
SEED = int(os.environ.get("INTERPOLATED_KERNELS_FUZZ_SEED", "0"))


@pytest.fixture(autouse=True)
def quiet():
    """What else a wrong file or call warns about is no matter here."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def test_broken_files_raise_what_is_expected(tmp_path):
    """`load` gives a kernel or raises ValueError, TypeError or their kin, whatever bytes a file holds."""
    (tmp_path / "whole").mkdir()
    files = fuzzing["write_files"](tmp_path / "whole")

    def load(rng):
        ik.load(fuzzing["make_file"](files, tmp_path / "broken", rng))

    assert fuzzing["find_failures"](load, COUNT, SEED) == {}


def test_random_calls_raise_what_is_expected(tmp_path, monkeypatch):
    """Every public function gives a result or raises ValueError, TypeError or their kin, whatever its arguments are."""
    monkeypatch.chdir(tmp_path)
    names = fuzzing["bad_inputs"]["make_names"]()

    def call(rng):
        eval(fuzzing["make_call"](names, rng), dict(names))

    assert fuzzing["find_failures"](call, COUNT, SEED) == {}
