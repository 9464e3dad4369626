import hypothesis
import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.paths.direct import bands as direct_bands
from interpolated_kernels.testing.strategies import cases

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
