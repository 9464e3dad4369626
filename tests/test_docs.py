"""The programs of the documentation's pages run, and print what their comments say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))


def find_programs(page, *libraries):
    """Return a page's blocks of Python, in order; of those that name a library, which need not be there, the named."""
    blocks = re.findall(r"^```python ?(\w*)\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [program for library, program in blocks if library in ("", *libraries)]


def assert_prints_what_it_says(program, folder):
    """Run a program in an empty folder; each `print` with a comment prints the comment."""
    (folder / "page.py").write_text(program)
    environment = {**os.environ, "MPLBACKEND": "Agg", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "page.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = re.findall(r"^ *print\(.*\)  # (.+)$", program, flags=re.MULTILINE)
    printed = done.stdout.splitlines()
    assert [line for line in said if line not in printed] == []


@pytest.mark.parametrize("page", [page for page in PAGES if find_programs(page)], ids=lambda page: page.stem)
def test_programs_print_what_they_say(page, tmp_path):
    """A page is one program, each block after those before it; a `print` with a comment prints the comment."""
    program = "\n".join(find_programs(page))
    for framework in re.findall(r"^import (jax|tensorflow|torch|matplotlib)", program, flags=re.MULTILINE):
        pytest.importorskip(framework)
    assert_prints_what_it_says(program, tmp_path)


def test_the_layer_in_flax(tmp_path):
    """The layer that the page on JAX writes for Flax, which is no part of the environment, trains."""
    pytest.importorskip("flax")
    assert_prints_what_it_says("\n".join(find_programs(ROOT / "docs" / "jax.md", "flax")), tmp_path)
