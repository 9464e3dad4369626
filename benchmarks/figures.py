"""The figures that are asked for: for each case and peer, how many times faster, and for the engine against itself."""

from __future__ import annotations

from dataclasses import dataclass

FORWARD, GRADIENTS, BOTH = "forward", "gradients", "both"


@dataclass(frozen=True)
class Figure:
    """What a measured value must reach, and what it should."""

    asked: float
    aim: float | None = None
    at_most: bool = False

    def verdict(self, value: float) -> str:
        """Return "aim", "yes" or "no"."""
        if self.aim is not None and self._reaches(value, self.aim):
            return "aim"
        return "yes" if self._reaches(value, self.asked) else "no"

    def _reaches(self, value: float, limit: float) -> bool:
        return value <= limit if self.at_most else value >= limit

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.asked:.4g}"


# (first letter of the case, or its whole name, peer, direction); what is not listed is measured without a figure.
FIGURES = {
    ("A", "torch", FORWARD): Figure(9, 12),
    ("A", "torch", BOTH): Figure(25, 40),
    ("B", "torch", FORWARD): Figure(15),
    ("B", "opencv", FORWARD): Figure(1.2, 2),
    ("C", "torch", FORWARD): Figure(40, 60),
    ("C", "torch", BOTH): Figure(25, 40),
    ("D", "torch", FORWARD): Figure(1.7),
    ("D", "torch", BOTH): Figure(3),
    ("D", "tensorflow", FORWARD): Figure(1.1),
    ("D", "tensorflow", BOTH): Figure(2),
    ("D' linear", "torch", FORWARD): Figure(3),
    ("D' linear", "torch", BOTH): Figure(8),
    ("E", "torch", FORWARD): Figure(2, 4),
    ("E", "torch", BOTH): Figure(10),
    ("F", "torch", FORWARD): Figure(9, 12),
    ("F", "torch", BOTH): Figure(25),
    ("G", "torch", FORWARD): Figure(20),
    ("G", "torch", BOTH): Figure(60),
    ("H", "dcls", FORWARD): Figure(15),
    ("H", "dcls", BOTH): Figure(12),
    ("I", "window 31", FORWARD): Figure(1.2, at_most=True),
    ("I", "window 31", BOTH): Figure(1.25, at_most=True),
    ("J", "sgemm", FORWARD): Figure(0.9),
    ("J", "sgemm", BOTH): Figure(0.9),
    ("K A landscape", "machine", FORWARD): Figure(2.2, at_most=True),
    ("K A landscape", "machine", GRADIENTS): Figure(2.5, at_most=True),
    ("K C depthwise", "machine", FORWARD): Figure(3.5, at_most=True),
    ("K C depthwise", "machine", GRADIENTS): Figure(4.5, at_most=True),
    ("K D original", "machine", FORWARD): Figure(1.7, at_most=True),
    ("K D original", "machine", GRADIENTS): Figure(2.2, at_most=True),
    ("K F channels", "machine", FORWARD): Figure(2.0, at_most=True),
    ("K F channels", "machine", GRADIENTS): Figure(2.4, at_most=True),
    ("K G volume", "machine", FORWARD): Figure(7, at_most=True),
    ("K G volume", "machine", GRADIENTS): Figure(10, at_most=True),
    ("GPU A landscape", "cuDNN", FORWARD): Figure(20),
    ("GPU C depthwise", "cuDNN", FORWARD): Figure(10),
    ("GPU M one filter", "copy", FORWARD): Figure(0.5),
    ("GPU M depthwise", "copy", FORWARD): Figure(0.5),
    ("L depthwise", "nn.Conv2d", "step"): Figure(40),
    ("L depthwise", "core", "step"): Figure(1.15, at_most=True),
    ("L depthwise, compiled", "eager", "step"): Figure(1.2, at_most=True),
    ("L depthwise, native", "nn.Conv2d", "step"): Figure(10),
    ("L original, linear", "nn.Conv2d", "step"): Figure(2.5),
    ("L splats", "dcls", "step"): Figure(10),
    ("L JAX depthwise", "lax.conv", "step"): Figure(10),
    ("L Keras depthwise", "DepthwiseConv2D", "step"): Figure(10),
    ("L Keras original, linear", "Conv2D", "step"): Figure(2.5),
}


# What the geometric mean over random neighbours of A and of C must reach. torch pads C by a slow way of its own: there
# its input is padded first.
NEIGHBOURS = {
    ("A", "torch", FORWARD): Figure(0.7 * 9),
    ("A", "torch", BOTH): Figure(0.7 * 25),
    ("C", "torch, padded first", FORWARD): Figure(3),
    ("C", "torch, padded first", BOTH): Figure(15),
}


def figure_of(case: str, peer: str, direction: str) -> Figure | None:
    return FIGURES.get((case, peer, direction), FIGURES.get((case[0], peer, direction)))
