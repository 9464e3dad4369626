"""Where compiled loops are kept on disk, and how they are read back.

A file holds one function compiled for one signature, and its name follows from all that its content depends on:

    lattice_forward-_forward_parallel.cpython-311.<stamp>.<entry>.nbc
                                                  |       signature, processor, width of vectors, what a closure holds
                                                  every file of `loops`, the sizes shared with planning, numba's version

So processes that compile the same loop at once write the same file, each whole and under a name of its own first, and
none can meet another's code. No index names the files, which two processes would have to agree on. An edit anywhere in
`loops` recompiles all callers, and the first new entry of a function removes what older sources left of it.

Loops are looked for in every one of `list_folders`, and kept in the first that can be written. Where none can (an image
whose cache was made by another user, a read-only mount, a file in the folder's place), what is there is read, the rest
is compiled, and a warning says so once in a process.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import logging
import os
import pickle
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from interpolated_kernels import folders, tile_sizes
from interpolated_kernels.loops.compile.numba_parts import CompileResult, dumps

_LOG = logging.getLogger("interpolated_kernels")
_BROKEN = (
    EOFError,
    pickle.UnpicklingError,
    ImportError,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    TypeError,
    ValueError,
)
_KEPT_NOWHERE = (
    "compiled loops cannot be kept (%s): every process compiles what it does not find. "
    "Set INTERPOLATED_KERNELS_CACHE_DIR to a folder that can be written"
)
_READ_BADLY = "a compiled loop could not be read back (%r): compiling it again, as others that may follow"


@functools.cache
def list_folders() -> tuple[Path, ...]:
    """Return where compiled loops are looked for, in order; they are kept in the first that can be written.

    `INTERPOLATED_KERNELS_CACHE_DIR` alone if set; else numba's own `NUMBA_CACHE_DIR` if set, `__pycache__` beside the
    loops, and the user's cache folder.
    """
    chosen, user = folders.chosen_folder(), folders.user_folder()
    if chosen is not None:
        return (chosen,)
    numbas = (Path(numba.config.CACHE_DIR) / "interpolated-kernels",) if numba.config.CACHE_DIR else ()
    return (*numbas, Path(__file__).parents[1] / "__pycache__", *(() if user is None else (user,)))


def cache_folder() -> str | None:
    """Return where compiled loops are kept, or None where they are not."""
    writeable = filter(_can_be_written, list_folders() if folders.keeps_files() else ())
    return next(map(str, writeable), None)


def _can_be_written(folder: Path) -> bool:
    """Return whether a folder, or the folder that it would be made in, takes new files."""
    existing = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def keep(dispatcher: Any) -> None:
    """Keep what a dispatcher compiles on disk."""
    dispatcher._cache = _LoopCache(getattr(dispatcher, "py_func", None) or dispatcher.__wrapped__)


counts: Counter[str] = Counter(compiled=0, loaded=0)
"""How many loops this process compiled, and loaded from disk."""


class _LoopCache:
    """One function's compiled forms on disk: what numba's dispatchers ask for, and hand over."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        where = f"{function.__module__.rpartition('.')[2]}-{function.__qualname__.replace('<locals>.', '')}"
        self._base = f"{where}.{sys.implementation.cache_tag}"

    @property
    def cache_path(self) -> str | None:
        """The folder, which numba shows among its statistics."""
        return cache_folder()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled function, or None where there is none that can be read."""
        target_context.refresh()
        key = self._make_key(sig, target_context.codegen())
        for folder in list_folders():
            path = folder / self._name_file(key)
            try:
                kept_key, payload = pickle.loads(path.read_bytes())
                if kept_key == key:
                    counts["loaded"] += 1
                    return CompileResult._rebuild(target_context, *payload)
            except OSError:  # none there, or none that this user may read
                continue
            except _BROKEN as error:  # a file cut short, by a full disk for example
                _warn_once(_READ_BADLY, error)
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
        counts["compiled"] += 1
        _announce()
        return None

    def save_overload(self, sig: Any, compiled: Any) -> None:
        """Keep a compiled function in the first folder that takes it."""
        if compiled.library.has_dynamic_globals:  # addresses of this process
            return
        key = self._make_key(sig, compiled.codegen)
        content, reasons = dumps((key, compiled._reduce())), []
        for folder in list_folders():
            try:
                self._write(folder, self._name_file(key), content)
                return
            except OSError as error:
                reasons.append(f"{folder}: {error.strerror or error}")
        _warn_once(_KEPT_NOWHERE, "; ".join(reasons))

    def flush(self) -> None:
        """Forget every form of this source, as numba does when a function is compiled anew."""
        for folder in list_folders():
            for path in folder.glob(f"{glob.escape(self._base)}.{_stamp()}.*.nbc"):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def _make_key(self, sig: Any, codegen: Any) -> Any:
        """Return what tells one compiled form of the function from another: it compares, and pickles."""
        cells = _describe_closure(self._function)
        shapes = (tile_sizes.VECTOR_BYTES, tile_sizes.REGISTERS)
        return sig, codegen.magic_tuple(), shapes, hashlib.sha256(dumps(cells) if cells else b"").hexdigest()

    def _name_file(self, key: Any) -> str:
        """Return the file's name. Keys that read alike share one, and the key in the file tells which is there."""
        return f"{self._base}.{_stamp()}.{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.nbc"

    def _write(self, folder: Path, name: str, content: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folders.replace_file(folder / name, lambda target: target.write_bytes(content))
        for path in folder.glob(f"{glob.escape(self._base)}.*.nbc"):
            if not path.name.startswith(f"{self._base}.{_stamp()}."):
                with contextlib.suppress(OSError):  # another user's
                    path.unlink(missing_ok=True)


def _describe_closure(function: Callable[..., Any]) -> tuple[Any, ...]:
    """Return what a function's closure holds; for jitted functions their names: numba numbers them anew."""
    return tuple(_describe(cell.cell_contents) for cell in function.__closure__ or ())


def _describe(held: Any) -> Any:
    function = getattr(held, "py_func", None)
    if function is None:
        return held
    return function.__module__, function.__qualname__, _describe_closure(function)


@functools.cache
def _stamp() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for path in (*sorted(Path(__file__).parents[1].rglob("*.py")), Path(tile_sizes.__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


_warned: set[str] = set()


def _warn_once(message: str, *details: Any) -> None:
    """Log a warning, the first time in this process that it comes."""
    if message not in _warned:
        _warned.add(message)
        _LOG.warning(message, *details)


@functools.cache
def _announce() -> None:
    _LOG.info("compiling loops for this machine: some seconds, once")
