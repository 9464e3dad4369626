"""The gradient by padded cells, folded back into x band by band: so many of them are held at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interpolated_kernels.paths.common import limit_room
from interpolated_kernels.problem import Problem

_BYTES_OF_FOLD = 16 * 2**20


@dataclass(frozen=True)
class Folding:
    """Padded cells whose gradients are held at once: of some samples, `cells` of the first axis, in so many bands."""

    samples: int
    cells: int
    n_bands: int
    nbytes: int


def choose_folding(problem: Problem, workspace_bytes: int) -> Folding:
    """Return the largest bands that fit beside the workspaces; with zeros around x nothing is folded, in one band."""
    length, *others = (high - low for low, high in problem.regions)
    if not any(problem.folds):
        return Folding(problem.batch, max(length, 1), 1, 0)
    line = 2 * np.dtype(problem.dtype).itemsize * problem.channels * int(np.prod(others))
    room = limit_room(problem, _BYTES_OF_FOLD, workspace_bytes) // 2
    samples, cells = max(1, min(problem.batch, room // (line * length))), min(length, max(1, room // line))
    return Folding(samples, cells, -(-length // cells), samples * cells * line)
