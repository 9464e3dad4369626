"""What came of a check: counts by feature, and the error that holds the smallest failure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from interpolated_kernels.testing.conformance.backend import Failure

_PASSED, _FAILED, _NOT_SUPPORTED = range(3)


@dataclass(frozen=True)
class Row:
    """How many problems with a feature passed, failed and were not supported; for a result, how many of it."""

    kind: str
    feature: str
    passed: int
    failed: int
    not_supported: int


@dataclass(frozen=True)
class Report:
    """A table of what passed, failed and was not supported, by feature.

    Attributes
    ----------
    name, arithmetic, seed
        What was checked, and how.
    passed, failed, not_supported : int
        Problems in all. A problem fails if any of its results does.
    rows : tuple of Row
    worst : dict of str to float
        By result the largest part of its error bound that was used up, of results that passed.
    """

    name: str
    arithmetic: str
    seed: int
    passed: int
    failed: int
    not_supported: int
    rows: tuple[Row, ...]
    worst: dict[str, float] = field(hash=False)

    def __str__(self) -> str:
        """Return the table."""
        width = max(len(row.feature) for row in self.rows) + 2
        lines = [
            f"{self.name} in {self.arithmetic}, seed {self.seed}: {self.passed} problems passed, {self.failed} failed, "
            f"{self.not_supported} are not supported",
            "",
            f"{'':<{width}}  passed  failed  not supported",
        ]
        kind = None
        for row in self.rows:
            if row.kind != kind:
                lines.append(row.kind)
                kind = row.kind
            used = f"  worst: {self.worst[row.feature]:.2g} of the bound" if row.feature in self.worst else ""
            counts = f"{row.passed:>6}  {row.failed or '-':>6}  {row.not_supported or '-':>13}"
            lines.append(f"  {row.feature:<{width}}{counts}{used}")
        return "\n".join(lines)

    def _repr_pretty_(self, printer: object, cycle: bool) -> None:
        """Show the table in a notebook."""
        printer.text(str(self))  # type: ignore[attr-defined]


class ConformanceError(AssertionError):
    """A backend is wrong: with its report, and the smallest failure that was found.

    Attributes
    ----------
    report : Report
    failure : Failure
        Its trial, quantity and message.
    """

    def __init__(self, report: Report, failure: Failure, program: str) -> None:
        self.report, self.failure = report, failure
        super().__init__(
            f"{report}\n\nThe smallest failure that was found:\n\n{failure.message}\n"
            f"Problem: {failure.trial.problem}.\n{program}"
        )


class Tally:
    """Counts problems and results as they are judged."""

    def __init__(self) -> None:
        self._problems = [0, 0, 0]
        self._results: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        self._features: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))
        self._worst: dict[str, float] = defaultdict(float)

    @property
    def count(self) -> int:
        """The problems that were run."""
        return self._problems[_PASSED] + self._problems[_FAILED]

    def refuse(self, features: Mapping[str, str]) -> None:
        """Count a problem with these features, which is not supported."""
        self._count(features, _NOT_SUPPORTED)

    def add(self, features: Mapping[str, str], ratios: Mapping[str, float | None], failed: Sequence[str]) -> None:
        """Count a problem that was run: the results that passed, by their ratios (see `Verdict`), and that failed."""
        self._count(features, _FAILED if failed else _PASSED)
        for quantity, ratio in ratios.items():
            self._results[quantity][_NOT_SUPPORTED if ratio is None else _PASSED] += 1
            if ratio is not None:
                self._worst[quantity] = max(self._worst[quantity], ratio)
        for quantity in failed:
            self._results[quantity][_FAILED] += 1

    def report(self, name: str, arithmetic: str, seed: int) -> Report:
        """Return the report on all that was counted."""
        rows = [Row("result", quantity, *counts) for quantity, counts in self._results.items()]
        for kind, features in self._features.items():
            rows += [Row(kind, feature, *features[feature]) for feature in sorted(features)]
        passed, failed, not_supported = self._problems
        return Report(name, arithmetic, seed, passed, failed, not_supported, tuple(rows), dict(self._worst))

    def _count(self, features: Mapping[str, str], outcome: int) -> None:
        self._problems[outcome] += 1
        for kind, feature in features.items():
            self._features[kind][feature][outcome] += 1
