import dataclasses
import threading

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.caching import Cache, bytes_held
from interpolated_kernels.plan import _PREPARED


def _cache(count=3, max_bytes=100):
    return Cache(count, max_bytes, lambda key, value: len(value))


def test_what_is_kept_is_not_made_again():
    """A key that is kept gives the same object; `clear_caches` forgets it."""
    cache = _cache()
    first = cache.get("a", lambda: [1])
    assert cache.get("a", lambda: pytest.fail("made again")) is first
    ik.clear_caches()
    assert len(cache) == cache.held_bytes == 0
    assert cache.get("a", lambda: [2]) == [2]


def test_the_least_recently_used_goes_first():
    """By count and by bytes; what is too large is returned and not kept."""
    cache = _cache()
    for key in "abc":
        cache.get(key, lambda: [0] * 20)
    cache.get("a", list)
    cache.get("d", lambda: [0] * 20)
    assert len(cache) == 3
    assert cache.get("b", lambda: [7]) == [7]
    cache.get("e", lambda: [0] * 90)
    assert cache.held_bytes <= 100
    assert len(cache.get("f", lambda: [0] * 101)) == 101
    assert cache.get("f", list) == []


def test_what_grows_is_weighed_anew():
    """A value that has grown counts with its new bytes, and others go for it."""
    cache, value = _cache(), [0] * 10
    cache.get("a", lambda: [0] * 50)
    cache.get("b", lambda: value)
    value.extend([0] * 60)
    cache.charge("b")
    cache.charge("not kept")
    assert (len(cache), cache.held_bytes) == (1, 70)


def test_threads_meet_one_value():
    """Threads that ask at once all get the value that is kept."""
    cache, found, start = _cache(), [], threading.Barrier(8)

    def ask():
        start.wait()
        found.append(cache.get("a", lambda: [1]))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(value) for value in found}) == 1


def test_plans_and_states_are_bounded_by_bytes():
    """Learning positions leaves bounded caches: each step's kernel is another, and its plan and matrix go in time."""
    rng = np.random.default_rng(0)
    x, weights, grad_y = np.ones((1, 1, 70, 70), np.float32), np.ones((1, 1, 9), np.float32), np.ones((1, 1, 10, 10))
    for _ in range(60):
        kernel = ik.InterpolatedKernel(rng.uniform(0, 60, (9, 2)), (61, 61))
        ik.conv_backward(grad_y.astype(np.float32), x, weights, kernel, wrt=("weights", "positions"))
    caches = ik.planning._PLANS, ik.planning._CALLS, _PREPARED, ik.kernel._MATRICES, ik.filling._FILLINGS
    for cache in caches:
        assert 0 < cache.held_bytes <= cache.max_bytes
        assert len(cache) <= cache.count


def test_new_constants_make_new_plans(monkeypatch):
    """Plans are kept by the machine's constants too: other constants plan anew, and the old ones are met again."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((9, 9), 4), (9, 9), "linear")
    first = ik.plan((32, 32), (9,), kernel)
    monkeypatch.setattr("interpolated_kernels.machine._current", {"cpu": ik.machine.Machine(call_seconds=1.0)})
    second = ik.plan((32, 32), (9,), kernel)
    assert second.cost.seconds > first.cost.seconds
    monkeypatch.undo()
    assert ik.plan((32, 32), (9,), kernel) is first


@pytest.mark.parametrize("is_object", [False, True])
def test_a_value_may_grow_while_it_is_weighed(is_object):
    """What another thread adds meanwhile, as it does to a lazy part's dictionary, is weighed the next time."""

    @dataclasses.dataclass(eq=False)
    class Holder:
        part: object

    class Growing(np.ndarray):
        @property
        def nbytes(self):
            parts["later"] = np.zeros(1)
            return 8

    holder = Holder(np.zeros(1).view(Growing))
    parts = vars(holder) if is_object else {"part": holder.part}
    value, own = (holder, 64) if is_object else (parts, 0)
    assert [bytes_held(value), bytes_held(value)] == [own + 8, own + 16]


def test_bytes_held_counts_arrays_however_deep():
    """Arrays in tuples, lists, dicts and dataclasses count; a kernel or a plan inside does not."""
    array = np.zeros(1000)
    kernel = ik.InterpolatedKernel(np.zeros((1, 2)), (3, 3), "gaussian")
    assert bytes_held(array) == 8000
    assert 16000 <= bytes_held((array, [{"a": array}])) < 17000
    assert bytes_held(kernel) < 100
    structure = ik.InterpolatedKernel(ik.grid_positions((900,), 2), 900, "nearest").factors()
    assert bytes_held(structure) >= structure.order.nbytes
