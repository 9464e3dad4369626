import hypothesis
import numpy as np
from hypothesis import strategies as st

import interpolated_kernels as ik

IDENTITY = ik.InterpolatedKernel([[0]], 1, "nearest")
PADS = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap", "symmetric": "symmetric"}


@hypothesis.given(st.sampled_from(sorted(PADS)), st.integers(1, 9), st.data())
def test_padding_modes_are_numpys(mode, size, data):
    """A window of one cell shows the padded input: numpy.pad's constant, reflect, edge, wrap and symmetric."""
    limit = {"reflect": size - 1, "circular": size, "symmetric": size}.get(mode, 12)
    pair = data.draw(st.tuples(st.integers(0, limit), st.integers(0, limit)))
    x = np.random.default_rng(0).standard_normal(size)
    for path in ("direct", "reference"):
        y = ik.conv(x, np.ones(1), IDENTITY, padding=(pair,), padding_mode=mode, path=path)
        np.testing.assert_array_equal(y, np.pad(x, pair, mode=PADS[mode]))
