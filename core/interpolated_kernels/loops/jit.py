"""The one jit decorator: what is compiled how, and where it is kept.

Compiled code is kept on disk: in `INTERPOLATED_KERNELS_CACHE_DIR` if set, else where numba keeps it;
`INTERPOLATED_KERNELS_NO_CACHE=1` keeps nothing. The stamp of an entry is a hash of every file in this folder, so that
an edit anywhere in it recompiles its callers.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

_LOG = logging.getLogger("interpolated_kernels")
_BROKEN = (
    EOFError,
    OSError,
    pickle.UnpicklingError,
    ImportError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
)

FLAGS = {"contract", "nsz"}
"""Fused multiply-add is welcome and the sign of zero is free; NaN and infinity are kept."""


def jit(function: Callable[..., Any] | None = None, *, parallel: bool = False) -> Any:
    """Compile at the first call, without the interpreter's lock, and keep the result on disk."""
    if function is None:
        return functools.partial(jit, parallel=parallel)
    dispatcher = numba.njit(nogil=True, error_model="numpy", fastmath=FLAGS, parallel=parallel)(function)
    if not numba.config.DISABLE_JIT and not os.environ.get("INTERPOLATED_KERNELS_NO_CACHE"):
        _keep(dispatcher)
    return dispatcher


def cache_folder() -> str | None:
    """Return where compiled loops are kept, or None where they are not."""
    return _cache_folder


_cache_folder: str | None = None


def _keep(dispatcher: Any) -> None:
    global _cache_folder
    try:
        dispatcher._cache = _Cache(dispatcher.py_func)
    except RuntimeError:  # no folder can be written: a read-only installation without a home
        _LOG.warning("compiled loops cannot be kept: no cache folder is writeable, set INTERPOLATED_KERNELS_CACHE_DIR")
        return
    _cache_folder = dispatcher._cache.cache_path


@functools.cache
def _stamp() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class _CacheFile(IndexDataCacheFile):
    """A cache entry that a truncated file or a full disk cannot turn into an error: it compiles again."""

    def load(self, key: Any) -> Any:
        try:
            found = super().load(key)
        except _BROKEN as error:
            _LOG.warning("a compiled loop could not be read back (%s): compiling it again", error)
            self._discard()
            found = None
        if found is None:
            _announce()
        return found

    def save(self, key: Any, data: Any) -> None:
        try:
            super().save(key, data)
        except _BROKEN as error:
            _LOG.warning("a compiled loop could not be kept in %s (%s)", self._cache_path, error)

    def _discard(self) -> None:
        Path(self._index_path).unlink(missing_ok=True)


class _Cache(FunctionCache):
    """numba's function cache with this package's stamp, folder and recovery."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        folder = os.environ.get("INTERPOLATED_KERNELS_CACHE_DIR")
        if folder:
            self._cache_path = folder
            self._impl.locator.get_cache_path = lambda: folder
            self._impl.locator.ensure_cache_path()
        self._cache_file = _CacheFile(self._cache_path, self._impl.filename_base, _stamp())

    def _load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super()._load_overload(sig, target_context)
        except _BROKEN as error:
            _LOG.warning("a compiled loop could not be rebuilt (%s): compiling it again", error)
            self._cache_file._discard()
            return None


@functools.cache
def _announce() -> None:
    _LOG.info("compiling loops for this machine: some seconds, once")
