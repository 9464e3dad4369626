import hypothesis
import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels import loops
from interpolated_kernels.paths import direct
from interpolated_kernels.paths.direct import bands as direct_bands
from interpolated_kernels.testing.strategies import cases
from interpolated_kernels.tile_sizes import count_lanes

OPTIONS = {"path": "direct"}


@pytest.fixture(scope="module")
def smallest_bands():
    """Bands of a single output each, for the functions that run under it."""
    patch = pytest.MonkeyPatch()

    def run(function):
        ik.clear_caches()
        patch.setattr(direct_bands, "_PACKED_BYTES", 1)
        try:
            return function()
        finally:
            patch.undo()
            ik.clear_caches()

    return run


@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(case=cases())
def test_bands_change_no_bits(smallest_bands, case):
    """C8: y and the gradient by x have the same bits in one band and in many; the weights' gradient keeps C1."""
    whole = case.results(**OPTIONS)
    by_bands = smallest_bands(lambda: case.results(**OPTIONS))
    for quantity in ("y", "grad_x"):
        np.testing.assert_array_equal(by_bands[quantity], whole[quantity])
    case.assert_matches("grad_weights", by_bands["grad_weights"])


@pytest.mark.parametrize("shape", [(90_000,), (300, 301), (40, 50, 45)])
@pytest.mark.parametrize("options", [{"padding": "same"}, {"padding": 3, "padding_mode": "reflect", "stride": 2}])
def test_bands_follow_max_memory(shape, options):
    """Bands are as large as `max_memory` lets them be, and the plan says what they take."""
    kernel = ik.InterpolatedKernel([[1.0] * len(shape), [3.0] * len(shape)], (5,) * len(shape), "gaussian")
    needed = {}
    for limit in (None, 200_000):
        plan = ik.plan((1, 1, *shape), (1, 1, 2), kernel, path="direct", max_memory=limit, **options)
        needed[limit] = plan.cost.extra_bytes
    assert needed[200_000] <= 200_000 < needed[None]
    rng = np.random.default_rng(0)
    x, weights = rng.standard_normal((1, 1, *shape)).astype(np.float32), np.ones((1, 1, 2), np.float32)
    results = [ik.conv(x, weights, kernel, max_memory=limit, **OPTIONS, **options) for limit in (None, 200_000)]
    np.testing.assert_array_equal(*results)


def test_the_worked_example():
    """What `paths.direct` draws is what is packed: window 3, stride 2, 7 cells, float64, two filters; any width."""
    kernel = ik.InterpolatedKernel([[0.0], [1.0], [2.0]], (3,), "linear")
    plan = ik.plan((1, 1, 7), (2, 1, 3), kernel, dtype="float64", path="direct", stride=2)
    prepared = direct.prepare(plan.problem)
    buffer, taps = prepared.x_source.cut(0), prepared.forward_pass.taps
    lanes = count_lanes(np.float64)
    columns = np.full((2, -(-3 // lanes) * lanes + 1), -1)
    columns[0, :4], columns[1, :3] = [0, 2, 4, 6], [1, 3, 5]
    np.testing.assert_array_equal(buffer.columns, columns.ravel())
    np.testing.assert_array_equal(taps.offsets, [0, columns.shape[1], 1])
    (block,) = (loops.TapBlock(*row) for row in taps.blocks)
    assert (block.first, block.width, block.n_taps, block.tap_start) == (0, 2, 3, 0)
    weights = np.empty(taps.n_weights)
    loops.pack_weights(np.array([1.0, 2, 3, 10, 20, 30]), taps, weights)
    np.testing.assert_array_equal(weights, [1, 10, 2, 20, 3, 30])
    bank, x = np.array([[[1.0, 2.0, 3.0]], [[10.0, 20.0, 30.0]]]), np.arange(1.0, 8.0).reshape(1, 1, 7)
    row = buffer.pack(x)[: len(buffer.columns)]
    met = np.array([[row[output + offset] for output in range(3)] for offset in taps.offsets])
    np.testing.assert_array_equal(met, [[1, 3, 5], [2, 4, 6], [3, 5, 7]])
    np.testing.assert_array_equal(ik.conv(x, bank, kernel, stride=2, **OPTIONS)[0], bank[:, 0] @ met)
    even, odd = prepared.grad_x_passes
    assert (even.taps.sources.tolist(), odd.taps.sources.tolist()) == ([2, 0, 3 + 2, 3 + 0], [1, 3 + 1])
