"""The constants of the cost model: defaults, or what `calibrate` measured on this machine and kept."""

from __future__ import annotations

import functools
import json
import logging
import os
import platform
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

_LOG = logging.getLogger("interpolated_kernels")
_VERSION = 1


@dataclass(frozen=True)
class Machine:
    """The constants of the cost model: one thread of one machine, float32."""

    name: str = "defaults"
    multiply_adds_per_second: float = 45e9
    numpy_multiply_adds_per_second: float = 0.3e9
    fft_flops_per_second: float = 6.5e9
    mixed_per_second: float = 4e9
    bytes_per_second: float = 8e9
    call_seconds: float = 20e-6
    task_seconds: float = 1.5e-6

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, field.name) for field in fields(self)))


def current_machine() -> Machine:
    """Return the constants that were measured on this processor and kept, else the defaults."""
    global _current
    if _current is None:
        _current = _load()
    return _current


_current: Machine | None = None


def _load() -> Machine:
    path = machine_file()
    if path is None or not path.is_file():
        return Machine()
    try:
        kept = json.loads(path.read_text())
        if (kept["version"], kept["processor"]) != (_VERSION, processor()):
            return Machine()
        constants = {field.name: float(kept["constants"][field.name]) for field in fields(Machine)[1:]}
        if not all(0 < value < float("inf") for value in constants.values()):
            raise ValueError("constants must be positive and finite")
    except (OSError, ValueError, KeyError, TypeError) as error:
        _LOG.warning("the machine's constants in %s cannot be read (%r): using the defaults", path, error)
        return Machine()
    return Machine(str(kept["constants"]["name"]), **constants)


def keep_machine(machine: Machine) -> Path | None:
    """Use constants from now on, and keep them for this processor; return the file, or None if none is to be kept.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    global _current
    _current = machine
    path = machine_file()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {"version": _VERSION, "processor": processor(), "constants": asdict(machine)}
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(whole, indent=2) + "\n")
        partial.replace(path)
    return path


def machine_file() -> Path | None:
    """Return where constants are kept: `INTERPOLATED_KERNELS_CACHE_DIR`, or the user's cache folder.

    None where `INTERPOLATED_KERNELS_NO_CACHE` is set.
    """
    if os.environ.get("INTERPOLATED_KERNELS_NO_CACHE"):
        return None
    own = os.environ.get("INTERPOLATED_KERNELS_CACHE_DIR")
    return (Path(own) if own else _user_cache() / "interpolated-kernels") / "machine.json"


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))


@functools.cache
def processor() -> str:
    """Return the processor's model, as far as the system tells it."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
