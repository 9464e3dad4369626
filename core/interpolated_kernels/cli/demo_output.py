"""What the demo prints and draws: the table, the JSON document, the picture."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interpolated_kernels.cli import digits
from interpolated_kernels.lazy import load
from interpolated_kernels.plotting import plot_kernel

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

COLUMNS = ("kernel (window 12 x 12)", "test accuracy", "parameters", "density", "seconds / epoch")
COLORS = ("#c1272d", "#e08e0b", "#3a8f4d", "#8c8c8c", "#2a7fb8", "#222222")


@dataclass(frozen=True)
class Result:
    """A row of the table with its trainings, one a seed."""

    row: digits.Row
    runs: tuple[digits.Run, ...]

    @property
    def accuracies(self) -> list[float]:
        """Test accuracy at the end of each training."""
        return [run.accuracies[-1] for run in self.runs]

    @property
    def mean(self) -> float:
        """The mean of the accuracies."""
        return float(np.mean(self.accuracies))

    @property
    def spread(self) -> float | None:
        """Their standard deviation, or None for a single seed."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.runs) > 1 else None

    @property
    def seconds_per_epoch(self) -> float:
        """The median over all epochs of all trainings."""
        return float(np.median([run.seconds for run in self.runs]))

    @property
    def density(self) -> float:
        """The share of non-zero cells of the dense kernels, over all trainings."""
        return float(np.mean([digits.density(self.row, run.weights) for run in self.runs]))


def compare(results: list[Result]) -> dict[str, Any]:
    """Return by how much the learned kernel beats the same kernel frozen at its start, and its standard error.

    The standard error of the difference of two means is `sqrt((s1^2 + s2^2) / seeds)`; None for a single seed.
    """
    learned = results[0]
    frozen = next(result for result in results if not result.row.learns)
    difference = learned.mean - frozen.mean
    if learned.spread is None or frozen.spread is None:
        return {"difference": difference, "standard_error": None, "more_than_two_standard_errors": None}
    error = float(np.sqrt((learned.spread**2 + frozen.spread**2) / len(learned.runs)))
    return {"difference": difference, "standard_error": error, "more_than_two_standard_errors": difference > 2 * error}


def summary(results: list[Result]) -> str:
    """Return one line: whether learning the kernel matters."""
    found = compare(results)
    gain = f"Learned against frozen, 36 anchors: {100 * found['difference']:+.1f} points of accuracy"
    if found["standard_error"] is None:
        return f"{gain}; one seed has no standard error, use --seeds 2 or more."
    verdict = (
        "more than two, learning the kernel matters" if found["more_than_two_standard_errors"] else "NOT more than two"
    )
    # Equal accuracies in all seeds have no error to count in.
    count = f"{found['difference'] / found['standard_error']:.1f}" if found["standard_error"] else "no spread to count"
    return f"{gain}, {count} standard errors ({verdict})."


def document(results: list[Result]) -> dict[str, Any]:
    """Return the results as plain values for JSON."""
    rows = [
        {
            "kernel": result.row.name,
            "learned": result.row.learns,
            "accuracy_mean": result.mean,
            "accuracy_std": result.spread,
            "accuracies": [run.accuracies for run in result.runs],
            "kernel_parameters": digits.n_parameters(result.row),
            "density": result.density,
            "seconds_per_epoch": result.seconds_per_epoch,
        }
        for result in results
    ]
    return {"rows": rows, "learned_against_frozen": compare(results)}


def print_table(results: list[Result]) -> None:
    """Print the table and the summary to stdout: with rich on a terminal, else as plain text."""
    cells = [_cells(result) for result in results]
    if sys.stdout.isatty():
        table = load("rich.table").Table(*COLUMNS, caption=summary(results), caption_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        for line in cells:
            table.add_row(*line)
        load("rich.console").Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(COLUMNS, *cells, strict=True)]
    for line in (COLUMNS, tuple("-" * width for width in widths), *cells):
        first, *others = (
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join((first, *others)))
    print(summary(results))


def _cells(result: Result) -> tuple[str, ...]:
    spread = "" if result.spread is None else f" ± {100 * result.spread:.1f}"
    return (
        result.row.name,
        f"{100 * result.mean:.1f}{spread} %",
        str(digits.n_parameters(result.row)),
        f"{100 * result.density:.0f} %",
        f"{result.seconds_per_epoch:.2f}",
    )


def draw(results: list[Result], path: Path) -> None:
    """Save the picture: anchors over the dense kernels of each row, and the learning curves."""
    figure = load("matplotlib.figure").Figure(figsize=(13, 8.2), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(1.25, 1))
    _draw_kernels(results, parts[0])
    _draw_curves(results, parts[1])
    figure.savefig(path, dpi=110)


def _draw_kernels(results: list[Result], figure: SubFigure) -> None:
    """Draw, for each row, the two filters of the first seed that the softmax listens to most."""
    axes = figure.subplots(2, len(results))
    for column, (result, color) in enumerate(zip(results, COLORS, strict=True)):
        run = result.runs[0]
        for line, filter_index in enumerate(np.argsort(-run.use)[:2]):
            ax = plot_kernel(result.row.kernel, run.weights[filter_index, 0], axes[line, column], colorbar=False)
            ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
        axes[0, column].set_title(result.row.name.replace(", ", "\n", 1).replace(", ", ",\n"), color=color, fontsize=10)
    figure.suptitle("Anchors (dots) over the dense kernels, the two most used filters of the first seed", fontsize=12)


def _draw_curves(results: list[Result], figure: SubFigure) -> None:
    ax = figure.subplots()
    for result, color in zip(results, COLORS, strict=True):
        curves = 100 * np.array([run.accuracies for run in result.runs])
        epochs, mean, spread = (
            np.arange(1, curves.shape[1] + 1),
            curves.mean(axis=0),
            curves.std(axis=0, ddof=min(1, len(curves) - 1)),
        )
        label = f"{result.row.name}: {digits.n_parameters(result.row)} parameters"
        ax.plot(
            epochs,
            mean,
            color=color,
            marker="o",
            markersize=3,
            label=label,
            linestyle="-" if result.row.learns else "--",
        )
        ax.fill_between(epochs, mean - spread, mean + spread, color=color, alpha=0.12, linewidth=0)
    ax.set_xlabel("epoch")
    ax.set_ylabel("test accuracy, %")
    ax.set_xticks(epochs)
    ax.grid(alpha=0.3)
    ax.legend(loc="lower right", fontsize=9)
    ax.set_title(f"Learning curves: mean and standard deviation of {len(results[0].runs)} seeds", fontsize=12)
