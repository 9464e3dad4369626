"""The cost model's constants: measured, kept, read back, and never an error."""

import json
import logging
from dataclasses import fields, replace

import pytest

import interpolated_kernels as ik
from interpolated_kernels import machine
from interpolated_kernels.calibration import _solve
from interpolated_kernels.machine import Machine


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache folder of its own, and the constants as they were afterwards."""
    monkeypatch.setenv("INTERPOLATED_KERNELS_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(machine, "_current", None)
    return tmp_path


def _forget(monkeypatch):
    """Do as a new process does."""
    monkeypatch.setattr(machine, "_current", None)


def test_what_is_kept_is_read_back(folder, monkeypatch):
    """A later process on this processor uses the kept constants, bit for bit."""
    kept = replace(Machine(), name="mine", bytes_per_second=1 / 3)
    assert machine.keep_machine(kept) == folder / "machine.json"
    _forget(monkeypatch)
    assert machine.current_machine() == kept


def test_nothing_kept_means_defaults(folder):
    """Without a file the defaults are used."""
    assert machine.current_machine() == Machine()


def test_another_processor_does_not_count(folder, monkeypatch):
    """Constants of another processor, or of another version of the file, are left alone."""
    for change in ({"processor": "another"}, {"version": 2}):
        path = machine.keep_machine(replace(Machine(), name="theirs"))
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        _forget(monkeypatch)
        assert machine.current_machine() == Machine()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}', "no json"])
def test_a_broken_file_is_a_warning(text, folder, monkeypatch, caplog):
    """What cannot be read is named in the log, and the defaults are used."""
    (folder / "machine.json").write_text(text)
    with caplog.at_level(logging.WARNING, "interpolated_kernels"):
        assert machine.current_machine() == Machine()
    assert "machine.json" in caplog.text


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), "many"])
def test_a_senseless_constant_is_a_warning(value, folder, monkeypatch, caplog):
    """A constant that is not positive and finite spoils the file."""
    path = machine.keep_machine(Machine("mine"))
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "constants": {**kept["constants"], "call_seconds": value}}))
    _forget(monkeypatch)
    with caplog.at_level(logging.WARNING, "interpolated_kernels"):
        assert machine.current_machine() == Machine()
    assert "machine.json" in caplog.text


def test_nothing_is_kept_where_that_is_asked_for(folder, monkeypatch):
    """With INTERPOLATED_KERNELS_NO_CACHE constants hold for this process alone."""
    monkeypatch.setenv("INTERPOLATED_KERNELS_NO_CACHE", "1")
    kept = Machine("mine")
    assert machine.keep_machine(kept) is None
    assert machine.current_machine() == kept
    assert not list(folder.iterdir())


def test_calibrate_measures_and_plans_say_so(folder):
    """`calibrate` keeps positive constants, and plans that are made afterwards name them."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "linear")
    before = ik.plan((1, 1, 20, 20), (1, 1, 9), kernel)
    n_threads = ik.get_num_threads()
    measured = ik.calibrate()
    after = ik.plan((1, 1, 20, 20), (1, 1, 9), kernel)
    assert "cost model: defaults" in str(before)
    assert f"cost model: {measured.name}" in str(after)
    assert (folder / "machine.json").is_file()
    assert measured.name.startswith("calibrated")
    assert ik.info()["cost_model"] == measured.name
    assert ik.get_num_threads() == n_threads
    ratios = [getattr(measured, field.name) / field.default for field in fields(Machine)[1:]]
    assert all(1 / 100 < ratio < 100 for ratio in ratios)


@pytest.mark.parametrize(("constant", "share"), [("call_seconds", lambda c: c), ("bytes_per_second", lambda c: 1 / c)])
def test_the_constant_at_which_the_prediction_is_right(constant, share):
    """A prediction `a + b c` or `a + b / c` is solved for c."""

    def predict(candidate):
        return 0.25 + share(getattr(candidate, constant) / getattr(Machine(), constant))

    assert predict(_solve(Machine(), constant, predict, 2.25)) == pytest.approx(2.25, rel=1e-12)
