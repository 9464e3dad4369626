"""`interpolated-kernels warmup`: compile the loops ahead, for an image or before the first call."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from interpolated_kernels.cli.common import print_json
from interpolated_kernels.lazy import loops
from interpolated_kernels.warming import DTYPES, WarmupStep, warm

SUMMARY = "compile all loops ahead, so that later calls compile nothing: some minutes, once"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--dtype", choices=DTYPES, action="append", help="only for this dtype; may come twice")
    parser.add_argument("--json", action="store_true", help="print a JSON document")


def run(arguments: argparse.Namespace) -> None:
    """Compile, and print each step when it is done, then the sum; or all of it as JSON."""
    steps = []
    for step in warm(arguments.dtype or DTYPES):
        steps.append(step)
        if not arguments.json:
            print(_line(step), flush=True)
    whole = WarmupStep(
        "all", *(sum(getattr(step, part) for step in steps) for part in ("compiled", "loaded", "seconds"))
    )
    folder = loops.cache_folder()
    if arguments.json:
        print_json({**asdict(whole), "steps": [asdict(step) for step in steps], "cache_folder": folder})
    else:
        print(_line(whole))
        print(f"kept in {folder}" if folder else "kept nowhere: later processes compile again")


def _line(step: WarmupStep) -> str:
    return f"{step.name:20} {step.compiled:4} compiled {step.loaded:4} loaded {step.seconds:7.1f} s"
