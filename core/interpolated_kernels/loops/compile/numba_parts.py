"""What this package uses of numba beside its public names, in one place.

numba promises nothing of these. Where a release has moved one, the error says which releases are served.
"""

from __future__ import annotations

import itertools
import os

import numba

OLDEST, NEWEST = "0.60", "0.68"
"""The releases that the tests run with: pyproject.toml's lower bound, and constraints.txt's pin."""

try:
    from llvmlite import binding, ir
    from numba.core import cgutils
    from numba.core.bytecode import FunctionIdentity
    from numba.core.ccallback import CFunc
    from numba.core.compiler import CompileResult
    from numba.core.datamodel import models
    from numba.core.serialize import dumps
    from numba.cpython.unsafe.tuple import tuple_setitem
    from numba.np.ufunc.parallel import get_thread_id
    from numba.np.unsafe.ndarray import to_fixed_tuple

    _first_number = next(FunctionIdentity._unique_ids)
except (ImportError, AttributeError) as error:
    raise ImportError(
        f"interpolated-kernels serves numba {OLDEST} to {NEWEST}; numba {numba.__version__} has moved what it needs "
        f"({error}). Install one of these, for example with `pip install 'numba=={NEWEST}.*'`."
    ) from error

# Numba tells functions of one name, which a factory makes, apart by numbers that start anew in every process. What two
# processes compiled and kept meets in a third, where equal names are taken for one function: so numbers start apart.
FunctionIdentity._unique_ids = itertools.count(_first_number + int.from_bytes(os.urandom(6)))

__all__ = [
    "NEWEST",
    "OLDEST",
    "CFunc",
    "CompileResult",
    "binding",
    "cgutils",
    "dumps",
    "get_thread_id",
    "ir",
    "models",
    "to_fixed_tuple",
    "tuple_setitem",
]
