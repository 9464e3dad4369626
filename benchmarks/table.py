"""One measured line, and the table of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from figures import Figure

COLUMNS = ("case", "path", "against", "direction", "ours ms", "theirs ms", "value", "asked", "aim", "reached")
_NUMBERS = slice(4, None)  # columns that stand to the right


@dataclass(frozen=True)
class Row:
    """One line: a case against a peer in one direction.

    `ours` and `theirs` are seconds; `value` is what the figure is about, for a peer `theirs / ours`.
    """

    case: str
    path: str
    against: str
    direction: str
    ours: float | None
    theirs: float | None
    value: float | None
    figure: Figure | None

    def document(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        reached = self.figure.verdict(self.value) if self.figure and self.value else None
        return {**asdict(self), "reached": reached}

    def cells(self) -> tuple[str, ...]:
        figure, value = self.figure, self.value
        aim = "" if figure is None or figure.aim is None else f"{figure.aim:.4g}"
        verdict = "" if figure is None else figure.verdict(value) if value else "not measured"
        return (
            self.case, self.path, self.against, self.direction, _milliseconds(self.ours), _milliseconds(self.theirs),
            "" if value is None else f"{value:.2f}", "" if figure is None else str(figure), aim, verdict,
        )  # fmt: skip


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1e3 * seconds:.2f}"


def print_table(rows: Sequence[Row]) -> None:
    lines = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        numbers = range(len(COLUMNS))[_NUMBERS]
        padded = [
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(padded).rstrip())


def print_summary(rows: Sequence[Row]) -> None:
    """Print how many of the figures were reached."""
    count = Counter(row.figure.verdict(row.value) if row.value else "not measured" for row in rows if row.figure)
    with_aim = sum(row.figure is not None and row.figure.aim is not None for row in rows)
    line = f"{count['yes'] + count['aim']} of {count.total()} figures reached"
    if with_aim:
        line += f", {count['aim']} of {with_aim} aims"
    print(f"{line}; {count['not measured']} not measured" if count["not measured"] else line)
