"""What this package uses of numba beside its public names, in one place.

numba promises nothing of these. Where a release has moved one, the error says which releases are served.
"""

from __future__ import annotations

import numba

OLDEST, NEWEST = "0.60", "0.68"
"""The releases that the tests run with: pyproject.toml's lower bound, and constraints.txt's pin."""

try:
    from llvmlite import binding, ir
    from numba.core import cgutils
    from numba.core.ccallback import CFunc
    from numba.core.compiler import CompileResult
    from numba.core.datamodel import models
    from numba.core.serialize import dumps
    from numba.cpython.unsafe.tuple import tuple_setitem
    from numba.np.ufunc.parallel import get_thread_id
    from numba.np.unsafe.ndarray import to_fixed_tuple
except (ImportError, AttributeError) as error:
    raise ImportError(
        f"interpolated-kernels serves numba {OLDEST} to {NEWEST}; numba {numba.__version__} has moved what it needs "
        f"({error}). Install one of these, for example with `pip install 'numba=={NEWEST}.*'`."
    ) from error

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
