import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.testing import check_backend
from interpolated_kernels.testing.drawing import Drawer

sys.path.insert(0, str(Path(__file__).parent))  # a failure's program imports the backend by its module
import plain_backend

ARITHMETICS = ["float64", "float32", "tf32", "float16", "bfloat16"]


def ours(x, weights, kernel, **options):
    return ik.conv(x, weights, kernel, path="reference", **options)  # nothing is compiled


def ours_backward(grad_y, x, weights, kernel, *, wrt, **options):
    return ik.conv_backward(grad_y, x, weights, kernel, wrt=wrt, path="reference", **options)


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_a_right_backend_passes(arithmetic):
    """A backend in NumPy, written apart from the library, passes in every arithmetic."""
    report = check_backend(plain_backend.conv, arithmetic=arithmetic, n=200 if arithmetic == "float32" else 60)
    assert (report.failed, report.not_supported) == (0, 0)
    assert 0 < report.worst["y"] <= 1


def test_this_engine_passes_with_every_gradient():
    """conv and conv_backward pass, gradients by positions and widths too; the table counts every option."""
    report = check_backend(ours, ours_backward, n=120, seed=3)
    assert report.passed == 120
    results = {row.feature: row for row in report.rows if row.kind == "result"}
    assert sorted(results) == ["grad_positions", "grad_weights", "grad_widths", "grad_x", "y"]
    assert results["grad_x"].passed == 120
    kinds = {}
    for row in report.rows:
        kinds.setdefault(row.kind, set()).add(row.feature)
    assert kinds["padding mode"] >= {"zeros", "reflect", "replicate", "circular", "symmetric", "one an axis"}
    assert kinds["padding"] >= {"valid", "same", "causal", "int", "one an axis", "pairs"}
    assert kinds["batch"] == {"0", "1", "more", "none", "leading axes"}
    assert kinds["dimensions"] == {"1-D", "2-D", "3-D"}
    assert kinds["channels"] == {"plain", "separate", "tied", "interpolated"}
    assert kinds["data"] == {"normal", "exact", "non-finite", "holes", "wide"}
    assert kinds["missing"] == {"propagate", "renormalize"}
    text = str(report)
    assert "120 problems passed, 0 failed" in text
    assert "padding mode" in text


def shift_same(x, weights, kernel, **options):
    if options["padding"] == "same":
        d = kernel.n_dims
        reach = [(cells - 1) * step for cells, step in zip(kernel.window, options["dilation"], strict=False)][:d]
        pairs = plain_backend.find_pairs("same", x.shape[-d:], options["stride"], reach)
        options["padding"] = tuple((after, before) for before, after in pairs)
    return plain_backend.conv(x, weights, kernel, **options)


def mix_groups(x, weights, kernel, **options):
    x = np.roll(x, 1, axis=-kernel.n_dims - 1) if options["groups"] > 1 else x
    return plain_backend.conv(x, weights, kernel, **options)


def lose_nan(x, weights, kernel, **options):
    if options["missing"] == "renormalize":
        return plain_backend.conv(x, weights, kernel, **options)
    return plain_backend.conv(np.nan_to_num(x, posinf=0, neginf=0), weights, kernel, **options)


def mix_samples(x, weights, kernel, **options):
    y = plain_backend.conv(x, weights, kernel, **options)
    return np.broadcast_to(y[:1], y.shape) if y.ndim == kernel.n_dims + 2 and len(y) else y


def lose_tail(x, weights, kernel, **options):
    y = plain_backend.conv(x, weights, kernel, **options)
    if y.shape[-1] > 16:
        y[..., y.shape[-1] // 16 * 16 :] = 0
    return y


def mirror_twice(x, weights, kernel, **options):
    modes = options["padding_mode"]
    return plain_backend.conv(
        x, weights, kernel, **{**options, "padding_mode": "symmetric" if modes == "reflect" else modes}
    )


def round_to_half(x, weights, kernel, **options):
    return plain_backend.conv(x.astype(np.float16).astype(x.dtype), weights, kernel, **options)


def meet_every_cell(x, weights, kernel, **options):
    y = plain_backend.conv(x, weights, kernel, **options)
    if options["missing"] == "renormalize":
        return y
    everywhere = ik.InterpolatedKernel(np.zeros((1, len(kernel.window))), kernel.window, "nearest",
                                       channel_mode=kernel.channel_mode)  # fmt: skip
    ones = np.ones((*weights.shape[:-1], 1), weights.dtype)
    return y + 0 * plain_backend.conv(x, ones, everywhere, **options)


def forget_stride_phase(x, weights, kernel, **options):
    if options["stride"][-1] == 1 or options["padding"] != "valid" or x.shape[-1] < 2:
        return plain_backend.conv(x, weights, kernel, **options)
    return plain_backend.conv(np.roll(x, -1, axis=-1), weights, kernel, **options)


def refuse_dilation(x, weights, kernel, **options):
    if max(options["dilation"]) > 1:
        raise RuntimeError("no dilation here")
    return plain_backend.conv(x, weights, kernel, **options)


def return_double(x, weights, kernel, **options):
    return plain_backend.conv(x, weights, kernel, **options).astype(np.float64)


def return_zeros(x, weights, kernel, **options):
    return 0 * np.nan_to_num(plain_backend.conv(x, weights, kernel, **options))


def fill_holes(x, weights, kernel, **options):
    if options["missing"] == "renormalize":
        x, options["missing"] = np.nan_to_num(x), "propagate"
    return plain_backend.conv(x, weights, kernel, **options)


FAULTS = {
    "fill_holes": r"missing='renormalize'",
    "shift_same": r"padding='same'",
    "mix_groups": r"groups=2",
    "lose_nan": r"finite where the reference is not",
    "mix_samples": r"x \(2, ",
    "lose_tail": r"x \(1, 17\)",
    "mirror_twice": r"padding_mode='reflect'",
    "round_to_half": r"times the bound C1",
    "meet_every_cell": r"finite where the reference is not",
    "forget_stride_phase": r"stride=\((1, )*2,?\)",
    "refuse_dilation": r"RuntimeError was raised: no dilation here",
    "return_double": r"y has dtype float64, expected float32",
    "return_zeros": r"x \(1,\)|times the bound C1",
}


def _fail(f, *arguments, **options):
    with pytest.raises(AssertionError, match="The smallest failure that was found") as caught:
        check_backend(f, *arguments, **{"n": 100, **options})
    return caught.value


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_fault_is_found_and_shrunk(name):
    """A planted fault is found, and the smallest failure shows what it needs and little else."""
    error = _fail(globals()[name])
    text = str(error)
    assert re.search(FAULTS[name], text[text.index("The smallest") :]), text
    assert error.failure.trial.x.size <= 40
    assert error.report.failed > 0
    assert " failed" in text.splitlines()[0]


@pytest.mark.parametrize("arithmetic", ["float16", "bfloat16", "tf32"])
@pytest.mark.parametrize("name", ["shift_same", "mix_groups", "lose_tail", "return_zeros", "mix_samples"])
def test_faults_are_found_in_narrow_arithmetics(name, arithmetic):
    """Bounds of narrow arithmetics find the same faults."""
    _fail(globals()[name], arithmetic=arithmetic)


@pytest.mark.parametrize("arithmetic", ["float16", "bfloat16", "tf32", "float32", "float64"])
def test_a_lost_tap_is_found(arithmetic):
    """A backend that leaves out the last tap of every kernel fails in every arithmetic."""

    def lose_tap(x, weights, kernel, **options):
        dense, _ = plain_backend.fill(np.ones_like(weights), kernel, 1)
        return plain_backend.conv(x, weights, _CutKernel(kernel) if dense[0, 0].size > 1 else kernel, **options)

    _fail(lose_tap, arithmetic=arithmetic)


class _CutKernel:
    """A kernel whose matrix has zeros in its last row."""

    def __init__(self, kernel):
        self._kernel, matrix = kernel, kernel.matrix.copy()
        matrix[..., -1, :] = 0
        self.matrix = matrix

    def __getattr__(self, name):
        return getattr(self._kernel, name)


def _program(error):
    return str(error).partition("To see it again:\n\n")[2]


@pytest.mark.parametrize("name", ["shift_same", "lose_nan", "lose_tail"])
def test_the_program_runs_the_backend(name, tmp_path):
    """A failure's code, run elsewhere, calls the backend that failed, and fails again; it writes no files."""
    program = _program(_fail(getattr(_importable(), name)))
    assert f"from test_check_backend import {name}" in program
    assert "ik.conv(" not in program
    environment = {"PYTHONPATH": ":".join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "AssertionError: y is" in done.stderr
    assert list(tmp_path.iterdir()) == []


def _importable():
    """This module as another program would import it."""
    import importlib

    return importlib.import_module("test_check_backend")


def test_a_local_function_is_left_to_be_filled_in():
    """A lambda cannot be imported: its place in the code is marked."""
    program = _program(_fail(lambda x, weights, kernel, **options: return_zeros(x, weights, kernel, **options), n=20))
    assert re.search(r"backend = \.\.\.  # <function .*<lambda>.*cannot be imported", program)


def _wrong_backward(grad_y, x, weights, kernel, *, wrt, **options):
    grads = ours_backward(grad_y, x, weights, kernel, wrt=wrt, **options)
    return {"x": grads.x, "weights": 2 * grads.weights}


def test_a_wrong_gradient_is_found_and_what_is_missing_is_not_supported():
    """Gradients come by attributes or keys; a wrong one fails by its name; those that are missing are counted."""
    error = _fail(ours, _wrong_backward, n=60)
    assert error.failure.quantity == "grad_weights"
    assert "gradients['weights'] if isinstance(gradients, dict)" in str(error)
    rows = {row.feature: row for row in error.report.rows}
    assert rows["grad_x"].failed == rows["y"].failed == 0
    assert rows["grad_positions"].not_supported > 0
    assert rows["grad_positions"].passed == 0


def test_supports_restricts():
    """Only supported problems reach the backend, n of them; the others are counted."""
    seen = []

    def narrow(x, weights, kernel, **options):
        seen.append((kernel.n_dims, options["padding_mode"], options["groups"]))
        return plain_backend.conv(x, weights, kernel, **options)

    def supports(problem):
        assert problem.options["pads"] == problem.pads
        assert len(problem.out_shape) == len(problem.x_shape)
        return problem.kernel.n_dims == 2 and problem.options["padding_mode"] == "zeros" and problem.dtype == "float32"

    report = check_backend(narrow, supports=supports, n=20)
    assert len(seen) == report.passed == 20
    assert {entry[:2] for entry in seen} == {(2, "zeros")}
    assert report.not_supported > 20


def test_arrays_go_to_the_device_and_back():
    """What `to_device` gives reaches the backend, and `to_numpy` gets its result: torch in bfloat16, for example."""
    torch = pytest.importorskip("torch")

    def convolve(x, weights, kernel, *, stride, dilation, groups, **_):
        dense = ik.densify(weights.double().numpy(), kernel)
        dense = np.broadcast_to(dense, (len(dense), x.shape[1] // groups, *dense.shape[2:]))
        dense = torch.tensor(dense, dtype=x.dtype)
        return torch.nn.functional.conv2d(x, dense, stride=stride, dilation=dilation, groups=groups)

    def supports(problem):
        return (
            problem.kernel.n_dims == 2 and len(problem.x_shape) == 4 and not problem.is_plain
            and not np.any(problem.pads) and problem.data not in ("non-finite", "holes")
        )  # fmt: skip

    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        report = check_backend(
            convolve, supports=supports, to_device=lambda array, dtype=dtype: torch.tensor(array, dtype=dtype),
            to_numpy=lambda tensor: tensor.float().numpy(), arithmetic=str(dtype).removeprefix("torch."), n=25,
        )  # fmt: skip
        assert report.passed == 25


def test_a_backend_may_write_into_its_inputs():
    """What a backend does to its arrays does not reach the reference."""

    def greedy(x, weights, kernel, **options):
        y = plain_backend.conv(x, weights, kernel, **options)
        x[...] = 0
        weights[...] = 0
        return y

    check_backend(greedy, n=10)


def test_the_same_seed_gives_the_same_problems():
    """Problems and arrays follow from the seed."""
    for first, second, other in zip(
        *([drawer.draw() for _ in range(30)] for drawer in map(Drawer, (7, 7, 8))), strict=True
    ):
        assert repr(first) == repr(second) != repr(other)
    ones, twos = (drawer.draw_trial(drawer.draw()) for drawer in (Drawer(5), Drawer(5)))
    np.testing.assert_array_equal(ones.x, twos.x)


def test_bad_questions():
    """Unknown arithmetics, no problems, and a `supports` that refuses all raise."""
    with pytest.raises(ValueError, match="`arithmetic` must be one of"):
        check_backend(ours, arithmetic="float8")
    with pytest.raises(ValueError, match="`n` must be at least 1, got 0"):
        check_backend(ours, n=0)
    with pytest.raises(ValueError, match="`supports` must serve some problem, and refused all of 30"):
        check_backend(ours, supports=lambda problem: False, n=1)


def test_hypothesis_is_not_needed():
    """The kit runs where hypothesis is not installed."""
    code = (
        "import sys; sys.modules['hypothesis'] = None; import interpolated_kernels as ik;"
        "from interpolated_kernels.testing import check_backend;"
        "print(check_backend(ik.conv, supports=lambda problem: problem.kernel.n_dims == 1, n=2).passed)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2"
