"""What is wrong with a layer's arguments is said at once, by the argument's name."""

import importlib
import os
import runpy
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
bad_inputs = runpy.run_path(str(Path(__file__).parents[1] / "bad_inputs.py"))


@pytest.mark.parametrize("framework", sorted(bad_inputs["LAYERS"]))
def test_a_layers_mistake_is_answered_by_the_arguments_name(framework):
    """Every row raises its own type of error while the layer is made; the message names the argument in backticks."""
    pytest.importorskip(framework)
    package = f"interpolated_kernels_{framework}"
    names = {**bad_inputs["make_names"](), package: importlib.import_module(package)}
    for calls in bad_inputs["LAYERS"][framework]:
        for mistake in calls.list_mistakes(names):
            error = bad_inputs["find_error"](mistake, names)
            assert type(error).__name__ == mistake.error, (mistake, error)
            assert f"`{mistake.argument}`" in str(error), (mistake, error)
