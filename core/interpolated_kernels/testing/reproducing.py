"""Python code that shows a failure again: it calls what failed, and writes no files.

Arrays are written out: as lists where they are short, else compressed. What is too large for a message is left to be
filled in. What failed is imported by its module and qualified name; a local function or a lambda has none that another
program could use, and is left to be filled in as well.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.kernel import InterpolatedKernel

HEADING = "To see it again:\n\n"

_MOST_ENTRIES_IN_LIST = 64
_MOST_BYTES_IN_CODE = 4096
_IMPORTS = {
    "base64.": "import base64",
    "zlib.": "import zlib",
    "inf": "from numpy import inf",
    "nan": "from numpy import nan",
}


def write_program(
    kernel: InterpolatedKernel, arrays: Mapping[str, FloatArray], call: list[str], checks: Mapping[str, Any]
) -> str:
    """Return the program: imports, kernel, arrays, the lines that make `actual`, and the assertion that it fails.

    Parameters
    ----------
    kernel : InterpolatedKernel
    arrays : mapping of str to array
        By the names that the program gives them: x, weights and, for gradients, grad_y.
    call : list of str
        Lines that end in `actual = ...`.
    checks : mapping
        The keyword arguments of `assert_matches_reference`, the options of `conv` among them.
    """
    keywords = {name: name for name in arrays if name == "grad_y"} | {
        name: repr(value) for name, value in checks.items()
    }
    lines = [write_kernel(kernel), *(f"{name} = {write_array(array)}" for name, array in arrays.items()), *call]
    lines.append(f"testing.assert_matches_reference(actual, x, weights, kernel{write_keywords(keywords)})")
    imports = [line for word, line in _IMPORTS.items() if any(word in line for line in lines)]
    head = [
        *imports,
        "import numpy",
        "import interpolated_kernels as ik",
        "from interpolated_kernels import testing",
        "",
    ]
    return HEADING + "\n".join(head + lines)


def write_keywords(keywords: Mapping[str, str]) -> str:
    """Return keyword arguments, from expressions by name, as they follow others in a call."""
    return "".join(f", {name}={value}" for name, value in keywords.items())


def write_kernel(kernel: InterpolatedKernel) -> str:
    """Return the line that makes a kernel."""
    try:
        return f"kernel = ik.InterpolatedKernel.from_dict({kernel.to_dict()!r})"
    except ValueError:  # an interpolator that was never registered
        return f"kernel = ...  # {kernel!r}: its interpolator is not registered, so build it by hand"


def write_array(array: FloatArray) -> str:
    """Return an expression that makes an array, or `...` where it is too large."""
    if array.size == 0:
        return f"numpy.zeros({array.shape}, {array.dtype.name!r})"
    if array.size <= _MOST_ENTRIES_IN_LIST:
        return f"numpy.array({array.tolist()!r}, {array.dtype.name!r})"
    if array.nbytes > _MOST_BYTES_IN_CODE:
        return f"...  # {array.dtype} {array.shape}: too large to be written here"
    text = base64.b85encode(zlib.compress(np.ascontiguousarray(array).tobytes())).decode()
    data = f"zlib.decompress(base64.b85decode({text!r}))"
    return f"numpy.frombuffer({data}, {array.dtype.name!r}).reshape({array.shape})"


def write_import(name: str, function: Callable[..., Any] | None) -> list[str]:
    """Return the lines that give a function a name: an import, or a place to fill in."""
    module, path = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not path or "<" in path:
        return [f"{name} = ...  # {function!r} cannot be imported: put it here"]
    first, *rest = path.split(".")
    if module == "__main__":
        return [f"{name} = {path}  # append this to the program that defines it"]
    return [f"from {module} import {first}", f"{name} = {'.'.join([first, *rest])}"]


def name_function(function: Callable[..., Any]) -> str:
    """Return the module and qualified name of a function, or what else says which it is."""
    module, path = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    return f"{module}.{path}" if module and path else repr(function)
