"""The command `interpolated-kernels`: one module a command, one table."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from interpolated_kernels import __version__
from interpolated_kernels.cli import calibrate, demo, explain, info, vectors, warmup
from interpolated_kernels.cli.common import CommandError

__all__ = ["COMMANDS", "main"]

# A command is a module with SUMMARY, add_arguments(parser) and run(arguments).
COMMANDS = {
    "demo": demo, "explain": explain, "vectors": vectors, "warmup": warmup, "calibrate": calibrate, "info": info,
}  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="interpolated-kernels",
        description="Convolution kernels with a large dense window from a few anchor weights.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, module in COMMANDS.items():
        child = commands.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
        module.add_arguments(child)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0, 1 for a check that fails, 2 for a user's mistake.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after the program's name; those of the process by default.

    Returns
    -------
    int
        The exit code. A user's mistake is one line on stderr, without a traceback.

    Examples
    --------
    >>> main(["explain", "1x1x64x64", "--window", "5", "--spacing", "9x0"])
    2
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.version:
        print(__version__)
        return 0
    if arguments.command is None:
        parser.error(f"name a command: {', '.join(COMMANDS)}")
    try:
        COMMANDS[arguments.command].run(arguments)
        sys.stdout.flush()
    except CommandError as error:
        print(f"{parser.prog} {arguments.command}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{parser.prog} {arguments.command}: interrupted", file=sys.stderr)
        return 130
    except (
        BrokenPipeError
    ):  # the reader has gone, as in `| head`: Python's own flush at exit must not meet the pipe again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0
