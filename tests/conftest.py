import os

import hypothesis
import numpy as np
import pytest

# Compiling the first loops takes longer than any deadline, and a blob reproduces a failure from the log alone.
hypothesis.settings.register_profile(
    "dev",
    deadline=None,
    max_examples=30,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.filter_too_much],
)
hypothesis.settings.register_profile("ci", parent=hypothesis.settings.get_profile("dev"), derandomize=True)
hypothesis.settings.register_profile("thorough", parent=hypothesis.settings.get_profile("dev"), max_examples=300)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


@pytest.fixture
def threads():
    """`threads(n)` runs what follows on n threads; the number is put back in the end."""
    import interpolated_kernels as ik

    before = ik.get_num_threads()
    yield ik.set_num_threads
    ik.set_num_threads(before)


@pytest.fixture
def find_dtype():
    """`find_dtype(name)` returns a dtype; "bfloat16", which NumPy lacks, skips the test where ml_dtypes is missing."""
    return lambda name: np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if name == "bfloat16" else name)


@pytest.fixture(autouse=True)
def default_machine(monkeypatch):
    """Plan with the default constants, whatever was measured on this machine."""
    from interpolated_kernels import machine

    monkeypatch.setattr(machine, "_current", dict(machine.DEFAULTS))


@pytest.fixture(scope="session")
def spoil():
    """`spoil(case, where, seed)` returns a case with NaN and infinities in some entries of x, weights or grad_y."""

    def put(case, where, seed):
        rng, array = np.random.default_rng(seed), getattr(case, where).copy()
        chosen = rng.uniform(size=array.shape) < rng.choice([0.01, 0.1])
        chosen.flat[rng.integers(array.size)] = True
        array[chosen] = rng.choice([np.nan, np.inf, -np.inf], size=int(chosen.sum()))
        return case.replace(**{where: array})

    return put
