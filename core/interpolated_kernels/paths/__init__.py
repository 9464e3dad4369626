"""One module an algorithm, all with the same function names, in one table.

A path is a module with

- `ACCURACY`: the strictest accuracy that it meets, "componentwise" or "normwise";
- `SUMS_IN`: the dtype that tied channels are summed in before it sees them, None for the caller's;
- `supports(problem) -> str | None`: why it cannot serve the problem, or None;
- `parts(problem) -> problems`: what it hands to other paths, () for most; it gets plans for them, and never calls a
  path;
- `cost(problem, machine, parts) -> Cost`: predicted seconds for one sample on one thread, extra bytes, and its error
  bound in words; `parts()` are the costs of its parts;
- `prepare(problem, parts) -> state`: what is kept with a plan, computed from structure alone; `parts` are its parts'
  plans;
- `forward(state, x, bank) -> y`, `grad_x(state, grad_y, bank) -> grad_x`, `grad_weights(state, grad_y, x) ->
  grad_bank`, on arrays of the problem's shapes and compute dtype, `bank` being weights `(filters, channels, n)`;
- `gradients(state, grad_y, x, bank, wrt) -> {name: gradient}`: those of "x" and "weights" that `wrt` names, only where
  they share work.
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

__all__ = ["PATHS", "Cost", "Machine"]
