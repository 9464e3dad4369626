"""Every fault that is planted in this engine is found; by `make mutants` alone, since loops compile anew for each."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import interpolated_kernels
from interpolated_kernels import loops

sys.path.insert(0, str(Path(__file__).parent))
from engine_mutants import ENGINE_MUTANTS

FOLDER = Path(__file__).parent
CORE = Path(interpolated_kernels.__file__).parent
RUNS_ALL = bool(os.environ.get("INTERPOLATED_KERNELS_MUTANTS"))


def is_test(mutant):
    """Whether a test finds a mutant, not the kit."""
    return "::" in mutant.check


def run_check(mutant, root):
    """Run what has to find a mutant on the copy of the package in `root`."""
    command = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", str(FOLDER.parent / mutant.check)]
    if not is_test(mutant):
        command = [str(FOLDER / "run_kit.py"), mutant.check, mutant.quantity, str(mutant.n), mutant.arithmetic]
    # The loops that a mutant shares with this package are found compiled.
    cache = root / "loops" if mutant.file.startswith("loops/") else loops.cache_folder()
    environment = {**os.environ, "PYTHONPATH": str(root), "INTERPOLATED_KERNELS_CACHE_DIR": str(cache)}
    return subprocess.run(
        [sys.executable, *command], cwd=root, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("mutant", ENGINE_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_applies(mutant):
    """The text of every mutant stands in its file once."""
    assert mutant.apply((CORE / mutant.file).read_text()) != (CORE / mutant.file).read_text()


@pytest.mark.skipif(not RUNS_ALL, reason="make mutants runs it")
@pytest.mark.parametrize("mutant", ENGINE_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_fault_is_found(mutant, tmp_path):
    """A copy of the package with the fault is refused, with a message that says what is wrong."""
    shutil.copytree(CORE, tmp_path / CORE.name, ignore=shutil.ignore_patterns("__pycache__"))
    file = tmp_path / CORE.name / mutant.file
    file.write_text(mutant.apply(file.read_text()))
    done = run_check(mutant, tmp_path)
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    if is_test(mutant):
        assert mutant.shows in done.stdout, done.stdout
    else:
        mutant.check_message(done.stderr)
