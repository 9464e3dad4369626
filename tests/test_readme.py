import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def run_program(program, folder):
    """Run a program of the README in an empty folder, as its reader would; return what it printed."""
    (folder / "program.py").write_text(program)
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_program_has_ten_lines():
    """Describe, filter, fit and plot take ten lines, none of them blank."""
    lines = PROGRAMS[0].splitlines()
    assert len(lines) == 10
    assert all(line.strip() for line in lines)


def test_the_first_program_fits(tmp_path):
    """The loss falls in every step, to less than a hundredth, and the picture is saved."""
    pytest.importorskip("matplotlib")
    losses = [float(line.split()[-1]) for line in run_program(PROGRAMS[0], tmp_path).splitlines()]
    assert all(after < before for before, after in itertools.pairwise(losses))
    assert losses[-1] < losses[0] / 100
    assert (tmp_path / "kernel.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("framework", "program"), [("torch", PROGRAMS[1]), ("keras", PROGRAMS[2])])
def test_the_adapters_programs_print_what_they_say(framework, program, tmp_path):
    """The last line's comment is the shape that is printed."""
    pytest.importorskip(framework)
    comment = program.rstrip().rpartition("# ")[2]
    assert run_program(program, tmp_path).strip() == comment


def test_links_lead_somewhere():
    """Every relative link and picture of the README is a file of the project."""
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]
    assert targets
    assert [target for target in targets if not (ROOT / target).is_file()] == []


def test_the_extras_are_those_of_the_project():
    """Each extra in the install table is one that pyproject.toml declares."""
    declared = re.search(
        r"\[project.optional-dependencies\]\n(.*?)\n\[", (ROOT / "pyproject.toml").read_text(), re.DOTALL
    )
    listed = re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE)
    assert listed
    assert set(listed) <= set(re.findall(r"^(\w+) = \[", declared[1], flags=re.MULTILINE))
