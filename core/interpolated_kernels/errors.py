"""The exceptions and warnings that are this package's own."""

import contextlib
import contextvars
import warnings
from collections.abc import Iterator


class AnchorError(ValueError):
    """Anchors that the chosen interpolator cannot serve: duplicates, NaN, off the grid, or too ill-conditioned."""


class AnchorWarning(UserWarning):
    """Anchors that are served, but not as their owner may expect: collinear ones have no slope across their line."""


_is_ignored: contextvars.ContextVar[bool] = contextvars.ContextVar("_is_ignored", default=False)


def warn_of_anchors(message: str, stacklevel: int) -> None:
    """Warn, at as many levels above the caller as `warnings.warn` would, unless warnings are ignored here."""
    if not _is_ignored.get():
        warnings.warn(message, AnchorWarning, stacklevel=stacklevel + 1)


@contextlib.contextmanager
def ignore_anchor_warnings() -> Iterator[None]:
    """Let kernels be made without an `AnchorWarning`: the maker of the kernel that they come from was warned.

    It leaves the filters of `warnings` alone, which belong to all threads, and whose change lets every warning that is
    to be shown once be shown again: layers make a kernel at every step of learning.
    """
    before = _is_ignored.set(True)
    try:
        yield
    finally:
        _is_ignored.reset(before)
