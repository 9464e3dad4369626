import sys

import pytest


@pytest.fixture(autouse=True)
def one_thread():
    """Frameworks' threads only hinder each other on convolutions as small as those of the tests."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
