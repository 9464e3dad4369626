"""One module an algorithm, all with the same function names, in one table.

A path is a module with

- `ACCURACY`: the strictest accuracy that it meets, "componentwise" or "normwise";
- `TAKES`: "dense" where it knows dense kernels alone, an engine, or "bank" where it takes the weights themselves;
- `SUMS_IN`: the dtype that tied channels are summed in before it sees them, None for the caller's;
- `supports(problem) -> str | None`: why it cannot serve the problem, or None;
- `parts(problem) -> problems`: what it hands to engines, () for most; it gets plans for them, and never calls a path;
- `cost(problem, machine, parts) -> Cost`: predicted seconds for one sample on one thread, extra bytes, and its error
  bound in words, all but what the dense kernels take; `parts()` are the costs of its parts;
- `prepare(problem, parts) -> state`: what is kept with a plan, computed from structure alone; `parts` are its parts'
  plans;
- `forward(state, x, kernels, out)` and `grad_x(state, grad_y, kernels, out)`, which write `out`, on arrays of the
  problem's shapes and dtype; `kernels` are dense `(filters, channels_per_group, *window)`, or the bank;
- `grad_dense(state, grad_y, x)` or `grad_bank(state, grad_y, x)`: the gradient by what it takes, in float64;
- `gradients(state, grad_y, x, kernels, out)`: both gradients, either left out where x, or kernels and `out`, are None;
  only where they share work.
"""

from __future__ import annotations

from types import ModuleType

from interpolated_kernels.machine import Machine
from interpolated_kernels.paths import basis, direct, fourier, lattice, reference
from interpolated_kernels.paths.common import Cost

PATHS: dict[str, ModuleType] = {
    "basis": basis,
    "direct": direct,
    "fourier": fourier,
    "lattice": lattice,
    "reference": reference,
}

ENGINES = tuple(name for name, path in PATHS.items() if path.TAKES == "dense")
"""The paths that know no anchors."""

__all__ = ["ENGINES", "PATHS", "Cost", "Machine"]
