"""Where anchors stand: the checks that positions and windows pass, and layouts to begin with."""

from interpolated_kernels.anchors.checks import as_positions, as_widths, as_window, check_distinct, name_anchors
from interpolated_kernels.anchors.layouts import (
    grid_positions,
    peripheral_positions,
    random_positions,
    ring_positions,
)

__all__ = [
    "as_positions",
    "as_widths",
    "as_window",
    "check_distinct",
    "grid_positions",
    "name_anchors",
    "peripheral_positions",
    "random_positions",
    "ring_positions",
]
