"""A case as it stands in a folder, and the two sources of results: files beside it, and this engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.convolution import conv, conv_backward
from interpolated_kernels.errors import ignore_anchor_warnings
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.testing.vectors.expected import Expected
from interpolated_kernels.testing.vectors.files import VectorsError, read_array, read_case, read_result
from interpolated_kernels.transposed import conv_transpose

_ENDINGS = ("f32", "f64")


@dataclass(frozen=True, eq=False)
class Case:
    """A problem with its arrays and expected results: a folder, and the document in it."""

    folder: Path
    document: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Case:
        """Return the case of a folder, or raise `VectorsError` where that is damaged."""
        return cls(folder, read_case(folder))

    @property
    def quantities(self) -> list[str]:
        """The results that are asked for."""
        return list(self.document["results"])

    def read(self, name: str) -> FloatArray:
        """Return one of the arrays that a backend is given."""
        entry = self.document["arrays"][name]
        return read_array(self.folder / entry["file"], tuple(entry["shape"]))

    def read_expected(self, quantity: str) -> Expected:
        """Return what a result has to be."""
        entry, shape = self.document["results"][quantity], tuple(self.document["results"][quantity]["shape"])
        values, bound = (read_array(self.folder / entry[part], shape) for part in ("file", "bound"))
        return Expected(values, bound, tuple(entry["spoiled_filters"]))

    def read_result(self, quantity: str) -> FloatArray | None:
        """Return what a program has written, or None.

        Raises
        ------
        ValueError
            If a result has not as many bytes as its shape needs.
        VectorsError
            If it is there twice.
        """
        paths = [path for path in self._list_results(quantity) if path.is_file()]
        if len(paths) > 1:
            raise VectorsError(f"`folder` must hold one result for each question: remove {paths[0]} or {paths[1]}.")
        return read_result(paths[0], tuple(self.document["results"][quantity]["shape"])) if paths else None

    def check_names(self) -> None:
        """Raise `VectorsError` for a result that none has asked for: it would be passed over."""
        known = [path for quantity in self.quantities for path in self._list_results(quantity)]
        for path in sorted(self.folder.glob("*.result*")):
            if path not in known:
                names = ", ".join(f"{quantity}.result.{_ENDINGS[0]}" for quantity in self.quantities)
                raise VectorsError(
                    f"`folder` must hold results by their names, {path} is none of {names} (or .{_ENDINGS[1]})."
                )

    def compute(self, quantity: str) -> FloatArray:
        """Return what this engine makes of the case."""
        with ignore_anchor_warnings(), np.errstate(all="ignore"):  # of NaN and infinity that are given
            return self._compute(quantity)

    def _compute(self, quantity: str) -> FloatArray:
        kernel = InterpolatedKernel.from_dict(self.document["kernel"])
        options = {name: _freeze(value) for name, value in self.document["options"].items()}
        x, weights, grad_y = (self.read(name) for name in ("x", "weights", "grad_y"))
        if quantity == "y":
            return conv(x, weights, kernel, **options)
        if quantity == "transposed":
            geometry = self.document["geometry"]
            options |= {"padding": _freeze(geometry["pads"]), "output_padding": _freeze(geometry["output_padding"])}
            del options["missing"]
            return conv_transpose(grad_y, weights, kernel, **options)
        name = quantity.removeprefix("grad_")
        return np.asarray(getattr(conv_backward(grad_y, x, weights, kernel, wrt=(name,), **options), name))

    def _list_results(self, quantity: str) -> list[Path]:
        return [self.folder / f"{quantity}.result.{ending}" for ending in _ENDINGS]


def _freeze(value: Any) -> Any:
    """Return lists as tuples, as options are written."""
    return tuple(map(_freeze, value)) if isinstance(value, list) else value
