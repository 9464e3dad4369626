"""What a path is: the Protocol of its module, and of what that prepares for a problem."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.machine import Machine
from interpolated_kernels.paths.common import Cost
from interpolated_kernels.problem import Problem


class Prepared(ABC):
    """A path prepared for one problem: what it keeps between calls, from structure alone, and what it computes.

    Arrays have the problem's shapes and dtype. `kernels` are what the path takes: dense kernels
    `(filters, channels_per_group, *window)`, or the bank of weights `(filters, channels_per_group, n)`.
    """

    @abstractmethod
    def forward(self, x: FloatArray, kernels: FloatArray, out: FloatArray) -> None:
        """Write y into `out`."""

    @abstractmethod
    def grad_x(self, grad_y: FloatArray, kernels: FloatArray, out: FloatArray) -> None:
        """Write the gradient by x into `out`."""

    @abstractmethod
    def grad_kernels(self, grad_y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the gradient by what the path takes, in float64."""

    def gradients(
        self, grad_y: FloatArray, x: FloatArray | None, kernels: FloatArray | None, out: FloatArray | None
    ) -> FloatArray | None:
        """Write the gradient by x, given kernels and `out`, and return the one by the kernels, given x."""
        if kernels is not None and out is not None:
            self.grad_x(grad_y, kernels, out)
        return None if x is None else self.grad_kernels(grad_y, x)


class PreparedEngine(Prepared):
    """A prepared path that knows dense kernels and no anchors."""

    @abstractmethod
    def grad_dense(self, grad_y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the gradient by the dense kernels, in float64."""

    def grad_kernels(self, grad_y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the gradient by the dense kernels."""
        return self.grad_dense(grad_y, x)


class PreparedBankPath(Prepared):
    """A prepared path that takes the weights themselves."""

    @abstractmethod
    def grad_bank(self, grad_y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the gradient by the bank `(filters, channels_per_group, n)`, in float64."""

    def grad_kernels(self, grad_y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the gradient by the bank."""
        return self.grad_bank(grad_y, x)


class Part(Protocol):
    """The plan of a problem that a path hands to an engine, with dense kernels that it makes itself."""

    @property
    def problem(self) -> Problem:
        """The problem that was handed over."""

    def run_forward(self, x: FloatArray, kernels: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Return y."""

    def run_grad_x(self, grad_y: FloatArray, kernels: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Return the gradient by x."""

    def run_grad_kernels(self, grad_y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the gradient by the dense kernels, in float64."""


class Path(Protocol):
    """The module of an algorithm."""

    ACCURACY: str
    """The strictest accuracy that it meets: "componentwise" or "normwise"."""
    TAKES: str
    """What it takes: "dense" for an engine, or "bank" where it takes the weights themselves."""
    SUMS_IN: str | None
    """The dtype that tied channels are summed in before it sees them; None for the caller's."""

    def supports(self, problem: Problem) -> str | None:
        """Return why it cannot serve the problem, or None."""

    def parts(self, problem: Problem) -> tuple[Problem, ...]:
        """Return what it hands to engines, () for most: it gets plans for these, and never calls another path."""

    def cost(self, problem: Problem, machine: Machine, parts: Callable[[], tuple[Cost, ...]]) -> Cost:
        """Predict one sample on one thread, all but what making dense kernels takes; `parts()` are its parts' costs."""

    def prepare(self, problem: Problem, parts: tuple[Part, ...]) -> Prepared:
        """Return what is kept with a plan; `parts` are its parts' plans."""
