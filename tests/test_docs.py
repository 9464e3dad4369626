"""The programs of the documentation's pages run, and print what their comments say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))


def find_programs(page):
    """Return a page's blocks of Python, in order."""
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [page for page in PAGES if find_programs(page)], ids=lambda page: page.stem)
def test_programs_print_what_they_say(page, tmp_path):
    """A page is one program, each block after those before it; a `print` with a comment prints the comment."""
    program = "\n".join(find_programs(page))
    for framework in re.findall(r"^import (tensorflow|torch|matplotlib)", program, flags=re.MULTILINE):
        pytest.importorskip(framework)
    (tmp_path / "page.py").write_text(program)
    environment = {**os.environ, "MPLBACKEND": "Agg", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "page.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = re.findall(r"^ *print\(.*\)  # (.+)$", program, flags=re.MULTILINE)
    printed = done.stdout.splitlines()
    assert [line for line in said if line not in printed] == []
