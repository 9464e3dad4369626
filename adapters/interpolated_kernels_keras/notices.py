"""Warnings at the line of the user's, whatever of Keras and of this package lies between."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any

_BETWEEN = ("keras", "interpolated_kernels", "interpolated_kernels_keras", "contextlib")


def warn(message: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Warn where code of neither Keras nor this package called."""
    frame: Any = sys._getframe()
    level = 1
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in _BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=max(level, 2))


@contextlib.contextmanager
def at_users_line() -> Iterator[None]:
    """Give the warnings of a block at the line of the user's."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for one in caught:
        warn(one.message, one.category)
