"""The constants of the cost model: defaults, or what `calibrate` measured on this machine and kept."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import platform
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from interpolated_kernels import folders
from interpolated_kernels.lazy import cuda_loops
from interpolated_kernels.tile_sizes import VECTOR_BYTES

_LOG = logging.getLogger("interpolated_kernels")
_VERSION = 2
_WIDEST_RANGE = 1e12
"""Far outside it, the seconds of a plan would overflow."""


@dataclass(frozen=True)
class Machine:
    """The constants of the cost model: one thread of one machine, float32; the defaults by the width of its vectors."""

    name: str = "defaults"
    multiply_adds_per_second: float = {16: 22e9, 32: 45e9, 64: 120e9}[VECTOR_BYTES]
    numpy_multiply_adds_per_second: float = 0.3e9
    fft_flops_per_second: float = {16: 8e9, 32: 13e9, 64: 23e9}[VECTOR_BYTES]
    mixed_per_second: float = 4e9
    bytes_per_second: float = {16: 8e9, 32: 8e9, 64: 14e9}[VECTOR_BYTES]
    call_seconds: float = 20e-6
    task_seconds: float = {16: 1.5e-6, 32: 1.5e-6, 64: 0.6e-6}[VECTOR_BYTES]

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, field.name) for field in fields(self)))


DEFAULTS = {
    "cpu": Machine(),
    "cuda": Machine(
        name="defaults of a GPU",
        multiply_adds_per_second=10e12,
        fft_flops_per_second=1e12,
        mixed_per_second=1e12,
        bytes_per_second=1.5e12,
        call_seconds=30e-6,
        task_seconds=1e-9,
    ),
}
"""By kind of device: one thread of a processor, and a whole GPU."""

_current: dict[str, Machine] = {}


def current_machine(device: str = "cpu") -> Machine:
    """Return the constants that were measured on this processor, or GPU, and kept, else the defaults."""
    kind = device.partition(":")[0]
    if kind not in _current:
        _current[kind] = _load(kind)
    return _current[kind]


def _load(kind: str) -> Machine:
    path = machine_file(kind)
    if path is None:
        return DEFAULTS[kind]
    try:
        return _read(path.read_text(encoding="utf-8"), kind) if path.is_file() else DEFAULTS[kind]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        _LOG.warning("the machine's constants in %s cannot be read (%r): using the defaults", path, error)
        return DEFAULTS[kind]


def _read(text: str, kind: str) -> Machine:
    """Return the constants of a document; the defaults for another processor's, width's or version's."""
    kept, default = json.loads(text), DEFAULTS[kind]
    if (kept["version"], kept["processor"], kept.get("vector_bytes")) != _identify(kind):
        return default
    name = kept["constants"]["name"]
    if not isinstance(name, str) or not name.isprintable():
        raise ValueError("the name must be one line of text")
    constants = {field.name: float(kept["constants"][field.name]) for field in fields(Machine)[1:]}
    for constant, value in constants.items():
        if not 1 / _WIDEST_RANGE < value / getattr(default, constant) < _WIDEST_RANGE:
            raise ValueError(f"{constant} must be within a factor of {_WIDEST_RANGE:g} of its default")
    return Machine(name, **constants)


def _identify(kind: str) -> tuple[int, str, int | None]:
    """Return what constants hold for: the version of the cost model, the processor or GPU, and its vectors' bytes."""
    if kind == "cpu":
        return _VERSION, processor(), VECTOR_BYTES
    try:
        return _VERSION, cuda_loops.device_name(), None
    except (ImportError, RuntimeError):  # a plan for a GPU needs none
        return _VERSION, "", None


def keep_machine(machine: Machine, kind: str = "cpu") -> Path | None:
    """Use constants from now on, and keep them for this processor; return the file, or None if none is to be kept.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    _current[kind] = machine
    path = machine_file(kind)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        of_whom = dict(zip(("version", "processor", "vector_bytes"), _identify(kind), strict=True))
        text = json.dumps({**of_whom, "constants": asdict(machine)}, indent=2) + "\n"
        folders.replace_file(path, lambda target: target.write_text(text, encoding="utf-8"))
    return path


def machine_file(kind: str = "cpu") -> Path | None:
    """Return where constants are kept: `INTERPOLATED_KERNELS_CACHE_DIR`, or the user's cache folder.

    None where `INTERPOLATED_KERNELS_NO_CACHE` is set, and for a user without a home.
    """
    folder = (folders.chosen_folder() or folders.user_folder()) if folders.keeps_files() else None
    return None if folder is None else folder / ("machine.json" if kind == "cpu" else f"machine-{kind}.json")


@functools.cache
def processor() -> str:
    """Return the processor's model, as far as the system tells it."""
    with contextlib.suppress(OSError):  # Linux alone has this file, and not every container shows it
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
