"""Which problems become vectors: those drawn from a seed until every feature has come often enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from interpolated_kernels.testing.conformance.backend import find_quantities
from interpolated_kernels.testing.drawing import Drawer, Trial

COUNTS = {"float32": 3, "float64": 1, "tf32": 1, "float16": 1, "bfloat16": 1}
"""How often every feature comes at least, by arithmetic."""

_DRAWS = 80  # after these nothing new comes: of 400, the last that brought a feature was the 69th


def select_trials(arithmetic: str, seed: int) -> Iterator[tuple[Trial, list[str]]]:
    """Yield trials of an arithmetic with the quantities to compute: every one has a feature that was rare before it."""
    drawer, seen = Drawer(seed, arithmetic), Counter[tuple[str, str]]()
    for _ in range(_DRAWS):
        trial = drawer.draw_trial(drawer.draw())
        quantities = find_quantities(trial)
        if trial.problem.conv_options["missing"] == "propagate":
            quantities.append("transposed")
        features = [*trial.problem.features.items(), *(("result", quantity) for quantity in quantities)]
        if min(seen[feature] for feature in features) < COUNTS[arithmetic]:
            seen.update(features)
            yield trial, quantities
