"""Problem after problem from a seed, each choice dealt from a deck of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from interpolated_kernels.interpolation import INTERPOLATORS
from interpolated_kernels.kernel import CHANNEL_MODES, InterpolatedKernel
from interpolated_kernels.options import PADDING_MODES
from interpolated_kernels.testing.arithmetics import find_arithmetic
from interpolated_kernels.testing.drawing.data import draw_trial
from interpolated_kernels.testing.drawing.decks import Deck
from interpolated_kernels.testing.drawing.kernels import DYADIC, POSITIVE, draw_kernel
from interpolated_kernels.testing.drawing.problem import BackendProblem, Trial

BANKS = [(1, 1, 1), (1, 1, 9), (1, 3, 2), (2, 1, 1), (2, 2, 3), (3, 1, 2), (1, 2, 7), (2, 3, 1), (1, 2, 12), (2, 1, 8)]
"""Groups, channels and filters of a group."""

_WIDEST_WINDOW = {1: 12, 2: 7, 3: 4}
_MOST_CELLS = {1: 12, 2: 36, 3: 27}
_SPARE_CELLS = {1: 12, 2: 6, 3: 3}
_MOST_PRODUCTS = 200_000
_MOST_OUTPUTS = 4096  # of one filter: weights' gradients are summed in blocks of so many

_CHOICES: dict[str, list[Any]] = {
    "n_dims": [1, 1, 2, 2, 2, 3],
    "channels": [*CHANNEL_MODES, "plain"],
    "interpolator": sorted(INTERPOLATORS),
    "dyadic": list(DYADIC),
    "positive": list(POSITIVE),
    "sets": [0, 0, 1, 2],  # leading axes of positions
    "bank": BANKS,
    "lead": [(), (2,), (2, 3), (0,)],  # of plain arrays
    "batch": [None, 0, 1, 2, 3],
    "stride": ["one", "one", "all", "axis"],
    "dilation": ["one", "one", "all", "axis"],
    "padding": ["valid", "same", "same", "int", "axis", "pairs"],
    "padding of lines": ["valid", "same", "causal", "int", "pairs"],
    "padding_mode": [*PADDING_MODES, "axis"],
    "amount": [2, 3, 9],  # padding is below it: often wider than x
    "long": [0, 0, 0, 17, 70],  # cells more on the last axis: vectors, tiles, and what is left of them
    "data": ["normal", "normal", "normal", "exact", "exact", "non-finite", "holes", "wide"],
}


class Drawer:
    """Draws problems and their arrays, the same ones for the same seed.

    Parameters
    ----------
    seed : int
    arithmetic : str
        What the problems are for: their dtype, and what numbers are rounded to.
    """

    def __init__(self, seed: int = 0, arithmetic: str = "float32") -> None:
        self.arithmetic = find_arithmetic(arithmetic)
        self._rng = np.random.default_rng(seed)
        choices = dict(_CHOICES)
        if self.arithmetic.rounds_factors:  # nothing is promised to the last bit there, nor range
            choices["data"] = ["normal", "normal", "normal", "non-finite", "holes"]
        self._decks = {name: Deck(cards, self._rng) for name, cards in choices.items()}

    def draw(self) -> BackendProblem:
        """Return the next problem."""
        while True:
            problem = self._draw_any()
            described = problem.described
            outputs = float(np.prod(described.out_spatial))
            products = float(np.prod(described.y_shape)) * np.prod(described.window) * described.channels_per_group
            if products <= _MOST_PRODUCTS and described.batch * outputs <= _MOST_OUTPUTS:
                return problem

    def draw_trial(self, problem: BackendProblem) -> Trial:
        """Return a problem with its arrays."""
        return draw_trial(self._rng, problem, self.arithmetic)

    def _draw_any(self) -> BackendProblem:
        data, channels = self._deal("data"), self._deal("channels")
        groups, per_group, filters = (1, 1, 1) if channels == "plain" else self._deal("bank")
        mode = "separate" if channels == "plain" else channels
        name = {"exact": "dyadic", "holes": "positive"}.get(data, "interpolator")
        kernel = self._draw_kernel(name, mode, groups * filters, per_group, channels == "plain")
        spatial, options = self._draw_geometry(kernel)
        options |= {"groups": groups, "missing": "renormalize" if data == "holes" else "propagate"}
        if channels == "plain":
            lead, bank = self._deal("lead"), ()
        else:
            batch = self._deal("batch")
            lead = (() if batch is None else (batch,)) + (groups * per_group,)
            bank = (groups * filters, *((per_group,) if mode == "separate" else ()))
        dtype = self.arithmetic.sums
        return BackendProblem((*lead, *spatial), (*bank, kernel.n_anchors), kernel, dtype, options, data)

    def _draw_kernel(self, deck: str, mode: str, filters: int, per_group: int, is_plain: bool) -> InterpolatedKernel:
        """Return a kernel of an interpolator from the named deck."""
        n_dims, name = self._deal("n_dims"), self._deal(deck)
        window, left = [], _MOST_CELLS[n_dims]
        for _ in range(n_dims):
            window.append(int(self._rng.integers(1, min(left, _WIDEST_WINDOW[n_dims]) + 1)))
            left //= window[-1]
        window = [window[index] for index in self._rng.permutation(n_dims)]
        if mode == "interpolated":
            window.append(per_group)
        n_sets = 0 if is_plain else self._deal("sets")
        lead = (filters, per_group)[: n_sets if mode == "separate" else min(n_sets, 1)]
        return draw_kernel(self._rng, name, tuple(window), lead=lead, channel_mode=mode, dyadic=deck == "dyadic")

    def _draw_geometry(self, kernel: InterpolatedKernel) -> tuple[tuple[int, ...], dict[str, Any]]:
        """Return the spatial shape of x and the options, such that the window fits into the padded x."""
        d, rng = kernel.n_dims, self._rng
        stride, dilation = self._draw_steps("stride", d), self._draw_steps("dilation", d)
        kind, most = self._deal("padding" if d > 1 else "padding of lines"), self._deal("amount")
        pairs = [tuple(map(int, rng.integers(0, most, 2))) for _ in range(d)]
        padding: Any = {"int": pairs[0][0], "axis": tuple(before for before, _ in pairs), "pairs": tuple(pairs)}
        padding, mode = padding.get(kind, kind), self._deal("padding_mode")
        reaches = [(cells - 1) * step + 1 for cells, step in zip(kernel.spatial_window, dilation, strict=True)]
        given = {"int": [2 * pairs[0][0]] * d, "axis": [2 * before for before, _ in pairs], "pairs": map(sum, pairs)}
        present = given.get(kind, [0] * d) if kind in ("valid", *given) else [reach - 1 for reach in reaches]
        spare, long = rng.integers(0, _SPARE_CELLS[d] + 1, d), [0] * (d - 1) + [self._deal("long") if d < 3 else 0]
        spatial = tuple(
            max(1, reach - padded) + int(more) + extra
            for reach, padded, more, extra in zip(reaches, present, spare, long, strict=True)
        )
        modes = tuple(str(word) for word in rng.choice(PADDING_MODES, d)) if mode == "axis" else mode
        return spatial, {"stride": stride, "padding": padding, "padding_mode": modes, "dilation": dilation}

    def _draw_steps(self, name: str, d: int) -> tuple[int, ...]:
        kind = self._deal(name)
        steps = {"one": [1] * d, "all": [int(self._rng.integers(2, 4))] * d}
        return tuple(steps.get(kind) or map(int, self._rng.integers(1, 4, d)))

    def _deal(self, name: str) -> Any:
        return self._decks[name].deal()
