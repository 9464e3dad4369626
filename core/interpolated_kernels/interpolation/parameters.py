"""What the options of an interpolator may be: rules that stand beside the fields, and are applied at construction.

A class declares each option by the function of its kind, with the default and the range:

    degree: int = integer(3, minimum=0, maximum=100)
    radius: float = number(0.2, is_positive=True)

`Interpolator.__post_init__` calls `check_parameters`, which replaces every option by what its rule returns: Python's
own int, float or bool. So an interpolator is sound however it was made, by a user, from a document, from JSON. What
options must have in common a class checks in a `__post_init__` of its own, after `super().__post_init__()`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import field, fields
from typing import Any

from interpolated_kernels.arguments import as_flag, as_int, as_number, check_choice

_RULE = "rule"


def integer(default: int | None, *, minimum: int, maximum: int) -> Any:
    """Return the field of an int in a range; where the default is None, of None too."""
    is_optional = default is None

    def check(name: str, value: Any) -> int | None:
        return None if is_optional and value is None else as_int(name, value, minimum, maximum)

    return _declare(default, check)


def number(default: float, *, minimum: float | None = None, is_positive: bool = False) -> Any:
    """Return the field of a finite real number, at least the minimum or positive where that is asked for."""
    return _declare(default, lambda name, value: as_number(name, value, minimum, is_positive=is_positive))


def flag(default: bool) -> Any:
    """Return the field of a bool."""
    return _declare(default, as_flag)


def word(default: str, allowed: Collection[str]) -> Any:
    """Return the field of a word among those allowed."""

    def check(name: str, value: Any) -> str:
        check_choice(name, value, allowed)
        return str(value)

    return _declare(default, check)


def check_parameters(interpolator: Any) -> None:
    """Replace every option of a frozen dataclass that has a rule by what the rule returns.

    Raises
    ------
    TypeError, ValueError
        For an option of another type, or out of its range.
    """
    for entry in fields(interpolator):
        rule = entry.metadata.get(_RULE)
        if rule is not None:
            object.__setattr__(interpolator, entry.name, rule(entry.name, getattr(interpolator, entry.name)))


def _declare(default: Any, rule: Callable[[str, Any], Any]) -> Any:
    return field(default=default, metadata={_RULE: rule})
