"""Draw the pictures of docs/landscapes.md: python docs/images/landscapes.py (needs the extra demo).

The page's own programs run first; their variables are drawn.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "landscapes.md"

made: dict[str, Any] = {}
exec("\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)), made)


def draw(ax: Axes, name: str, title: str, **options: Any) -> None:
    """Draw one surface; white where it is empty."""
    image = ax.imshow(made[name], interpolation="nearest", **options)
    ax.figure.colorbar(image, ax=ax, shrink=0.8)
    ax.set_title(title, fontsize="medium")


angles = {"origin": "lower", "extent": (-180, 180, -180, 180)}
figure = Figure(figsize=(11, 3.4), layout="constrained")
left, middle, right = figure.subplots(1, 3)
top = float(np.nanmax(made["energy"]))
draw(left, "energy", "energy of the bins, kcal/mol", vmin=0, vmax=top, **angles)
draw(middle, "smooth", "smoothed, holes left out", vmin=0, vmax=top, **angles)
draw(right, "surface", "its forces", vmin=0, vmax=top, **angles)
centres = np.arange(-180, 180, 5) + 2.5
step = np.s_[2::5]
by_phi, by_psi = made["forces"][:, step, step]
right.quiver(centres[step], centres[step], by_psi, by_phi, color="white", angles="xy")
for ax in (left, middle, right):
    ax.set_xlabel("psi, degrees")
    ax.set_ylabel("phi, degrees")
    ax.set_xticks(range(-180, 181, 90))
    ax.set_yticks(range(-180, 181, 90))
figure.savefig(FOLDER / "torsions.png", dpi=110)

figure = Figure(figsize=(11, 3.2), layout="constrained")
left, middle, right = figure.subplots(1, 3)
draw(left, "heights", "elevation, m; white: no data", cmap="terrain", vmin=0, vmax=500)
draw(middle, "regional", "smoothed over 31 x 31 cells", cmap="terrain", vmin=0, vmax=500)
draw(right, "local", "what stands out, m", cmap="RdBu_r", vmin=-30, vmax=30)
for ax in (left, middle, right):
    ax.set_xticks([])
    ax.set_yticks([])
figure.savefig(FOLDER / "elevation.png", dpi=80)
