"""The table of interpolators by name, which the package fills, and how documents name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from interpolated_kernels.arguments import show
from interpolated_kernels.interpolation.base import Interpolator

INTERPOLATORS: dict[str, type[Interpolator]] = {}
"""What can be asked for by name, with its defaults."""

WRAPPERS: dict[str, type[Interpolator]] = {}
"""Interpolators around another one: documents name them, and they have no defaults to be asked for by name."""


def interpolators() -> tuple[str, ...]:
    """Return the names of all known interpolators, sorted."""
    return tuple(sorted(INTERPOLATORS))


def register(name: str, cls: type[Interpolator]) -> None:
    """Make a user's own interpolator known by `name`.

    Raises
    ------
    TypeError
        If `name` is no text, or `cls` not a subclass of `Interpolator`.
    ValueError
        If the name is taken by another class.
    """
    if not isinstance(name, str):
        raise TypeError(f"`name` must be a text, got {show(name)}.")
    if not (isinstance(cls, type) and issubclass(cls, Interpolator)):
        raise TypeError(f"`cls` must be a subclass of `interpolated_kernels.Interpolator`, got {show(cls)}.")
    if INTERPOLATORS.get(name, cls) is not cls:
        raise ValueError(f"`name` {name!r} is taken by {INTERPOLATORS[name].__name__}: choose another.")
    INTERPOLATORS[name] = cls


def as_interpolator(interpolator: Any) -> Interpolator:
    """Return the interpolator of a name with its defaults, or the instance that was passed.

    Raises
    ------
    ValueError
        If no interpolator has this name.
    TypeError
        If it is neither a name nor an instance.
    """
    if isinstance(interpolator, str):
        if interpolator not in INTERPOLATORS:
            raise ValueError(f"`interpolator` must be one of {', '.join(interpolators())}, got {show(interpolator)}.")
        return INTERPOLATORS[interpolator]()
    if isinstance(interpolator, Interpolator):
        return interpolator
    raise TypeError(
        f"`interpolator` must be a name or an instance such as `Linear()`, got {show(interpolator)}: "
        "a class needs its brackets, a user's own must derive from `interpolated_kernels.Interpolator`."
    )


def read_document(document: Mapping[str, Any]) -> Interpolator:
    """Return the interpolator of a document: its name, and its options beside.

    Raises
    ------
    TypeError
        If the document is no mapping, or the class takes no option of a name.
    ValueError
        If the name is unknown.
    TypeError, ValueError
        As the class, for an option.
    """
    if not isinstance(document, Mapping):
        raise TypeError(f"`spec` must name an interpolator and its options in a mapping, got {show(document)}.")
    options = dict(document)
    name = options.pop("name", None)
    known = {**INTERPOLATORS, **WRAPPERS}
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"`spec` names the unknown interpolator {show(name)}: register its class first.")
    taken = [entry.name for entry in fields(known[name]) if entry.init]  # type: ignore[arg-type]  # all are dataclasses
    if not set(options) <= set(taken):
        raise TypeError(f"`spec` must hold of {name!r} the options {taken} alone, got {show(list(options))}.")
    return known[name](**options)


def write_document(interpolator: Interpolator) -> dict[str, Any]:
    """Return what `read_document` takes: an interpolator's name and its options, as values that JSON can hold.

    Raises
    ------
    ValueError
        If the class was never registered.
    """
    return _as_plain({"name": find_name(interpolator), **interpolator.options()})


def _as_plain(value: Any) -> Any:
    """Return an option with Python's own numbers in the place of NumPy's."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, dict):
        return {name: _as_plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_as_plain, value))
    return value


def find_name(interpolator: Interpolator) -> str:
    """Return the name under which an interpolator's class stands in the table.

    Raises
    ------
    ValueError
        If the class was never registered.
    """
    for name, cls in {**INTERPOLATORS, **WRAPPERS}.items():
        if cls is type(interpolator):
            return name
    raise ValueError(
        f"{type(interpolator).__name__} has no name yet: call `interpolated_kernels.register(name, cls)` first."
    )
