"""Symmetric kernels: anchors and their images share a weight, and the dense kernel is symmetric to the last bit."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from interpolated_kernels.anchors import as_positions, as_window, name_anchors
from interpolated_kernels.arguments import as_int, check_choice, is_int, is_sequence, show
from interpolated_kernels.arrays import BoolArray, FloatArray, IntArray
from interpolated_kernels.errors import AnchorError
from interpolated_kernels.interpolation.base import Interpolator, window_cells
from interpolated_kernels.interpolation.registry import read_document, write_document

GROUPS = ("flips", "rotations", "dihedral")
_SAME_PLACE = 1e-9


@dataclass(frozen=True)
class Symmetric(Interpolator):
    """Another interpolator over anchors and their images under flips or quarter turns, which share a weight.

    So a kernel has one anchor for each set of images: fewer parameters. Every cell of a set of images takes the same
    row of `A`, so the dense kernel equals its images exactly.

    Parameters
    ----------
    interpolator : Interpolator
        What fills the window from all anchors.
    group : {"flips", "rotations", "dihedral"}, or tuple of int
        "flips": along every axis; "rotations": quarter turns of the last two axes; "dihedral": both; a tuple names the
        axes to flip. About the window's centre.

    Notes
    -----
    `symmetric_positions` picks one anchor of each set of images. Differentiable by positions where the other is. An
    anchor on an axis of symmetry is its own image, and has a derivative along that axis alone.

    Raises
    ------
    TypeError, ValueError
        For what is no interpolator or group.
    """

    interpolator: Interpolator
    group: str | tuple[int, ...] = "flips"

    def __post_init__(self) -> None:
        if isinstance(self.interpolator, Mapping):  # as a document names it
            object.__setattr__(self, "interpolator", read_document(self.interpolator))
        if not isinstance(self.interpolator, Interpolator) or isinstance(self.interpolator, Symmetric):
            raise TypeError(f"`interpolator` must be an instance such as `Linear()`, got {show(self.interpolator)}.")
        object.__setattr__(self, "group", as_group(self.group))

    @property
    def exact(self) -> bool:
        """Whether the other interpolator is."""
        return self.interpolator.exact

    @property
    def constants(self) -> bool:
        """Whether the other interpolator reproduces them."""
        return self.interpolator.constants

    @property
    def differentiable_by(self) -> tuple[str, ...]:
        """Positions, where the other interpolator has a derivative by them."""
        return tuple(name for name in self.interpolator.differentiable_by if name == "positions")

    def options(self) -> dict[str, Any]:
        """Return what a document holds: the other interpolator by its name."""
        group = self.group if isinstance(self.group, str) else list(self.group)
        return {"interpolator": write_document(self.interpolator), "group": group}

    def check(self, positions: FloatArray, window: tuple[int, ...]) -> str | None:
        """Raise where anchors are images of each other, or the other interpolator cannot serve them with all images."""
        images = _in_order(find_images(positions, window, self.group))
        owners = images.owners
        for place in range(len(images.positions)):
            if len(set(owners[place])) > 1:
                twins = name_anchors(sorted(set(owners[place])))
                raise AnchorError(
                    f"`positions` must hold one anchor of each set of images: {twins} are images of each other. "
                    "`symmetric_positions` picks one of each."
                )
        return self.interpolator.check(images.positions, window)

    def list_places(self, positions: FloatArray, window: tuple[int, ...]) -> FloatArray:
        """Return the places of all images, the anchors first."""
        return find_images(positions, window, self.group).positions

    def matrix(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> FloatArray:
        """Return `A`: an anchor's columns summed over its images, cells of one set of images taking one row."""
        images = _in_order(find_images(positions, window, self.group))
        whole = self.interpolator.matrix(images.positions, window, None)
        tied = np.zeros((len(whole), len(positions)))
        for column, owners in zip(whole.T, images.owners, strict=True):
            tied[:, owners[0]] += column
        return tied[find_first_images(window, self.group)]

    def matrix_vjp(
        self, grad_matrix: FloatArray, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return the gradient by positions: that of every image, turned back to its anchor."""
        images = _in_order(find_images(positions, window, self.group))
        by_row = np.zeros_like(grad_matrix)
        np.add.at(by_row, find_first_images(window, self.group), grad_matrix)
        by_image, _ = self.interpolator.matrix_vjp(
            by_row[:, [owners[0] for owners in images.owners]], images.positions, window, None
        )
        grad = np.zeros_like(positions)
        for place, (owners, turns) in enumerate(zip(images.owners, images.turns, strict=True)):
            for turn in turns:
                grad[owners[0]] += turn.T @ by_image[place] / len(turns)
        return grad, None

    def support(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> BoolArray | None:
        """Return the whole window where the other interpolator's rows sum to one; else the rows of `A` tell."""
        return np.ones(window, dtype=bool) if self.constants else None


class Images(NamedTuple):
    """All places where anchors and their images stand, and for each whose it is and by which turns."""

    positions: FloatArray
    owners: list[list[int]]
    turns: list[list[FloatArray]]


def _in_order(images: Images) -> Images:
    """Return the images sorted by place: what is computed does not depend on the order of the anchors."""
    order = np.lexsort(images.positions.T[::-1]).tolist()
    return Images(
        images.positions[order], [images.owners[place] for place in order], [images.turns[place] for place in order]
    )


def as_group(group: Any) -> str | tuple[int, ...]:
    """Return a group's name, or the tuple of the axes that it flips.

    Raises
    ------
    TypeError, ValueError
        For another name, and for what is no sequence of ints of at least 0.
    """
    if isinstance(group, str):
        check_choice("group", group, GROUPS)
        return group
    if not is_sequence(group) or not all(map(is_int, group)):
        raise TypeError(f"`group` must be one of {', '.join(GROUPS)} or a tuple of axes, got {show(group)}.")
    return tuple(as_int("group", axis, minimum=0) for axis in group)


def list_operations(window: tuple[int, ...], group: str | tuple[int, ...]) -> list[FloatArray]:
    """Return a group's operations, the identity first, as matrices on positions counted from the centre.

    Raises
    ------
    ValueError
        If the window has no such axes, or is not square where it is turned.
    """
    d = len(window)
    axes = () if group == "rotations" else (tuple(range(d)) if isinstance(group, str) else group)
    if any(not 0 <= axis < d for axis in axes):
        raise ValueError(f"`group` must name axes of the window {window}, got {group}.")
    turns = [np.eye(d)]
    if group in ("rotations", "dihedral"):
        if d < 2 or window[-1] != window[-2]:
            raise ValueError(f"`window` must have two equal last axes for quarter turns, got {window}.")
        quarter = np.eye(d)
        quarter[-2:, -2:] = [[0.0, -1.0], [1.0, 0.0]]
        turns = [np.linalg.matrix_power(quarter, times) for times in range(4)]
    flips = [
        np.diag([-1.0 if axis in axes and chosen[axis] else 1.0 for axis in range(d)])
        for chosen in itertools.product((False, True), repeat=d)
    ]
    found: list[FloatArray] = []
    for flip, turn in itertools.product(flips, turns):
        operation = flip @ turn + 0.0
        if not any(np.array_equal(operation, other) for other in found):
            found.append(operation)
    return found


def find_images(positions: FloatArray, window: tuple[int, ...], group: str | tuple[int, ...]) -> Images:
    """Return all images of the anchors; those that fall on one place are one.

    Coordinates that differ by rounding alone are one too, so that images of a grid are a grid.
    """
    known = np.unique(positions)
    centre = (np.array(window) - 1) / 2
    places: list[FloatArray] = []
    owners: list[list[int]] = []
    turns: list[list[FloatArray]] = []
    for operation in list_operations(window, group):
        for anchor, image in enumerate((positions - centre) @ operation.T + centre):
            nearest = known[np.abs(known[:, None] - image).argmin(axis=0)]
            image = np.where(np.abs(nearest - image) <= _SAME_PLACE, nearest, image)
            known = np.union1d(known, image)
            away = np.abs(np.array(places).reshape(-1, len(image)) - image).max(axis=1)
            if (away <= _SAME_PLACE).any():
                place = int(away.argmin())
                owners[place].append(anchor)
                turns[place].append(operation)
            else:
                places.append(image)
                owners.append([anchor])
                turns.append([operation])
    return Images(np.array(places), owners, turns)


@functools.lru_cache(maxsize=16)
def find_first_images(window: tuple[int, ...], group: str | tuple[int, ...]) -> IntArray:
    """Return for every cell of the window the first of its images."""
    cells, centre = window_cells(window), (np.array(window) - 1) / 2
    first = np.arange(len(cells))
    for operation in list_operations(window, group):
        images = np.rint((cells - centre) @ operation.T + centre).astype(np.intp)
        first = np.minimum(first, np.ravel_multi_index(tuple(images.T), window))
    first.flags.writeable = False
    return first


def symmetric_positions(positions: Any, window: int | tuple[int, ...], group: str | tuple[int, ...]) -> FloatArray:
    """Return one anchor of each set of images among `(n, d)` positions: those that `Symmetric` asks for.

    Parameters
    ----------
    positions : (n, d) array_like, window cells
        All anchors, such as a grid.
    window : int or tuple of int
    group : as for `Symmetric`

    Returns
    -------
    array
        The first listed of each set.

    Raises
    ------
    AnchorError
        If an image of an anchor has no anchor, naming those.

    Examples
    --------
    >>> import interpolated_kernels as ik
    >>> corner = ik.symmetric_positions(ik.grid_positions((5, 5), 2), (5, 5), "dihedral")
    >>> corner.tolist()
    [[0.0, 0.0], [0.0, 2.0], [2.0, 2.0]]
    >>> ik.InterpolatedKernel(corner, (5, 5), ik.Symmetric(ik.Linear(), "dihedral")).n_anchors
    3
    """
    listed = as_positions(positions)
    if listed.ndim != 2:
        raise ValueError(f"`positions` must have shape (n, d), got {listed.shape}.")
    shape, group = as_window(window, listed.shape[1]), as_group(group)
    images = find_images(listed, shape, group)
    alone = sorted({owners[0] for place, owners in enumerate(images.owners) if place >= len(listed)})
    if alone:
        raise AnchorError(
            f"`positions` must hold every image of an anchor under {group!r}: {name_anchors(alone)} lack one. "
            "Add it, or list one anchor of each set of images without this function."
        )
    kept: list[int] = []
    for owners in images.owners:
        if not any(owner in kept for owner in owners):
            kept.append(min(owners))
    return listed[sorted(set(kept))]
