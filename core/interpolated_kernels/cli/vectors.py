"""`interpolated-kernels vectors`: golden cases for programs in other languages, and the check of their results."""

from __future__ import annotations

import argparse
from pathlib import Path

from interpolated_kernels.cli.common import CommandError, FailedCheckError, print_json
from interpolated_kernels.testing.arithmetics import ARITHMETICS
from interpolated_kernels.testing.vectors import VectorsError, check_vectors, export_vectors

SUMMARY = "write golden cases with error bounds for backends in other languages, or check such a backend's results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    export = actions.add_parser("export", help="write the cases to a new folder")
    export.add_argument("folder", type=Path, metavar="DIR", help="new, or empty")
    export.add_argument(
        "--arithmetic", choices=ARITHMETICS, action="append", help="only for this one; may come more than once"
    )
    check = actions.add_parser("check", help="hold results beside the cases to their bounds; exit code 1 if one fails")
    check.add_argument("folder", type=Path, metavar="DIR", help="exported, with results: CASE/y.result.f32, or .f64")
    check.add_argument("--engine", action="store_true", help="check this engine instead of results that stand there")
    for each in (export, check):
        each.add_argument("--json", action="store_true", help="print a JSON document")


def run(arguments: argparse.Namespace) -> None:
    """Export or check.

    Raises
    ------
    CommandError
        For a folder that does not serve.
    FailedCheckError
        If a result is wrong.
    """
    try:
        (_export if arguments.action == "export" else _check)(arguments)
    except VectorsError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"cannot use {error.filename or arguments.folder}: {error.strerror}") from None


def _export(arguments: argparse.Namespace) -> None:
    names = export_vectors(arguments.folder, arithmetics=arguments.arithmetic or tuple(ARITHMETICS))
    size = sum(path.stat().st_size for path in arguments.folder.rglob("*") if path.is_file())
    if arguments.json:
        print_json({"folder": str(arguments.folder), "cases": names, "bytes": size})
    else:
        print(f"{len(names)} cases in {arguments.folder}, {size / 1e6:.1f} MB")


def _check(arguments: argparse.Namespace) -> None:
    report = check_vectors(arguments.folder, engine=arguments.engine)
    if arguments.json:
        print_json({"folder": str(arguments.folder), **report.to_dict()})
    else:
        print(report)
    if report.wrong:
        raise FailedCheckError(
            f"{len(report.wrong)} results of {report.table.failed} cases are wrong: compare the features that fail "
            f"with those that pass, then open the smallest case's case.json in {arguments.folder}"
        )
