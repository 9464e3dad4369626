import argparse
import json
import os
import subprocess
import sys
import types
from dataclasses import asdict, replace

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels import calibration, machine, warming
from interpolated_kernels.cli import COMMANDS, common, demo, demo_output, digits, main
from interpolated_kernels.cli import warmup as cli_warmup

TINY = ["--seeds", "1", "--epochs", "1", "--samples", "60"]
EXPLAIN = ["explain", "2x4x32x32", "--window", "9", "--spacing", "4"]


def assert_one_line(capsys, words):
    """The command said one line on stderr that holds the words, and nothing on stdout."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.endswith("\n")
    assert words in captured.err


@pytest.fixture(scope="module")
def data():
    pytest.importorskip("sklearn")
    return digits.load(60)


@pytest.fixture(scope="module")
def results(data):
    rows = digits.make_rows()
    return [demo_output.Result(row, (digits.train(row, data, epochs=2, seed=0),)) for row in rows]


def fake_result(row, *accuracies):
    """A result whose trainings ended at these accuracies."""
    runs = tuple(
        digits.Run((value,), (1.0,), np.ones((1, 1, row.kernel.n_anchors)), np.ones(1)) for value in accuracies
    )
    return demo_output.Result(row, runs)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_names_every_command(command, capsys):
    """`--help` of the program lists each command with its summary."""
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    listed = " ".join(capsys.readouterr().out.split())
    assert f"{command} {COMMANDS[command].SUMMARY}" in listed


def test_version_is_the_packages(capsys):
    """`--version` prints the package's version."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{ik.__version__}\n"


def test_module_is_the_command(tmp_path):
    """`python -m interpolated_kernels` runs a command, without a word on stderr when it is no terminal."""
    command = [sys.executable, "-m", "interpolated_kernels", "info", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) == set(ik.info())
    assert done.stderr == ""


def test_a_reader_that_leaves_is_no_traceback():
    """A closed pipe, as behind `| head`, ends the command quietly."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "interpolated_kernels", *EXPLAIN, "--json"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr == ""


def test_info_prints_a_line_for_each_fact(capsys):
    """Without `--json`, info is one line for each of `ik.info()`."""
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(ik.info())


@pytest.fixture
def steps(monkeypatch):
    """A warm-up of two steps that compile nothing."""
    done = [warming.WarmupStep("float32 direct", 3, 1, 0.25), warming.WarmupStep("float32 lattice", 0, 2, 0.5)]
    monkeypatch.setattr(cli_warmup, "warm", lambda dtypes: (step for step in done if step.name.split()[0] in dtypes))
    return done


def test_warmup_prints_a_line_for_each_step(steps, capsys):
    """Each step is a line with what it compiled, loaded and took; the sum and the folder come last."""
    assert main(["warmup"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:6] for line in lines[:3]] == [
        ["float32", "direct", "3", "compiled", "1", "loaded"],
        ["float32", "lattice", "0", "compiled", "2", "loaded"],
        ["all", "3", "compiled", "3", "loaded", "0.8"],
    ]
    assert lines[3] == f"kept in {ik.info()['cache_folder']}"


def test_warmup_as_json(steps, capsys):
    """The JSON document has the sum, the steps and the folder."""
    assert main(["warmup", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["compiled"], document["loaded"], document["seconds"]) == (3, 3, 0.75)
    assert document["steps"] == [asdict(step) for step in steps]
    assert document["cache_folder"] == ik.info()["cache_folder"]
    assert main(["warmup", "--json", "--dtype", "float64"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == []


def test_calibrate_keeps_and_prints_the_constants(tmp_path, monkeypatch, capsys):
    """The constants that are printed are those in the file."""
    monkeypatch.setenv("INTERPOLATED_KERNELS_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(calibration, "_measure", lambda device: replace(machine.Machine(), call_seconds=3e-6))
    assert main(["calibrate", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["file"] == str(tmp_path / "machine.json")
    assert json.loads((tmp_path / "machine.json").read_text())["constants"] == document["constants"]
    assert document["constants"]["call_seconds"] == 3e-6
    assert document["seconds"] >= 0
    assert main(["calibrate"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == list(document["constants"])
    assert lines[-1].startswith(f"kept in {tmp_path / 'machine.json'}")


def test_calibrate_where_nothing_can_be_kept(tmp_path, monkeypatch, capsys):
    """A file in the folder's place is one line on stderr."""
    (tmp_path / "taken").touch()
    monkeypatch.setenv("INTERPOLATED_KERNELS_CACHE_DIR", str(tmp_path / "taken"))
    monkeypatch.setattr(calibration, "_measure", lambda device: machine.Machine())
    assert main(["calibrate", "--device", "gpu"]) == 2
    assert_one_line(capsys, "`device` must be 'cpu', 'cuda' or")
    assert main(["calibrate"]) == 2
    assert_one_line(capsys, "set INTERPOLATED_KERNELS_CACHE_DIR to a folder that can be written")


def test_explain_prints_the_plan(capsys):
    """`explain` prints what `print(ik.plan(...))` prints."""
    assert (
        main(
            [
                *EXPLAIN,
                "--filters",
                "3",
                "--groups",
                "1",
                "--stride",
                "2x1",
                "--padding",
                "4",
                "--interpolator",
                "linear",
            ]
        )
        == 0
    )
    kernel = ik.InterpolatedKernel(ik.grid_positions((9, 9), 4), (9, 9), "linear")
    expected = ik.plan((2, 4, 32, 32), (3, 4, 9), kernel, stride=(2, 1), padding=4)
    assert capsys.readouterr().out == f"{expected}\n"


def test_explain_takes_a_padding_mode_an_axis(capsys):
    """`--padding-mode` is one word, or one a spatial axis, as `ik.plan` takes it."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((9, 9), 4), (9, 9), "linear")
    for modes in (["circular"], ["zeros", "circular"]):
        assert main([*EXPLAIN, "--interpolator", "linear", "--padding", "40", "--padding-mode", *modes]) == 0
        expected = ik.plan((2, 4, 32, 32), (1, 4, 9), kernel, padding=40, padding_mode=modes * (3 - len(modes)))
        assert capsys.readouterr().out == f"{expected}\n"


@pytest.mark.parametrize("interpolator", ik.interpolators())
def test_explain_as_json(interpolator, capsys):
    """The JSON document has the shapes, the chosen path, and every path with its cost or the reason against it."""
    assert main([*EXPLAIN, "--filters", "4", "--groups", "4", "--interpolator", interpolator, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["x_shape"] == [2, 4, 32, 32]
    assert document["y_shape"] == [2, 4, 24, 24]
    assert document["weights_shape"] == [4, 1, 9]
    assert document["path"] in [row["path"] for row in document["candidates"]]
    assert all(row["one_thread_one_sample"] or row["why_not"] for row in document["candidates"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["explain", "32x32", "--window", "9", "--spacing", "4"], "1 to 3 spatial axes"),
        (["explain", "1x1x32x32", "--window", "9x9x9", "--spacing", "4"], "--window must have 1 or 2 entries"),
        (["explain", "1x1x32x32", "--window", "9", "--spacing", "0"], "`spacing` must be finite and positive"),
        (["explain", "1x-1x64x64", "--window", "9", "--spacing", "3"], "`x_shape` must be at least 0"),
        (["explain", "1x1x64x64", "--window", "9", "--spacing", "1e-12"], "`spacing` must give at most 2^22 anchors"),
        (["explain", "1x1x64x64", "--window", "99999999x99999999", "--spacing", "3"], "`window` must span at most"),
        (["explain", "1x1x32x32", "--window", "99", "--counts", "3"], "`window` must fit"),
        ([*EXPLAIN, "--groups", "3"], "`x` must have 3 channels, 1 in each of `groups`=3"),
        ([*EXPLAIN, "--padding", "wide"], "`padding`"),
        ([*EXPLAIN, "--path", "fastest"], "`path` must be"),
        ([*EXPLAIN, "--max-memory", "0"], "max_memory"),
        (["demo", *TINY, "--output", "picture.doc"], "--output must end in"),
        (["demo", *TINY, "--output", "no/such/folder/demo.png"], "does not exist: no/such/folder"),
    ],
)
def test_what_a_command_refuses_is_one_line(words, message, capsys):
    """Values that do not fit give exit code 2 and one line on stderr that names them."""
    assert main(words) == 2
    assert_one_line(capsys, message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name a command"),
        (["dmo"], "invalid choice: 'dmo'"),
        (["demo", "--seeds", "0"], "--seeds: expected an integer of at least 1, got '0'"),
        (["demo", "--epochs", "many"], "--epochs: expected an integer of at least 1, got 'many'"),
        (["explain", "1x1x32", "--window", "9"], "--spacing --counts is required"),
        (["explain", "1,1,32", "--window", "9", "--counts", "2"], "expected integers joined by x"),
        (["explain", "1x1x32", "--window", "9", "--spacing", "a"], "expected numbers joined by x"),
    ],
)
def test_arguments_that_do_not_parse_are_one_line(words, message, capsys):
    """Arguments that do not parse give exit code 2 and one line on stderr."""
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert_one_line(capsys, message)


def test_a_missing_extra_is_named(monkeypatch, capsys):
    """Without the demo's libraries the command says what is missing and the extra that brings it."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "rich", None)
    assert main(["demo", *TINY]) == 2
    assert_one_line(capsys, "scikit-learn, rich missing: pip install 'interpolated-kernels[demo]'")


@pytest.mark.parametrize("error", [ImportError, RuntimeError])
def test_a_missing_gpu_is_named(error, monkeypatch, capsys):
    """Without what CUDA needs the demo says what is missing, before it trains anything."""

    def check_ready():
        raise error("No GPU can be used: there is none")

    monkeypatch.setattr(demo, "cuda_loops", types.SimpleNamespace(check_ready=check_ready))
    assert main(["demo", *TINY, "--device", "cuda"]) == 2
    assert_one_line(capsys, "--device cuda cannot be had: No GPU can be used")


def test_demo_as_json(tmp_path, capsys, data):
    """The demo's JSON has six rows with accuracies, parameters, density and seconds; the picture is drawn."""
    picture = tmp_path / "demo.png"
    assert main(["demo", *TINY, "--seed", "3", "--output", str(picture), "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert captured.err == ""
    assert [row["kernel_parameters"] for row in document["rows"]] == [288, 72, 40, 288, 288, 1152]
    assert [row["density"] for row in document["rows"]] == pytest.approx([1, 1, 1, 1, 0.25, 1])
    assert all(np.shape(row["accuracies"]) == (1, 1) for row in document["rows"])
    assert all(row["seconds_per_epoch"] > 0 for row in document["rows"])
    assert document["learned_against_frozen"]["standard_error"] is None
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_demos_table_is_plain_text_in_a_file(results, capsys):
    """Away from a terminal the table is one line for each row, without colours, and the comparison."""
    demo_output.print_table(results)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(results) + 1
    assert all(line.startswith(result.row.name) for line, result in zip(lines[2:], results, strict=False))
    assert lines[-1].startswith("Learned against frozen, 36 anchors:")
    assert not any("\x1b" in line for line in lines)


def test_the_demos_table_on_a_terminal(results, monkeypatch, capsys):
    """On a terminal the same cells stand in rich's table."""
    pytest.importorskip("rich")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    demo_output.print_table(results)
    printed = capsys.readouterr().out
    assert all(result.row.name in printed for result in results)
    assert "Learned against frozen" in printed


def test_the_picture_shows_kernels_and_curves(results, tmp_path):
    """The picture can be drawn from the trainings alone."""
    pytest.importorskip("matplotlib")
    demo_output.draw(results, tmp_path / "demo.svg")
    drawn = (tmp_path / "demo.svg").read_text()
    assert drawn.count("<image") >= 2 * len(results)


def test_the_frozen_kernel_stays_where_it_started(results):
    """The frozen row's weights are the first weights of the row that learns, and those have moved."""
    learned, frozen = results[0].runs[0].weights, results[3].runs[0].weights
    start = digits.Classifier(results[0].row.kernel, True, 0).parameters["weights"]
    np.testing.assert_array_equal(frozen, start)
    assert np.abs(learned - start).max() > 1e-3


def test_a_training_repeats_itself(data, results):
    """The seed decides everything: the same training gives the same accuracies and the same bits of weights."""
    row = results[2].row
    again = digits.train(row, data, epochs=2, seed=0)
    assert again.accuracies == results[2].runs[0].accuracies
    np.testing.assert_array_equal(again.weights, results[2].runs[0].weights)


@pytest.mark.parametrize("row", [row for row in digits.make_rows() if row.learns], ids=lambda row: row.name)
def test_the_classifiers_gradients_are_those_of_its_loss(row, data):
    """Along a random direction the loss changes by the gradient's share (central differences, float64)."""
    model = digits.Classifier(row.kernel, True, 1)
    rng = np.random.default_rng(0)
    model.parameters = {name: rng.normal(0, 0.1, value.shape) for name, value in model.parameters.items()}
    x, labels = data.train_x[:8].astype(np.float64), data.train_y[:8]
    grads, start = model.gradients(x, labels), model.parameters
    directions = {name: rng.normal(size=value.shape) for name, value in start.items()}

    def loss(step):
        model.parameters = {name: value + step * directions[name] for name, value in start.items()}
        return -np.log(model._forward(x)[2][np.arange(len(labels)), labels]).mean()

    expected = sum(float((grads[name] * directions[name]).sum()) for name in grads)
    assert (loss(1e-6) - loss(-1e-6)) / 2e-6 == pytest.approx(expected, rel=1e-4)


def test_the_summary_counts_standard_errors():
    """The gain is counted in standard errors of a difference of means; the line says when it is not above two."""
    rows = digits.make_rows()
    clear = [fake_result(rows[0], 0.9, 0.92), fake_result(rows[3], 0.7, 0.72)]
    found = demo_output.compare(clear)
    assert found["difference"] == pytest.approx(0.2)
    assert found["standard_error"] == pytest.approx(np.sqrt(2 * 0.0002 / 2))
    assert "more than two, learning the kernel matters" in demo_output.summary(clear)
    unclear = [fake_result(rows[0], 0.9, 0.7), fake_result(rows[3], 0.7, 0.89)]
    assert "NOT more than two" in demo_output.summary(unclear)
    equal = [fake_result(rows[0], 0.9, 0.9), fake_result(rows[3], 0.9, 0.9)]
    assert "NOT more than two" in demo_output.summary(equal)


def test_an_extra_that_is_there_raises_nothing():
    """`require_extra` is silent about modules that can be imported."""
    common.require_extra("demo", {"numpy": "numpy"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1048576", 2**20), ("512M", 2**29), ("2GB", 2 * 10**9), ("1.5GiB", 3 * 2**29), ("64 KB", 64000), ("0", 0)],
)
def test_bytes_are_written_with_units(text, expected):
    """As GNU's tools have it: M and MiB are 2^20 bytes, MB are 10^6."""
    assert common.memory(text) == expected


@pytest.mark.parametrize("text", ["", "GB", "-1", "2XB", "1e9", "2GBs", "nan"])
def test_what_is_no_number_of_bytes_is_refused(text):
    """Another unit, no number or a negative one is a user's mistake."""
    with pytest.raises(argparse.ArgumentTypeError, match="expected bytes, as 2GB"):
        common.memory(text)
