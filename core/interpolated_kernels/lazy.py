"""Modules that are imported at first use, one thread at a time."""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING, Any

_LOCK = threading.RLock()
_LOADED: dict[str, Any] = {}


def load(name: str) -> Any:
    """Return a module by its dotted name, imported whole.

    Python breaks what would be a deadlock of two imports by handing out a module that is half there: numba imports
    SciPy, and SciPy's packages each other. Under one lock no two of ours begin.
    """
    if name not in _LOADED:
        with _LOCK:
            _LOADED[name] = importlib.import_module(name)
    return _LOADED[name]


class _Package:
    """A package of loops, imported with numba when one of its names is first asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        value = getattr(load(self._name), name)
        setattr(self, name, value)
        return value


if TYPE_CHECKING:
    import interpolated_kernels.loops.cuda

    cuda_loops = interpolated_kernels.loops.cuda
    from interpolated_kernels import loops as loops
else:
    loops = _Package("interpolated_kernels.loops")
    cuda_loops = _Package("interpolated_kernels.loops.cuda")
