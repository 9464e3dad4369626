"""Caches that are bounded by what they hold and by how much of it, in constant time a call."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import is_dataclass
from typing import Generic, TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

_ALL: list[Cache] = []  # type: ignore[type-arg] # of any key and value


class Cache(Generic[Key, Value]):
    """The values made last, up to a count and a sum of bytes; safe from several threads.

    Parameters
    ----------
    count : int
        The most entries.
    max_bytes : int
        The most bytes of all entries together. A value of more is returned and not kept.
    bytes_of : callable
        From a key and its value to the bytes that both hold.
    """

    def __init__(self, count: int, max_bytes: int, bytes_of: Callable[[Key, Value], int]) -> None:
        self.count, self.max_bytes, self._bytes_of = count, max_bytes, bytes_of
        self.held_bytes = 0
        self._kept: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._lock = threading.Lock()
        _ALL.append(self)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return the value of a key, made where it is not kept; threads that come at once may each make it."""
        try:  # each of these is one step of the interpreter's: no lock is needed
            value = self._kept[key][0]
            self._kept.move_to_end(key)
            return value
        except KeyError:  # not kept, or dropped by another thread just now
            pass
        value = make()
        size = self._bytes_of(key, value)
        with self._lock:
            if key in self._kept:
                return self._kept[key][0]
            if size <= self.max_bytes:
                self._kept[key] = value, size
                self.held_bytes += size
            self._drop()
        return value

    def charge(self, key: Key) -> None:
        """Weigh a kept value anew, which has grown since."""
        with self._lock:
            if key not in self._kept:
                return
            value, size = self._kept[key]
            grown = self._bytes_of(key, value)
            self._kept[key] = value, grown
            self.held_bytes += grown - size
            self._drop()

    def _drop(self) -> None:
        while self._kept and (self.held_bytes > self.max_bytes or len(self._kept) > self.count):
            self.held_bytes -= self._kept.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self.held_bytes = 0


def bytes_held(value: object) -> int:
    """Return the bytes of the arrays in a value: in tuples, lists, dicts and dataclasses, however deep.

    What compares by value (a problem, a kernel, a plan) belongs to others, and is not followed.
    """
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, (tuple, list)):
        return 16 * len(value) + sum(map(bytes_held, value))
    if isinstance(value, dict):
        return sum(map(bytes_held, list(value.values())))  # a list, since other threads may add parts meanwhile
    if is_dataclass(value) and not isinstance(value, type) and type(value).__eq__ is object.__eq__:
        return 64 + sum(map(bytes_held, list(vars(value).values())))
    return 64


def clear_caches() -> None:
    """Forget all matrices, fillings and plans that are kept: the next calls make them anew.

    Examples
    --------
    >>> import interpolated_kernels as ik
    >>> ik.clear_caches()
    """
    for cache in _ALL:
        cache.clear()
