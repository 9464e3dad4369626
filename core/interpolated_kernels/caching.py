"""A cache bounded by what it holds, not by how many."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

from interpolated_kernels.arrays import FloatArray

Key = TypeVar("Key", bound=Hashable)


def keep_by_bytes(max_bytes: int) -> Callable[[Callable[[Key], FloatArray]], Callable[[Key], FloatArray]]:
    """Keep a function's latest arrays, dropping the least recently used beyond `max_bytes`."""

    def decorate(function: Callable[[Key], FloatArray]) -> Callable[[Key], FloatArray]:
        kept: OrderedDict[Key, FloatArray] = OrderedDict()
        lock = threading.Lock()

        @functools.wraps(function)
        def cached(key: Key) -> FloatArray:
            with lock:
                if key in kept:
                    kept.move_to_end(key)
                    return kept[key]
            result = function(key)
            if result.nbytes <= max_bytes:
                with lock:
                    kept[key] = result
                    while sum(array.nbytes for array in kept.values()) > max_bytes:
                        kept.popitem(last=False)
            return result

        return cached

    return decorate
