"""The exceptions and warnings that are this package's own."""

import contextlib
import warnings
from collections.abc import Iterator


class AnchorError(ValueError):
    """Anchors that the chosen interpolator cannot serve: duplicates, NaN, off the grid, or too ill-conditioned."""


class AnchorWarning(UserWarning):
    """Anchors that are served, but not as their owner may expect: collinear ones have no slope across their line."""


@contextlib.contextmanager
def ignore_anchor_warnings() -> Iterator[None]:
    """Let kernels be made without an `AnchorWarning`: the maker of the kernel that they come from was warned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnchorWarning)
        yield
