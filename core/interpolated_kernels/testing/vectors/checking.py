"""Results beside vectors, held to their bounds."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.testing.conformance.report import Report, Tally
from interpolated_kernels.testing.vectors.case import Case
from interpolated_kernels.testing.vectors.files import VectorsError, read_manifest

_MOST_WRONG_IN_TEXT = 10


@dataclass(frozen=True)
class WrongResult:
    """A result that is not within its bounds: of which case, which quantity, and what is wrong in words."""

    case: str
    quantity: str
    message: str

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.case} {self.quantity}: {self.message}"


@dataclass(frozen=True)
class VectorReport:
    """What came of a check: the table by feature, and every result that is wrong."""

    table: Report
    wrong: tuple[WrongResult, ...]

    def __str__(self) -> str:
        """Return the table, and the first results that are wrong."""
        if not self.wrong:
            return str(self.table)
        more = len(self.wrong) - _MOST_WRONG_IN_TEXT
        lines = [str(self.table), "", *map(str, self.wrong[:_MOST_WRONG_IN_TEXT])]
        return "\n".join(lines + ([f"and {more} more results are wrong"] if more > 0 else []))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        counts = {name: getattr(self.table, name) for name in ("passed", "failed", "not_supported", "worst")}
        return {**counts, "rows": list(map(asdict, self.table.rows)), "wrong": list(map(asdict, self.wrong))}


def check_vectors(folder: str | os.PathLike[str], *, engine: bool = False) -> VectorReport:
    """Hold the results that stand in a folder of vectors to their bounds.

    Parameters
    ----------
    folder : path
        Written by `export_vectors`, with a program's results beside: CASE/QUANTITY.result.f32, or .f64.
    engine : bool
        Hold this engine to the vectors instead, whatever results stand there.

    Returns
    -------
    VectorReport
        A result that is not there counts as not supported.

    Raises
    ------
    VectorsError
        For a folder without vectors, damaged vectors or those of another version, without a single result, or with a
        result that none has asked for.
    """
    folder = Path(folder)
    manifest, tally, wrong = read_manifest(folder), Tally(), list[WrongResult]()
    for name in manifest["cases"]:
        case = Case.open(folder / name)
        if not engine:
            case.check_names()
        ratios, found = _judge(case, case.compute if engine else case.read_result)
        wrong += found
        if found or any(ratio is not None for ratio in ratios.values()):
            tally.add(case.document["features"], ratios, [each.quantity for each in found])
        else:
            tally.refuse(case.document["features"])
    if not tally.count:
        example = folder / manifest["cases"][0] / "y.result.f32"
        raise VectorsError(
            f"`folder` must hold results, and {folder} has none: write {example} and others, raw little-endian numbers "
            "in C order."
        )
    title = "this engine" if engine else f"results in {folder}"
    return VectorReport(tally.report(title, "the arithmetic of each case", manifest["seed"]), tuple(wrong))


def _judge(
    case: Case, find_result: Callable[[str], FloatArray | None]
) -> tuple[dict[str, float | None], list[WrongResult]]:
    """Return by quantity the worst ratio to the bound, None where there is no result, and what is wrong."""
    ratios: dict[str, float | None] = {}
    wrong = []
    for quantity in case.quantities:
        try:
            actual = find_result(quantity)
        except VectorsError:
            raise
        except ValueError as error:  # a file of the wrong size, or what the engine refuses
            wrong.append(WrongResult(case.folder.name, quantity, f"{error}; {_describe(case)}"))
            continue
        worst, message = (None, "") if actual is None else _compare(case, quantity, actual)
        if message:
            wrong.append(WrongResult(case.folder.name, quantity, message))
        else:
            ratios[quantity] = worst
    return ratios, wrong


def _compare(case: Case, quantity: str, actual: FloatArray) -> tuple[float, str]:
    """Return the worst ratio to the bound, and what is wrong: nothing where that is at most 1."""
    expected = case.read_expected(quantity)
    ratios = expected.find_ratios(actual)
    worst = float(ratios.max(initial=0.0))
    if worst <= 1.0:
        return worst, ""
    index = tuple(map(int, np.unravel_index(int(np.argmax(ratios)), ratios.shape)))
    value, bound = float(expected.values[index]), float(expected.bound[index])
    wanted = f"{value!r} to within {bound:.3g}" if np.isfinite(value) else "NaN or infinity"
    return worst, (
        f"{int((ratios > 1).sum())} of {ratios.size} entries are wrong, worst at index {index} of shape "
        f"{actual.shape}: got {float(actual[index])!r}, expected {wanted}; {_describe(case)}"
    )


def _describe(case: Case) -> str:
    return f"the case, in {case.document['arithmetic']}: {case.document['summary']}"
