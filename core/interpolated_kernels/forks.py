"""What a forked child inherits of numba's threads: an OpenMP layer that was started, and none of its threads.

Only the forking thread lives on in a child. numba kills a child that launches loops on GNU OpenMP's lost threads, and a
child's child waits for them for ever, whoever started the layer: this package, or another library that calls numba. So
this module is imported with the package itself, long before numba, and asks numba at every fork. Where the package is
imported in the child alone, a layer that already runs in a process which was forked counts as inherited: whether the
child itself started it cannot be known, and serial loops are right either way.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

_lost_threads = False
_FORKED = 0x40  # PF_FORKNOEXEC in Linux' include/linux/sched.h: forked, and no other program started since


def has_lost_threads() -> bool:
    """Return whether numba's threading layer was started before a fork that its threads did not survive."""
    return _lost_threads


def started_layer() -> str | None:
    """Return the threading layer that numba runs in this process, whoever launched it, or None."""
    # An import may have been under way at the fork, so that names are missing; numba raises before the first launch.
    with contextlib.suppress(AttributeError, ValueError):
        return str(sys.modules["numba"].threading_layer()) if "numba" in sys.modules else None
    return None


def _after_fork() -> None:
    global _lost_threads
    _lost_threads = _lost_threads or started_layer() == "omp"


def _is_forked() -> bool:
    """Return whether this process was forked and has run no other program since, where the system tells."""
    try:
        after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        return bool(int(after_name[6]) & _FORKED)
    except (OSError, ValueError, IndexError):
        return False


if started_layer() == "omp" and _is_forked():
    _lost_threads = True
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
