"""Compiled loops on disk: read back from wherever they are, kept where that is possible, recovered when broken."""

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from interpolated_kernels.loops.compile import cache

# Two loops of a package's own are compiled in a second, by the same decorator as the library's.
LOOPS = """
from interpolated_kernels.loops.compile.jit import jit

@jit
def double(x):
    for i in range(x.size):
        x[i] *= 2

@jit
def halve(x):
    for i in range(x.size):
        x[i] /= 2

def make(factor):
    @jit(inner=True)
    def multiply(x, i):
        x[i] *= factor

    @jit
    def multiply_all(x):
        for i in range(x.size):
            multiply(x, i)

    return multiply_all

triple, sixfold = make(3), make(6)
"""
CALL = """
import logging, numpy as np
logging.basicConfig()
x = np.ones(3)
from small_loops import double, halve, sixfold, triple
from interpolated_kernels.loops import counts
{calls}
assert (x == {expected}).all(), x
print(counts["compiled"], "compiled,", counts["loaded"], "loaded")
"""
DOUBLE, BOTH = CALL.format(calls="double(x)", expected=2), CALL.format(calls="double(x); halve(x)", expected=1)
READ_ONLY = """
import errno, pathlib
def refuse(path, *arguments, **options):
    raise OSError(errno.EROFS, "Read-only file system", str(path))
pathlib.Path.write_bytes = pathlib.Path.unlink = refuse
"""


@pytest.fixture
def run(tmp_path):
    """`run(code, **environment)` runs a program beside the small loops, and returns what it printed and logged."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "small_loops.py").write_text(LOOPS)

    def run_program(code, **environment):
        path = os.pathsep.join([str(tmp_path / "code"), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={**os.environ, "PYTHONPATH": path, **environment}, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    return run_program


def test_what_is_kept_is_loaded(run, tmp_path):
    """A second process compiles nothing."""
    folder = {"INTERPOLATED_KERNELS_CACHE_DIR": str(tmp_path / "new" / "folder")}
    assert run(BOTH, **folder) == ("2 compiled, 0 loaded\n", "")
    assert run(BOTH, **folder) == ("0 compiled, 2 loaded\n", "")


def test_loops_are_told_apart_by_what_they_call(run, tmp_path):
    """Loops of one source that close over other jitted functions are kept apart, and found by a second process."""
    folder = {"INTERPOLATED_KERNELS_CACHE_DIR": str(tmp_path)}
    code = CALL.format(calls="triple(x); sixfold(x)", expected=18)
    assert run(code, **folder) == ("4 compiled, 0 loaded\n", "")
    assert run(code, **folder) == ("0 compiled, 2 loaded\n", "")


def test_processes_give_their_loops_names_of_their_own(run, tmp_path):
    """Loops of one factory that two processes compiled meet in a third, where equal names would be one function."""
    code = """
    import numpy as np
    from small_loops import triple
    triple(np.ones(3))
    (form,) = triple.overloads.values()
    print(form.fndesc.mangled_name)
    """
    one, other = (run(code, INTERPOLATED_KERNELS_CACHE_DIR=str(tmp_path / name))[0] for name in ("one", "other"))
    assert "multiply_all" in one
    assert one != other


def test_a_named_folder_needs_no_home(run, tmp_path):
    """The folder that the user named is used where numba finds none of its own: no home, nothing else writeable."""
    environment = {
        "INTERPOLATED_KERNELS_CACHE_DIR": str(tmp_path / "cache"),
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",  # the tests may be root, to whom all is writeable
    }
    assert run(DOUBLE, **environment) == ("1 compiled, 0 loaded\n", "")
    assert run(DOUBLE, **environment) == ("0 compiled, 1 loaded\n", "")


def test_a_folder_that_is_read_only_is_read(run, tmp_path):
    """What an image holds is loaded, what it lacks is compiled, and one warning says so.

    The mount is played by `Path.write_bytes`, which refuses: the tests may be root, whom no permission stops.
    """
    folder = {"INTERPOLATED_KERNELS_CACHE_DIR": str(tmp_path / "cache")}
    run(DOUBLE, **folder)
    printed, logged = run(READ_ONLY + BOTH, **folder)
    assert printed == "1 compiled, 1 loaded\n"
    assert logged.count("WARNING") == logged.count("cannot be kept") == logged.count("Read-only file system") == 1


@pytest.mark.parametrize("place", ["taken", "taken/below"])
def test_a_file_in_the_folders_place_is_one_warning(run, tmp_path, place):
    """Two loops compile and run, and the file stays."""
    (tmp_path / "taken").write_text("mine")
    printed, logged = run(BOTH, INTERPOLATED_KERNELS_CACHE_DIR=str(tmp_path / place))
    assert printed == "2 compiled, 0 loaded\n"
    assert logged.count("WARNING") == logged.count("INTERPOLATED_KERNELS_CACHE_DIR") == 1
    assert (tmp_path / "taken").read_text() == "mine"


def test_four_processes_leave_the_files_of_one(run, tmp_path):
    """Processes that compile the same at once write the same files, and every one of them is right."""
    with ThreadPoolExecutor(4) as pool:
        folders = [tmp_path / "alone", *[tmp_path / "together"] * 4]
        list(pool.map(lambda folder: run(BOTH, INTERPOLATED_KERNELS_CACHE_DIR=str(folder)), folders))
    alone, together = ({path.name for path in (tmp_path / name).iterdir()} for name in ("alone", "together"))
    assert together == alone
    assert len(alone) == 2
    assert run(BOTH, INTERPOLATED_KERNELS_CACHE_DIR=str(tmp_path / "together"))[0] == "0 compiled, 2 loaded\n"


@pytest.mark.parametrize("left", [0, 40])
def test_a_truncated_file_is_compiled_again(run, tmp_path, left):
    """Files cut short cost a compilation and one warning, and are mended."""
    folder = {"INTERPOLATED_KERNELS_CACHE_DIR": str(tmp_path / "cache")}
    run(BOTH, **folder)
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:left])
    printed, logged = run(BOTH, **folder)
    assert printed == "2 compiled, 0 loaded\n"
    assert logged.count("WARNING") == logged.count("compiling it again") == 1
    assert run(BOTH, **folder) == ("0 compiled, 2 loaded\n", "")


def test_nothing_is_kept_on_request(run, tmp_path):
    """`INTERPOLATED_KERNELS_NO_CACHE=1` writes no file."""
    run(BOTH, INTERPOLATED_KERNELS_CACHE_DIR=str(tmp_path / "cache"), INTERPOLATED_KERNELS_NO_CACHE="1")
    assert not (tmp_path / "cache").exists()


class Signature:
    """Differs from every other one, and reads as they do."""

    def __init__(self, name):
        self.name = name

    def __eq__(self, other):
        return self.name == other.name

    __hash__ = None

    def __repr__(self):
        return "signature"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache folder for functions that were never compiled: what is kept is a text."""
    monkeypatch.setattr(cache, "list_folders", lambda: (tmp_path / "first", tmp_path / "second"))
    monkeypatch.setattr(cache, "CompileResult", SimpleNamespace(_rebuild=lambda context, text: text))
    return tmp_path / "first"


_CONTEXT = SimpleNamespace(refresh=lambda: None, codegen=lambda: SimpleNamespace(magic_tuple=lambda: "processor"))


def _keep(function, sig, text):
    library = SimpleNamespace(has_dynamic_globals=False)
    compiled = SimpleNamespace(library=library, codegen=_CONTEXT.codegen(), _reduce=lambda: (text,))
    cache._LoopCache(function).save_overload(sig, compiled)


def _find(function, sig):
    return cache._LoopCache(function).load_overload(sig, _CONTEXT)


def _make_function(factor):
    def multiply(x):
        return factor * x

    return multiply


def test_code_is_never_taken_for_anothers(folder):
    """Signatures and what a closure holds tell functions apart; of two that read alike the later one is kept."""
    two, three = _make_function(2), _make_function(3)
    _keep(two, "float32", "two in float32")
    _keep(two, "float64", "two in float64")
    _keep(three, "float32", "three in float32")
    assert _find(two, "float32") == "two in float32"
    assert _find(two, "float64") == "two in float64"
    assert _find(three, "float32") == "three in float32"
    assert _find(three, "float64") is None
    _keep(two, Signature("first"), "first")
    _keep(two, Signature("second"), "second")
    assert _find(two, Signature("first")) is None
    assert _find(two, Signature("second")) == "second"


def test_another_sources_code_is_neither_read_nor_left(folder, monkeypatch):
    """The stamp of the sources is part of a name, and the first entry of a function removes those of other stamps."""
    function = _make_function(2)
    _keep(function, "float32", "old")
    monkeypatch.setattr(cache, "_stamp", lambda: "newer")
    assert _find(function, "float32") is None
    _keep(function, "float64", "new")
    assert len(list(folder.iterdir())) == 1
    assert _find(function, "float64") == "new"


def test_the_first_folder_that_takes_files_keeps_them(folder):
    """Behind a folder that refuses comes the next, and what any of them holds is found."""
    folder.write_text("a file in its place")
    _keep(_make_function(2), "float32", "kept")
    assert [path.parent.name for path in folder.parent.glob("*/*.nbc")] == ["second"]
    assert _find(_make_function(2), "float32") == "kept"
    assert cache.cache_folder() == str(folder.parent / "second")


def test_numbas_moved_parts_are_named():
    """Where a release of numba has moved what this package needs, the error says which releases are served."""
    code = """
        import numba.core.serialize
        del numba.core.serialize.dumps
        import interpolated_kernels as ik
        kernel = ik.InterpolatedKernel([[0.0], [2.0]], 3, "linear")
        try:
            ik.conv([0.0] * 9, [1.0, 2.0], kernel, path="direct")
        except ImportError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert "serves numba 0.60 to 0.68" in done.stdout
    assert "pip install 'numba==0.68.*'" in done.stdout
