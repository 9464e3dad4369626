"""The one jit decorator: what is compiled how, and where it is kept.

Compiled code is kept on disk: in `INTERPOLATED_KERNELS_CACHE_DIR` if set, else where numba keeps it;
`INTERPOLATED_KERNELS_NO_CACHE=1` keeps nothing. The stamp of an entry is a hash of every file in this folder, so that
an edit anywhere in it recompiles its callers.
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

import numba
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.ccallback import CFunc
from numba.extending import intrinsic

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


def jit(
    function: Callable[..., Any] | None = None,
    *,
    parallel: bool = False,
    inner: bool = False,
    returns_arrays: bool = False,
    reassociates: bool = False,
) -> Any:
    """Compile at the first call, without the interpreter's lock, and keep the result on disk.

    An `inner` function is called by jitted ones alone, and is spared the wrappers that Python needs. It does not count
    references to its arrays, which took a tenth of the time, unless it `returns_arrays` or calls what does. One that
    `reassociates` sums in an order of the compiler's choice, the same in every run: dot products are vectorized so.
    """
    if function is None:
        return functools.partial(
            jit, parallel=parallel, inner=inner, returns_arrays=returns_arrays, reassociates=reassociates
        )
    flags = FLAGS | {"reassoc"} if reassociates else FLAGS
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": returns_arrays} if inner else {}
    dispatcher = numba.njit(nogil=True, error_model="numpy", fastmath=flags, parallel=parallel, **options)(function)
    if not numba.config.DISABLE_JIT and not os.environ.get("INTERPOLATED_KERNELS_NO_CACHE"):
        _keep(dispatcher)
    return dispatcher


def apart(name: str, arguments: str) -> Callable[[Callable[..., Any]], Any]:
    """Compile a loop once for each dtype, and let jitted callers reach it as a symbol.

    numba optimises a jitted function again within every caller, and within the callers of those; what is called apart
    is compiled alone. The loop takes pointers and ints: `arguments` says for each "f" a pointer to the floats' dtype,
    "d" one to float64, "o" one to int32, "r" one to int64, "i" an int64. Callers pass arrays and ints, floats of one
    dtype; `load_apart` must have run for it.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if numba.config.DISABLE_JIT:
            return function
        _APART[name] = (function, arguments)

        @intrinsic
        def call(typing_context, *given):
            dtype = given[arguments.index("f")].dtype
            packed = types.StarArgTuple(given)

            def generate(context, builder, signature, values):
                passed = []
                for index, (kind, passed_type) in enumerate(zip(arguments, signature.args[0].types, strict=True)):
                    value = builder.extract_value(values[0], index)
                    if kind == "i":
                        passed.append(context.cast(builder, value, passed_type, types.int64))
                    else:
                        passed.append(context.make_array(passed_type)(context, builder, value).data)
                function_type = ir.FunctionType(ir.VoidType(), [value.type for value in passed])
                symbol = cgutils.get_or_insert_function(builder.module, function_type, _symbol(name, dtype))
                builder.call(symbol, passed)
                return context.get_dummy_value()

            return types.void(packed), generate

        return call

    return decorate


def _symbol(name: str, dtype: Any) -> str:
    """Return the name of a loop for a dtype in the whole process."""
    return f"interpolated_kernels_{name}_{dtype}"


_APART: dict[str, tuple[Callable[..., Any], str]] = {}


@functools.cache
def load_apart(dtype: Any) -> None:
    """Compile, or load, the loops that are called apart for a NumPy dtype, before their callers."""
    floats = getattr(types, dtype.name)
    pointers = {"f": floats, "d": types.float64, "o": types.int32, "r": types.int64}
    kinds = {kind: types.CPointer(pointed) for kind, pointed in pointers.items()}
    for name, (function, arguments) in _APART.items():
        signature = types.void(*(kinds.get(kind, types.int64) for kind in arguments))
        loop = CFunc(function, (signature.args, signature.return_type), {}, {"error_model": "numpy", "fastmath": FLAGS})
        if not os.environ.get("INTERPOLATED_KERNELS_NO_CACHE"):
            _keep(loop)
        loop.compile()
        binding.add_symbol(_symbol(name, dtype), loop.address)
        _LOADED.append(loop)


_LOADED: list[Any] = []


def cache_folder() -> str | None:
    """Return where compiled loops are kept, or None where they are not."""
    return _cache_folder


_cache_folder: str | None = None


def _keep(dispatcher: Any) -> None:
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
    for path in sorted(Path(__file__).parent.glob("*.py")):
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
