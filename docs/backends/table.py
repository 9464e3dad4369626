"""Write docs/backends.md's table: what each peer gets right, cannot do, and gets wrong, from the kit's reports.

    python docs/backends/table.py [NAME ...]

writes the rows of the peers that are named, or of all; those of the others stay as they are.
"""

import importlib
import importlib.metadata
import re
import sys
from pathlib import Path

from interpolated_kernels.testing import check_backend

PAGE = Path(__file__).parents[1] / "backends.md"
PEERS = {
    "torch": ("PyTorch", "torch"),
    "tensorflow": ("TensorFlow", "tensorflow"),
    "jax": ("JAX", "jax"),
    "scipy": ("SciPy", "scipy"),
    "opencv": ("OpenCV", "opencv-python-headless"),
}
"""By the name of its file, what a peer is called, and the distribution that it comes in."""

PROBLEMS = 100
KINDS = ("dimensions", "channels", "batch", "stride", "dilation", "groups", "padding", "padding mode", "missing")


def find_version(name):
    """Return the release of a peer that is installed, or None."""
    for distribution in (PEERS[name][1], f"{PEERS[name][1]}-cpu"):
        try:
            return importlib.metadata.version(distribution).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def write_row(name):
    """Return a peer's row: it is checked on what it supports, and its report says what that leaves out."""
    peer = importlib.import_module(f"{name}_backend")
    report = check_backend(peer.conv, getattr(peer, "conv_backward", None), supports=peer.supports, n=PROBLEMS)
    results = {row.feature: row for row in report.rows if row.kind == "result"}
    right = [f"{quantity} {row.passed}" for quantity, row in results.items() if row.passed]
    never = {kind: [row.feature for row in report.rows if row.kind == kind and not row.passed] for kind in KINDS}
    lacks = [f"{kind}: {', '.join(features)}" for kind, features in never.items() if features]
    cannot = f"{'; '.join(lacks)}. {peer.supports.__doc__}"
    cells = (
        PEERS[name][0], find_version(name), ", ".join(right), f"{max(report.worst.values()):.2g}", cannot,
        "; ".join(peer.FAULTS) or "nothing found",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def read_row(name):
    """Return a peer's row as the page has it, or None."""
    found = re.search(rf"^\| {PEERS[name][0]} \|.*$", PAGE.read_text(), flags=re.MULTILINE)
    return found[0] if found else None


def main(names):
    """Write the rows."""
    for name in names or PEERS:
        row = write_row(name)
        print(row)
        PAGE.write_text(PAGE.read_text().replace(read_row(name), row))


if __name__ == "__main__":
    main(sys.argv[1:])
