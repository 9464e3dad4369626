"""The few functions of an array library that profiles are made of, so that each formula is written once for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Functions(NamedTuple):
    """Elementwise functions of one array library; operators are its arrays' own.

    The derivatives of `abs` and `relu` at 0 are 0, as in all frameworks.
    """

    abs: Callable[[Any], Any]
    exp: Callable[[Any], Any]
    relu: Callable[[Any], Any]
    where: Callable[[Any, Any, Any], Any]


NUMPY = Functions(np.abs, np.exp, lambda values: np.maximum(values, 0.0), np.where)
