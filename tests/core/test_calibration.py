"""The cost model's constants: measured, kept, read back, and never an error."""

import json
import logging
from dataclasses import fields, replace
from pathlib import Path

import pytest

import interpolated_kernels as ik
from interpolated_kernels import folders, machine
from interpolated_kernels.calibration import _solve
from interpolated_kernels.machine import Machine


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache folder of its own, and the constants as they were afterwards."""
    monkeypatch.setenv("INTERPOLATED_KERNELS_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(machine, "_current", {})
    return tmp_path


def _forget(monkeypatch):
    """Do as a new process does."""
    monkeypatch.setattr(machine, "_current", {})


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
    """Constants of another processor, another width of vectors or another version of the file are left alone."""
    for change in ({"processor": "another"}, {"version": 3}, {"vector_bytes": 8}):
        path = machine.keep_machine(replace(Machine(), name="theirs"))
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        _forget(monkeypatch)
        assert machine.current_machine() == Machine()


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"version": 1}', b"no json", b"\xff\xfe", b"[" * 100_000, b"1" * 10_000, b"null", b"\0" * 99],
    ids=lambda content: repr(content[:9]),
)
def test_a_broken_file_is_a_warning(content, folder, caplog):
    """What cannot be read is named in the log, and the defaults are used."""
    (folder / "machine.json").write_bytes(content)
    with caplog.at_level(logging.WARNING, "interpolated_kernels"):
        assert machine.current_machine() == Machine()
    assert "machine.json" in caplog.text
    assert ik.info()["cost_model"] == "defaults"


def test_what_is_no_file_means_defaults(folder):
    """A folder in the file's place holds no constants."""
    (folder / "machine.json").mkdir()
    assert machine.current_machine() == Machine()


def test_a_file_that_may_not_be_read_is_a_warning(folder, monkeypatch, caplog):
    """Another user's file is left alone. `Path.read_text` refuses in its place: the tests may be root."""
    machine.keep_machine(Machine("theirs"))
    _forget(monkeypatch)

    def refuse(path, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(machine, "processor", lambda: "any")
    with caplog.at_level(logging.WARNING, "interpolated_kernels"):
        assert machine.current_machine() == Machine()
    assert "Permission denied" in caplog.text


def test_a_user_without_a_home_keeps_nothing(monkeypatch):
    """Neither HOME nor the system's list of users names one, as for a container's `--user 10001`."""
    for name in ("INTERPOLATED_KERNELS_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)

    def refuse(*arguments):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", refuse)
    monkeypatch.setattr(machine, "_current", {})
    assert machine.machine_file() is None
    assert machine.current_machine() == Machine()
    assert machine.keep_machine(Machine("mine")) is None
    assert ik.info()["cost_model"] == "mine"


def test_the_users_cache_needs_no_home_where_it_is_named(monkeypatch, tmp_path):
    """XDG_CACHE_HOME is enough."""
    monkeypatch.setattr(folders.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(Path, "home", None)
    assert folders.user_folder() == tmp_path / "interpolated-kernels"


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), "many", 1e-320, 1e300, 10**400])
def test_a_senseless_constant_is_a_warning(value, folder, monkeypatch, caplog):
    """A constant that is not positive, finite and anywhere near its default spoils the file."""
    path = machine.keep_machine(Machine("mine"))
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "constants": {**kept["constants"], "call_seconds": value}}))
    _forget(monkeypatch)
    with caplog.at_level(logging.WARNING, "interpolated_kernels"):
        assert machine.current_machine() == Machine()
    assert "machine.json" in caplog.text


@pytest.mark.parametrize("name", [3, None, "two\nlines", "\ud800"], ids=repr)
def test_a_name_that_cannot_be_printed_is_a_warning(name, folder, monkeypatch, caplog):
    """`info` and plans print the name: it is one line of text."""
    path = machine.keep_machine(Machine("mine"))
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "constants": {**kept["constants"], "name": name}}))
    _forget(monkeypatch)
    with caplog.at_level(logging.WARNING, "interpolated_kernels"):
        assert machine.current_machine() == Machine()
    assert "one line of text" in caplog.text


def test_a_gpu_has_a_file_of_its_own(folder, monkeypatch):
    """Its constants hold for the GPU of that name; what was measured on the processor does not touch them."""
    monkeypatch.setattr(machine, "_current", {})
    monkeypatch.setattr(machine.cuda_loops, "device_name", lambda: "GPU A", raising=False)
    kept = replace(machine.DEFAULTS["cuda"], name="measured", call_seconds=1e-5)
    assert machine.keep_machine(kept, "cuda") == folder / "machine-cuda.json"
    _forget(monkeypatch)
    assert machine.current_machine("cuda:1") == kept
    assert machine.current_machine() == Machine()
    _forget(monkeypatch)
    monkeypatch.setattr(machine.cuda_loops, "device_name", lambda: "GPU B", raising=False)
    assert machine.current_machine("cuda:0") == machine.DEFAULTS["cuda"]


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
