"""`interpolated-kernels calibrate`: measure the cost model's constants on this machine, and keep them."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict

from interpolated_kernels.calibration import calibrate
from interpolated_kernels.cli.common import CommandError, print_json
from interpolated_kernels.machine import machine_file

SUMMARY = "measure the cost model's constants on this machine and keep them: two seconds once loops are compiled"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--device", default="cpu", metavar="DEVICE", help="cpu, cuda or cuda:1; cpu by default")
    parser.add_argument("--json", action="store_true", help="print a JSON document")


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print the constants, where they are kept and how long it took.

    Raises
    ------
    CommandError
        If the folder cannot be written, and for a device that is not there.
    """
    start = time.perf_counter()
    try:
        measured = asdict(calibrate(arguments.device))
    except (ValueError, ImportError, RuntimeError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(
            f"constants cannot be kept ({error}): set INTERPOLATED_KERNELS_CACHE_DIR to a folder that can be written"
        ) from None
    seconds, path = time.perf_counter() - start, machine_file(arguments.device.partition(":")[0])
    if arguments.json:
        print_json({"constants": measured, "file": None if path is None else str(path), "seconds": seconds})
        return
    width = max(map(len, measured))
    for name, value in measured.items():
        print(f"{name:{width}}  {value if isinstance(value, str) else f'{value:.3g}'}")
    print(f"kept in {path}, {seconds:.1f} s" if path else f"kept nowhere, for this process alone, {seconds:.1f} s")
