import pickle

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.paths import PATHS

KERNEL = ik.InterpolatedKernel(ik.grid_positions((7, 7), 2), (7, 7), "linear")


def _plan(x_shape=(1, 2, 40, 50), weights_shape=(3, 2, 16), kernel=KERNEL, **options):
    return ik.plan(x_shape, weights_shape, kernel, **options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [8, 40, 300])
def test_the_choice_depends_on_neither_batch_nor_threads(dtype, size, threads):
    """The chosen path is the same for any batch and any number of threads."""
    chosen = set()
    for n_threads in (1, 2):
        threads(n_threads)
        for batch in (0, 1, 2, 64, 4096):
            chosen.add(_plan((batch, 2, size, size), dtype=dtype).path)
    assert len(chosen) == 1


def test_printing_explains_every_path():
    """`print(plan)` has a line for every path, marks the chosen one, and says why the others lost."""
    plan = _plan()
    lines = str(plan).splitlines()
    rows = {name: [line for line in lines if line[2:].startswith(name)] for name in PATHS}
    assert all(len(found) == 1 for found in rows.values())
    assert rows[plan.path][0].startswith("*")
    assert "chosen" in rows[plan.path][0]
    assert {candidate.path for candidate in plan.candidates} == set(PATHS)
    for candidate in plan.candidates:
        assert candidate.path == plan.path or candidate.why_not
    assert f"path: {plan.path}" in lines[1]
    assert "40, 50" in lines[0]


def test_repr_is_short():
    """The repr is one line without the table of candidates."""
    assert "\n" not in repr(_plan())
    assert "Cost(" not in repr(_plan())


@pytest.mark.parametrize("path", sorted(PATHS))
def test_a_named_path_is_forced(path):
    """Naming a path takes it whatever it costs, or says why it cannot serve."""
    if PATHS[path].ACCURACY != "componentwise":
        pytest.skip("only under normwise")
    shape = {"weights_shape": (20, 2, 16)} if path == "basis" else {}  # it serves more filters than anchors
    plan = _plan(path=path, **shape)
    assert plan.path == path
    assert "asked for" in str(plan) or plan.path == _plan(**shape).path


def test_auto_takes_the_cheapest():
    """No candidate that could serve is predicted to be cheaper than the chosen one."""
    plan = _plan()
    costs = {candidate.path: candidate.cost.seconds for candidate in plan.candidates if candidate.cost is not None}
    assert plan.path == min(costs, key=costs.get)


@pytest.mark.parametrize("size", [8, 64])
def test_few_taps_are_no_work_for_numpy(size, monkeypatch):
    """A handful of NumPy's calls costs more than a loop's one, even where there are two taps to multiply."""
    monkeypatch.setattr("interpolated_kernels.machine._current", {"cpu": ik.machine.Machine()})
    kernel = ik.InterpolatedKernel([[0, 0], [1, 1]], (2, 2), "dilated")
    assert _plan((1, 1, size, size), (1, 1, 2), kernel).path == "direct"


def test_max_memory_refuses():
    """A path that needs more than `max_memory` loses and says so; forced it raises, as when none is left."""
    needed = {
        candidate.path: candidate.cost.extra_bytes for candidate in _plan().candidates if candidate.cost is not None
    }
    assert all(value > 0 for value in needed.values())
    with pytest.raises(ValueError, match=r"no path can serve this problem:.*max_memory"):
        _plan(max_memory=0)
    with pytest.raises(ValueError, match=r"`path`='direct' cannot serve this problem:.*max_memory is 1"):
        _plan(path="direct", max_memory=1)
    assert _plan(max_memory=max(needed.values())).path == _plan().path
    with pytest.raises(ValueError, match="max_memory"):
        ik.conv(np.ones((1, 2, 40, 50)), np.ones((3, 2, 16)), KERNEL, max_memory=0)


@pytest.mark.parametrize("mode", ["separate", "tied"])
def test_a_plan_computes(mode):
    """A plan's forward and backward are `conv` and `conv_backward`, and so are those of a pickled plan."""
    rng = np.random.default_rng(0)
    kernel = KERNEL.replace(channel_mode=mode)
    x = rng.standard_normal((2, 2, 12, 13))
    weights = rng.standard_normal((3, 2, 16) if mode == "separate" else (3, 16))
    options = {"stride": 2, "padding": ((1, 2), (0, 3)), "padding_mode": "symmetric"}
    plan = ik.plan(x.shape, weights.shape, kernel, dtype="float64", **options)
    y = ik.conv(x, weights, kernel, **options)
    expected = ik.conv_backward(y, x, weights, kernel, **options)
    copy = pickle.loads(pickle.dumps(plan))
    assert (copy.problem, copy.path) == (plan.problem, plan.path)
    for one in (plan, copy):
        np.testing.assert_array_equal(one.forward(x, weights), y)
        grads = one.backward(y, x, weights, ("x", "weights"))
        np.testing.assert_array_equal(grads.x, expected.x)
        np.testing.assert_array_equal(grads.weights, expected.weights)
    assert len(pickle.dumps(plan)) < 10_000


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: _plan(path="fast"), ValueError, "`path` must be 'auto' or one of.*fast"),
        (lambda: _plan(dtype="float16"), ValueError, "`dtype` must be 'float32' or 'float64'"),
        (lambda: _plan(dtype="int64"), ValueError, "`dtype` must be"),
        (lambda: _plan(device="gpu:0"), ValueError, "`device` must be 'cpu', 'cuda' or"),
        (lambda: _plan((1, 3, 40, 50)), ValueError, "`weights` must have shape"),
        (lambda: _plan((1, 2, 40, 6)), ValueError, "`window` must fit"),
        (lambda: _plan(strides=2), TypeError, "strides"),
        (
            lambda: _plan().forward(np.ones((1, 2, 40, 51)), np.ones((3, 2, 16))),
            ValueError,
            "`x` must have the planned shape",
        ),
        (
            lambda: _plan().forward(np.ones((1, 2, 40, 50)), np.ones((3, 16))),
            ValueError,
            "`weights` must have the planned",
        ),
        (
            lambda: _plan().backward(np.ones(3), np.ones((1, 2, 40, 50)), np.ones((3, 2, 16))),
            ValueError,
            "`grad_y` must have the planned shape",
        ),
        (
            lambda: _plan().backward(np.ones((1, 3, 34, 44)), np.ones((1, 2, 40, 50)), np.ones((3, 2, 16)), ("bias",)),
            ValueError,
            "`wrt`",
        ),
    ],
)
def test_bad_plans(call, error, match):
    """Wrong shapes and options raise when planning, wrong arrays when executing."""
    with pytest.raises(error, match=match):
        call()


def test_arrays_of_too_many_cells_raise():
    """Sizes whose products overflow an index raise before anything is computed."""
    with pytest.raises(ValueError, match=r"2\^62 cells"):
        _plan((2**40, 2, 2**12, 2**12))


def test_planning_sees_no_values():
    """Two calls of equal shapes take one plan, whatever the values: NaN, zeros or huge numbers."""
    ik.clear_caches()
    for value in (0.0, np.nan, 1e300):
        ik.conv(np.full((9, 9), value), np.full(16, value), KERNEL)
    assert len(ik.planning._CALLS) == len(ik.planning._PLANS) == 1
