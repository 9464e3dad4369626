import argparse
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import interpolated_kernels as ik

FOLDER = Path(__file__).parents[1] / "benchmarks"
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("test_"))


@pytest.fixture
def benchmarks(monkeypatch):
    """`benchmarks(name)` imports a benchmark's module as its script sees it; others of its name are back afterwards."""
    others = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(sys, "argv", ["benchmark"])
    monkeypatch.setattr(os, "environ", os.environ.copy())  # `compare` sets what TensorFlow reads at import
    yield importlib.import_module
    for name in MODULES:
        sys.modules.pop(name, None)
    sys.modules.update(others)


@pytest.fixture
def tiny_case(benchmarks):
    cases = benchmarks("cases")
    kernel = cases.linear_grid((5, 5), 2)
    return cases.Case("A tiny", (1, 1, 24, 20), 3, kernel, {"padding": "same"}, ("torch", "torch, padded first"))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_can_be_imported(name, benchmarks):
    """No benchmark names what the package no longer has; frameworks are imported by their own runs alone."""
    assert benchmarks(name).__doc__


def test_neighbours_are_decided_by_the_seed(benchmarks):
    """The same seed draws the same neighbours of A and C in turn, another seed others."""
    draw = benchmarks("cases").random_cases
    assert draw(6, seed=3) == draw(6, seed=3)
    assert draw(6, seed=3) != draw(6, seed=4)
    assert [case.name[0] for case in draw(6, seed=3)] == list("ACACAC")


def test_problems_of_the_planner_are_decided_by_the_seed(benchmarks):
    """The same seed draws the same problems, and each can be planned within its time."""
    problems = benchmarks("problems")
    first, again = (list(problems.random_trials(6, seed=5)) for _ in range(2))
    assert first == again
    limit = problems.FASTEST_SECONDS[1]
    assert all(trial.plan().cost.seconds <= limit for trial in first)


def test_a_case_becomes_rows(benchmarks, tiny_case):
    """A case is checked and timed: ours beside torch, forward and both, with the figure of its letter."""
    torch = pytest.importorskip("torch")
    rows = list(benchmarks("compare").case_rows(tiny_case, 1, torch.get_num_threads(), "auto"))
    assert [row.direction for row in rows] == ["forward", "both"] * 2
    assert all(row.value == pytest.approx(row.theirs / row.ours) for row in rows)
    assert rows[0].figure == benchmarks("figures").FIGURES["A", "torch", "forward"]


@pytest.mark.parametrize("accuracy", ["componentwise", "normwise"])
def test_a_wrong_result_is_not_timed(accuracy, benchmarks, tiny_case, monkeypatch):
    """The check before a timing raises on a result that is off by a thousandth, under either accuracy."""
    checks = benchmarks("checks")
    tiny_case.options["accuracy"] = accuracy
    x, weights = tiny_case.arrays()
    checks.check(tiny_case, x, weights, "auto")
    monkeypatch.setattr(checks.ik, "conv", lambda *args, conv=ik.conv, **options: 1.001 * conv(*args, **options))
    with pytest.raises(AssertionError, match="off"):
        checks.check(tiny_case, x, weights, "auto")


def run_on_cpu(compare_gpu, case):
    """Return the rows of a case that a GPU is measured on, measured on the CPU by its own clock."""
    seconds_of = importlib.import_module("timing").seconds_of
    return list(compare_gpu.case_rows(case, 1, compare_gpu.Device("cpu", seconds_of, 1e10)))


def test_a_gpus_case_becomes_rows(benchmarks, tiny_case):
    """A GPU's case is checked and timed against cuDNN, the native engine and a copy; here on the CPU."""
    pytest.importorskip("torch")
    rows = run_on_cpu(benchmarks("compare_gpu"), tiny_case)
    assert [row.against for row in rows[::2]] == ["cuDNN", "cuDNN, TF32", "native", "copy"]
    assert [row.direction for row in rows] == ["forward", "gradients"] * 4
    assert all(row.value == pytest.approx(row.theirs / row.ours) for row in rows)
    assert rows[-1].theirs == pytest.approx(4 * (2 * 24 * 20 + 3 * 24 * 20) / 1e10)


@pytest.mark.parametrize(("engine", "message"), [("numba", "ratio|off"), ("native", "native's result is off")])
def test_a_wrong_result_of_a_gpu_is_not_timed(engine, message, benchmarks, tiny_case, monkeypatch):
    """A result of ours, or of a peer's, that is off by a thousandth stops a GPU's case."""
    torch_adapter = pytest.importorskip("interpolated_kernels_torch")
    compare_gpu, conv = benchmarks("compare_gpu"), torch_adapter.interpolated_conv

    def spoil(*arguments, **options):
        return conv(*arguments, **options) * (1.001 if options["engine"] == engine else 1.0)

    monkeypatch.setattr(torch_adapter, "interpolated_conv", spoil)
    with pytest.raises(AssertionError, match=message):
        run_on_cpu(compare_gpu, tiny_case)


def test_the_cases_of_a_gpu_have_figures(benchmarks):
    """Every figure that is asked for on a GPU belongs to a case and a peer that are measured there."""
    figures, cases = benchmarks("figures").FIGURES, benchmarks("cases").gpu_cases()
    peers = {*benchmarks("compare_gpu")._PEERS, "copy"}
    asked = [key for key in figures if key[0].startswith("GPU")]
    assert {case for case, _, _ in asked} == {case.name for case in cases}
    assert {peer for _, peer, _ in asked} <= peers


def test_what_a_gpu_needs_is_one_line():
    """Without a GPU the command says what it needs in one line, and exits with 2."""
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    words = [sys.executable, FOLDER / "compare_gpu.py", "--repeat", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "compare_gpu.py needs a GPU that PyTorch can use\n"


def test_a_piece_at_the_edge_is_the_whole_of_a_small_image(benchmarks):
    """Where a window is wider than the image, the piece is padded as the whole is."""
    cases, checks = benchmarks("cases"), benchmarks("checks")
    kernel = cases.linear_grid((25, 31), 6)
    case = cases.Case("C wide", (2, 4, 12, 10), 4, kernel, {"padding": "same", "groups": 4, "stride": 2})
    checks.check(case, *case.arrays(), "auto")


def test_the_table_says_what_was_reached(benchmarks, capsys):
    """A row is told to have missed, reached or exceeded its figure; for times over times less is better."""
    figures, table = benchmarks("figures"), benchmarks("table")
    at_least, at_most = figures.Figure(9, 12), figures.Figure(2.5, at_most=True)
    assert [at_least.verdict(value) for value in (8.9, 9, 12)] == ["no", "yes", "aim"]
    assert [at_most.verdict(value) for value in (2.6, 2.5)] == ["no", "yes"]
    rows = [
        table.Row("A", "direct", "torch", "forward", 0.1, 1.0, 10.0, at_least),
        table.Row("K", "direct", "machine", "forward", 0.1, 0.02, 5.0, at_most),
        table.Row("D", "direct", "tensorflow (not installed)", "forward", None, None, None, at_least),
    ]
    table.print_table(rows)
    table.print_summary(rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "1 of 3 figures reached, 0 of 2 aims; 1 not measured"
    assert [re.split(r"\s{2,}", line)[-1] for line in lines[1:4]] == ["yes", "no", "not measured"]
    assert json.loads(json.dumps(rows[0].document()))["reached"] == "yes"


def test_the_means_are_geometric(benchmarks):
    """The mean of the neighbours' ratios 2 and 8 is 4; it must reach 0.7 of the case's own figure."""
    compare, table = benchmarks("compare"), benchmarks("table")
    rows = [table.Row(f"A{i}", "direct", "torch", "forward", 1, value, value, None) for i, value in enumerate((2, 8))]
    (mean,) = compare.mean_rows(rows)
    assert mean.value == pytest.approx(4)
    assert mean.figure.asked == pytest.approx(0.7 * 9)


def test_the_planner_compares_its_choice_with_the_best(benchmarks):
    """A choice is as good as the time of the best path over its own; differences of microseconds are ties."""
    planner, problems = benchmarks("planner"), benchmarks("problems")
    (trial,) = problems.random_trials(1, seed=0)
    assert planner.Result(trial, "a", {"a": 3e-3, "b": 2e-3}).ratio == pytest.approx(1.5)
    assert planner.Result(trial, "a", {"a": 45e-6, "b": 1e-6}).ratio == 1
    result = planner.measure(trial)
    assert result.picked == trial.plan().path
    assert result.picked in str(result)
    assert all(0 < seconds < 1 for seconds in planner.planning_seconds(5))


def test_memory_beyond_the_results_is_counted(benchmarks):
    """The growth at the peak of a call is that of all it allocated, whether kept or freed."""
    memory = benchmarks("memory")
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux")
    growth, kept = memory.peak_growth(lambda: (np.ones(2**22), np.ones(2**23).sum())[0])
    assert kept.nbytes == 2**25
    assert 2**25 + 2**26 <= growth + 2**22 <= 2**25 + 2**26 + 2**24


def test_growth_is_drawn(benchmarks, tmp_path):
    """The picture of growth can be drawn, also for a path without a colour of its own."""
    pytest.importorskip("matplotlib")
    growth = benchmarks("growth")
    points = [(7, 1e-3), (31, 2e-3), (61, 3e-3)]
    panels = [(sweep, {"direct": points, "another": points[:1]}) for sweep in growth.sweeps(quick=True)]
    growth.draw(panels, tmp_path / "growth.svg", 1)
    assert "<svg" in (tmp_path / "growth.svg").read_text()


@pytest.mark.parametrize("script", ["compare", "compare_gpu", "growth", "memory", "planner", "startup"])
def test_help_is_the_docstring(script):
    """Each command explains itself."""
    done = subprocess.run(
        [sys.executable, FOLDER / f"{script}.py", "--help"], capture_output=True, text=True, check=True
    )
    assert f"python benchmarks/{script}.py" in done.stdout


def test_regressions_can_be_collected():
    """The suite of timings needs nothing of the other benchmarks, and the normal run does not collect it."""
    pytest.importorskip("pytest_benchmark")
    words = [sys.executable, "-m", "pytest", FOLDER, "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=FOLDER.parent)
    assert "test_forward[direct-landscape]" in done.stdout


def test_the_scaling_rows_are_named(benchmarks, monkeypatch):
    """I, J and K are measured by the same command; on one thread J says that it is not measured."""
    compare, scaling = benchmarks("compare"), benchmarks("scaling")
    assert list(scaling.SCALING) == ["I", "J", "K"]
    arguments = argparse.Namespace(random=0, seed=0, cases=["J"], repeat=1, threads=1, path="auto")
    rows = list(compare.measure(arguments))
    assert [row.case for row in rows] == ["J threads"] * 2
    assert {row.cells()[-1] for row in rows} == {"not measured"}
