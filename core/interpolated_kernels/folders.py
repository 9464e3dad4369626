"""Where this package may keep files of its own, by the environment, else the user's cache folder, and how it does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path


def keeps_files() -> bool:
    """Return whether anything may be kept: not where `INTERPOLATED_KERNELS_NO_CACHE` is set."""
    return not os.environ.get("INTERPOLATED_KERNELS_NO_CACHE")


def chosen_folder() -> Path | None:
    """Return the folder that `INTERPOLATED_KERNELS_CACHE_DIR` names, or None."""
    chosen = os.environ.get("INTERPOLATED_KERNELS_CACHE_DIR")
    return Path(chosen).absolute() if chosen else None


def user_folder() -> Path | None:
    """Return this package's folder in the user's cache, or None for a user without a home, as containers have them."""
    try:
        return _user_cache() / "interpolated-kernels"
    except RuntimeError:  # what pathlib raises where neither HOME nor the system's list of users names a home
        return None


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside the path, and put it there when it is whole: no reader meets half of it.

    Processes and threads that write the same path at once do not meet each other's.

    Raises
    ------
    OSError
        If the folder cannot be written; what was at the path is left as it was.
    """
    partial = path.with_name(f".{path.name}.{os.urandom(8).hex()}")  # containers that share a folder share numbers too
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
