"""`interpolated-kernels info`: what a bug report needs."""

from __future__ import annotations

import argparse

from interpolated_kernels.cli.common import print_json
from interpolated_kernels.runtime import info

SUMMARY = "print versions, threads and the cache folder, for bug reports"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print a JSON document")


def run(arguments: argparse.Namespace) -> None:
    """Print the facts, one a line or as JSON."""
    facts = info()
    if arguments.json:
        print_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:{width}}  {'none' if value is None else value}")
