"""The command `vectors`, and the backend in JavaScript that reads what it writes."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from interpolated_kernels.cli import main

BACKEND = Path(__file__).parents[1] / "docs" / "vectors" / "convolution.mjs"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder of vectors in float64, as the command writes it."""
    folder = tmp_path_factory.mktemp("exported") / "vectors"
    assert main(["vectors", "export", str(folder), "--arithmetic", "float64"]) == 0
    return folder


@pytest.fixture
def folder(exported, tmp_path):
    """A copy of it, to write results to."""
    return shutil.copytree(exported, tmp_path / "vectors")


def check(folder, capsys, *words):
    """Return the exit code and both outputs of the check."""
    capsys.readouterr()
    code = main(["vectors", "check", str(folder), *words])
    return code, *capsys.readouterr()


def answer(folder):
    """Write y as it is expected, for all cases."""
    for path in folder.glob("*/y.f64"):
        shutil.copy(path, path.with_name("y.result.f64"))


def test_export_says_what_it_wrote(tmp_path, capsys):
    """The number of cases and their size; as JSON their names too; a folder that is not empty is a user's mistake."""
    words = ["vectors", "export", str(tmp_path / "new"), "--arithmetic", "float64", "--json"]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["cases"] == json.loads((tmp_path / "new" / "manifest.json").read_text())["cases"]
    assert document["bytes"] == sum(path.stat().st_size for path in (tmp_path / "new").rglob("*.*"))
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "must be new or empty" in err


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    """A file in the way is one line and exit code 2."""
    (tmp_path / "taken").touch()
    assert main(["vectors", "export", str(tmp_path / "taken" / "below")]) == 2
    assert "cannot use" in capsys.readouterr().err


def test_right_results_exit_with_0(folder, capsys):
    """The table of what passed, on stdout alone; as JSON the counts."""
    answer(folder)
    code, out, err = check(folder, capsys)
    assert (code, err) == (0, "")
    assert "problems passed, 0 failed" in out
    code, out, err = check(folder, capsys, "--json")
    assert (code, err) == (0, "")
    assert (json.loads(out)["failed"], json.loads(out)["wrong"]) == (0, [])


def test_wrong_results_exit_with_1(folder, capsys):
    """The table and what is wrong on stdout, one line on stderr."""
    answer(folder)
    path = next(path for path in sorted(folder.glob("*/y.result.f64")) if path.stat().st_size)
    path.write_bytes(bytes(path.stat().st_size))
    code, out, err = check(folder, capsys)
    assert (code, err.count("\n")) == (1, 1)
    assert "1 results of 1 cases are wrong" in err
    assert f"{path.parent.name} y: " in out
    code, out, err = check(folder, capsys, "--json")
    assert code == 1
    assert [wrong["case"] for wrong in json.loads(out)["wrong"]] == [path.parent.name]


def test_a_users_mistake_exits_with_2(folder, tmp_path, capsys):
    """A folder without results, or without vectors, is one line."""
    for wrong, message in ((folder, "write "), (tmp_path / "none", "there is no ")):
        code, out, err = check(wrong, capsys)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_backend_in_javascript_is_right(folder, capsys):
    """docs/vectors/convolution.mjs reads every case, and its y, gradients and transposes are within the bounds."""
    subprocess.run(["node", str(BACKEND), str(folder)], check=True)
    code, out, _ = check(folder, capsys, "--json")
    document = json.loads(out)
    assert (code, document["failed"], document["not_supported"]) == (0, 0, 0)
    passed = {row["feature"]: row["passed"] for row in document["rows"] if row["kind"] == "result"}
    assert passed["y"] == document["passed"]
    assert min(passed["grad_x"], passed["grad_weights"], passed["transposed"]) > 0
