"""What is wrong with a call is said at once: the type of the error, the argument's name, the page that shows it all."""

import inspect
import runpy
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

import interpolated_kernels as ik
from interpolated_kernels.interpolation import INTERPOLATORS

bad_inputs = runpy.run_path(str(Path(__file__).parent / "bad_inputs.py"))
MISTAKES, NAMES = bad_inputs["list_mistakes"](), bad_inputs["make_names"]()
WITHOUT_ARGUMENTS = {"Plan", "Fit", "Gradients", "Report", "Saved", "WarmupStep", "Interpolator", "TensorProduct"}
"""Classes that functions return, or that users derive from."""
PURE = {calls.function for calls in bad_inputs["TABLE"]} - {
    "register",
    "plan((1, 2, 9, 9), (4, 2, 9), kernel).backward",
}
"""Functions whose right calls change nothing and compile nothing."""


@pytest.fixture(scope="module", autouse=True)
def loaded():
    """numba is there: its import is no part of an answer's time."""
    ik.get_num_threads()


@pytest.mark.parametrize("function", [calls.function for calls in bad_inputs["TABLE"]])
def test_a_mistake_is_answered_at_once_by_the_arguments_name(function, tmp_path, monkeypatch):
    """Every row raises its own type of error, whose message names the argument in backticks, within a second."""
    monkeypatch.chdir(tmp_path)
    for mistake in (mistake for mistake in MISTAKES if mistake.function == function):
        start = time.process_time()
        error = bad_inputs["find_error"](mistake, NAMES)
        assert time.process_time() - start < 1, mistake
        assert type(error).__name__ == mistake.error, (mistake, error)
        assert f"`{mistake.argument}`" in str(error), (mistake, error)
        assert len(str(error)) < 600, mistake
    assert list(tmp_path.iterdir()) == []


def test_calls_without_a_mistake_are_right():
    """What a row changes is what is wrong: without it plans and layouts are made."""
    for calls in bad_inputs["TABLE"]:
        if calls.group in ("Kernels", "Interpolators", "Layouts", "Plans") and calls.function in PURE:
            arguments = {name: eval(value, dict(NAMES)) for name, value in calls.given.items()}
            eval(calls.function, dict(NAMES))(**arguments)


def test_the_table_is_large_and_whole():
    """It has 300 rows and more, and every public function and option of an interpolator with arguments."""
    assert len(MISTAKES) >= 300
    listed = {calls.function for calls in bad_inputs["TABLE"]}
    for name in set(ik.__all__) - WITHOUT_ARGUMENTS:
        value = getattr(ik, name)
        if (
            not (isinstance(value, type) and issubclass(value, Warning | Exception))
            and inspect.signature(value).parameters
        ):
            assert name in listed, name
    for cls in INTERPOLATORS.values():
        of_class = {row.argument for row in MISTAKES if row.function == cls.__name__}
        assert {entry.name for entry in fields(cls)} <= of_class, cls


def test_the_page_of_errors_is_current(tmp_path):
    """docs/errors.md is what `make errors` writes, in a process where nobody has registered an interpolator."""
    page = tmp_path / "errors.md"
    subprocess.run([sys.executable, bad_inputs["__file__"], page], check=True)
    assert bad_inputs["PAGE"].read_text() == page.read_text()
