"""`interpolated-kernels demo`: a classifier of handwritten digits, trained with this engine alone."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from interpolated_kernels.cli import demo_output, digits
from interpolated_kernels.cli.common import CommandError, integer, print_json, require_extra
from interpolated_kernels.lazy import cuda_loops, load

SUMMARY = (
    "train small digit classifiers with six kinds of kernel, in NumPy and this engine alone: a table and a picture"
)
SUFFIXES = (".pdf", ".png", ".svg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--seeds", type=integer(1), default=3, help="trainings of each row, default %(default)s")
    parser.add_argument("--seed", type=integer(0), default=0, help="the first seed, default %(default)s")
    parser.add_argument("--epochs", type=integer(1), default=8, help="default %(default)s")
    parser.add_argument("--samples", type=integer(20), help="use only so many of the 1797 digits")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where convolutions run, default %(default)s"
    )
    parser.add_argument("--output", type=Path, default=Path("demo.png"), help="the picture, default %(default)s")
    parser.add_argument("--json", action="store_true", help="print a JSON document instead of the table")


def run(arguments: argparse.Namespace) -> None:
    """Train every row with every seed; print the table and draw the picture.

    Raises
    ------
    CommandError
        If the extra or the device is missing, or the picture cannot be written.
    """
    _check_output(arguments.output)
    require_extra("demo", {"sklearn": "scikit-learn", "matplotlib": "matplotlib", "rich": "rich"})
    place = _find_place(arguments.device)
    start = time.perf_counter()
    results = _train_all(arguments, place)
    try:
        demo_output.draw(results, arguments.output)
    except OSError as error:
        raise CommandError(f"cannot write {arguments.output}: {error.strerror}") from None
    seconds = time.perf_counter() - start
    if arguments.json:
        print_json({**demo_output.document(results), "picture": str(arguments.output), "seconds": seconds})
        return
    demo_output.print_table(results)
    print(f"Picture: {arguments.output}. The whole took {seconds:.0f} s.")


def _check_output(path: Path) -> None:
    """Raise now what would otherwise be lost after a minute of training."""
    if path.suffix.lower() not in SUFFIXES:
        raise CommandError(f"--output must end in {', '.join(SUFFIXES)}, got {path}")
    if not path.parent.is_dir():
        raise CommandError(f"--output names a folder that does not exist: {path.parent}")


def _find_place(device: str) -> digits.Place:
    """Return what brings arrays to a device, or raise where there is none."""
    if device == "cpu":
        return digits.stay
    try:
        cuda_loops.check_ready()
    except (ImportError, RuntimeError) as error:
        raise CommandError(f"--device cuda cannot be had: {error}") from None
    return cuda_loops.upload


def _train_all(arguments: argparse.Namespace, place: digits.Place) -> list[demo_output.Result]:
    bars, rows = load("rich.progress"), digits.make_rows()
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("epochs"),
        bars.TimeRemainingColumn(),
    )
    console, quiet = load("rich.console").Console(stderr=True), not sys.stderr.isatty()
    with bars.Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        task = progress.add_task("load the digits, compile the loops", total=len(rows) * len(seeds) * arguments.epochs)
        data = digits.load(arguments.samples)
        for row in rows:  # one step of a model that is thrown away: no row's seconds hold the compilation
            model = digits.Classifier(row.kernel, row.learns, 0, place)
            model.gradients(data.train_x[: digits.BATCH], data.train_y[: digits.BATCH])
        runs: dict[str, list[digits.Run]] = {row.name: [] for row in rows}
        for seed in seeds:  # the rows take turns: what else the machine does then slows all of them
            for row in rows:
                progress.update(task, description=f"{row.name}, seed {seed}")
                advance = lambda: progress.advance(task)  # noqa: E731 - a callback of one call
                how = {"epochs": arguments.epochs, "seed": seed, "place": place, "on_epoch": advance}
                runs[row.name].append(digits.train(row, data, **how))
    return [demo_output.Result(row, tuple(runs[row.name])) for row in rows]
