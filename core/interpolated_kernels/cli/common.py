"""What the commands share: the one error, argument types, JSON, and the check of an extra."""

from __future__ import annotations

import argparse
import importlib
import json
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any


class CommandError(Exception):
    """A user's mistake, or something missing: one line on stderr and exit code 2."""

    exit_code = 2


class FailedCheckError(CommandError):
    """What a command was asked to check does not hold: one line on stderr and exit code 1."""

    exit_code = 1


def require_extra(extra: str, modules: Mapping[str, str]) -> None:
    """Raise unless every module of an extra can be imported.

    Parameters
    ----------
    extra : str
        The extra's name in the installation: "demo".
    modules : mapping of str to str
        Module to distribution: `{"sklearn": "scikit-learn"}`.

    Raises
    ------
    CommandError
        Naming what is missing and the line that installs it.
    """
    missing = []
    for module, distribution in modules.items():
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(distribution)
    if missing:
        raise CommandError(f"{', '.join(missing)} missing: pip install 'interpolated-kernels[{extra}]'")


def integer(minimum: int) -> Callable[[str], int]:
    """Return an argument type: an integer that is at least `minimum`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(f"expected an integer of at least {minimum}, got {text!r}")
        return value

    return parse


_UNITS = {"": 1, **{letter: 1024**power for power, letter in enumerate("KMGT", start=1)}}
_UNITS |= {f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", start=1)}
_UNITS |= {f"{letter}B": 1000**power for power, letter in enumerate("KMGT", start=1)} | {"B": 1}


def memory(text: str) -> int:
    """Return bytes written as `"2GB"` or `"512M"`; an argument type.

    GB are 10^9 bytes, G and GiB 2^30, as GNU's tools have it; K, M and T likewise.

    Raises
    ------
    argparse.ArgumentTypeError
        For another unit, or no number of at least 0 before it.
    """
    found = re.fullmatch(r"(\d{1,18}(?:\.\d{1,18})?)\s?([KMGT]?(?:i?B)?)", text.strip(), re.ASCII)
    if found is None or found[2] not in _UNITS:
        raise argparse.ArgumentTypeError(f"expected bytes, as 2GB, 512M or 1048576, got {text!r}")
    return int(Fraction(found[1]) * _UNITS[found[2]])


def shape(text: str) -> tuple[int, ...]:
    """Return `"1x1x64x64"` as a tuple of ints; an argument type.

    Raises
    ------
    argparse.ArgumentTypeError
        If an entry is not an integer.
    """
    try:
        return tuple(int(entry) for entry in text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected integers joined by x, as 1x1x64x64, got {text!r}") from None


def numbers(text: str) -> tuple[float, ...]:
    """Return `"5x2.5"` as a tuple of floats; an argument type.

    Raises
    ------
    argparse.ArgumentTypeError
        If an entry is not a number.
    """
    try:
        return tuple(float(entry) for entry in text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers joined by x, as 5x2.5, got {text!r}") from None


def print_json(document: Any) -> None:
    """Print a document to stdout as JSON that every parser reads: no NaN, no infinity."""
    print(json.dumps(document, indent=2, allow_nan=False))
