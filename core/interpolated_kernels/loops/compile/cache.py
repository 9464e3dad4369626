"""Where compiled code is kept on disk, and how it is read back.

It is kept in `INTERPOLATED_KERNELS_CACHE_DIR` if set, else where numba keeps it; `INTERPOLATED_KERNELS_NO_CACHE=1`
keeps nothing. The stamp of an entry is a hash of every file of `loops`, and of the sizes that these share with
planning, so that an edit anywhere in them recompiles all callers.
"""

from __future__ import annotations

import functools
import glob
import hashlib
import logging
import os
import pickle
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile

from interpolated_kernels import tile_sizes

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


def cache_folder() -> str | None:
    """Return where compiled loops are kept, or None where they are not."""
    return _cache_folder


_cache_folder: str | None = None


def keep(dispatcher: Any) -> None:
    """Keep what a dispatcher compiles on disk, where a folder can be written."""
    global _cache_folder
    try:
        dispatcher._cache = _Cache(getattr(dispatcher, "py_func", None) or dispatcher.__wrapped__)
    except RuntimeError:  # no folder can be written: a read-only installation without a home
        _LOG.warning("compiled loops cannot be kept: no cache folder is writeable, set INTERPOLATED_KERNELS_CACHE_DIR")
        return
    _cache_folder = dispatcher._cache.cache_path


@functools.cache
def _stamp() -> str:
    digest = hashlib.sha256()
    for path in (*sorted(Path(__file__).parents[1].rglob("*.py")), Path(tile_sizes.__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class _CacheFile(IndexDataCacheFile):
    """A cache entry that a truncated file or a full disk cannot turn into an error: it compiles again.

    numba numbers data files, and names one in the index before it is there: a process that reads meanwhile, or compiles
    another signature, can meet the code of another signature or an older source under that name, and run it. Here every
    data file has a name of its own, and stands there before the index names it.
    """

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
            self._save_once(key, data)
        except _BROKEN as error:
            _LOG.warning("a compiled loop could not be kept in %s (%s)", self._cache_path, error)

    def _save_once(self, key: Any, data: Any) -> None:
        base = self._index_name.removesuffix(".nbi")
        name = f"{base}.{uuid.uuid4().hex[:16]}.nbc"
        self._save_data(name, data)
        overloads = self._load_index()
        if not overloads:  # a first entry, or the first of this source: what else there is belongs to older ones
            for path in Path(self._cache_path).glob(f"{glob.escape(base)}.*.nbc"):
                if path.name != name:
                    path.unlink(missing_ok=True)
        self._save_index({**overloads, key: name})

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
