"""Which engine serves a call: numba through the core, or torch's own operators."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd import forward_ad

from interpolated_kernels import adapting

_NO_FORWARD_MODE = "it has reverse mode alone, no forward mode and no batching rule"


def choose_engine(engine: str, path: str, *tensors: torch.Tensor) -> str:
    """Return "numba" or "native" for the tensors of one call.

    Raises
    ------
    ValueError
        For an unknown engine, or where the one asked for by name cannot serve.
    """
    adapting.check_engine(engine)
    if engine == "numba" or (engine == "auto" and not _is_exporting()):
        why_not = why_not_numba(*tensors)
        if why_not is None:
            return "numba"
        if engine == "numba":
            raise ValueError(f"`engine`='numba' cannot serve this call: {why_not}. Use engine='native' or 'auto'.")
    adapting.check_engine("native", path)
    return "native"


def why_not_numba(*tensors: torch.Tensor) -> str | None:
    """Return why the core's loops cannot serve these tensors, or None."""
    if _is_transformed():
        return f"the call is under a torch.func transform, and {_NO_FORWARD_MODE}"
    for tensor in tensors:
        if tensor.device.type not in ("cpu", "cuda", "meta"):
            return f"its loops run on the CPU and on GPUs of CUDA's, and a tensor is on {tensor.device}"
        if tensor.device.type == "cuda" and (obstacle := _why_not_cuda()) is not None:
            return f"a tensor is on {tensor.device}, and its loops cannot run there: {obstacle}"
        if _get_tangent(tensor) is not None:
            return f"a tensor carries a tangent, and {_NO_FORWARD_MODE}"
    return None


def refuse_tangent(tensor: torch.Tensor) -> None:
    """Raise where forward mode reaches an operator, which has no rule for it and would give zeros in silence."""
    try:
        carried = _get_tangent(tensor) is not None
    except RuntimeError:  # inside a compiled graph torch does not tell
        carried = True
    if carried:
        raise RuntimeError(f"`engine`='numba' cannot serve forward mode: {_NO_FORWARD_MODE}. Use engine='native'.")


def _is_exporting() -> bool:
    """Return whether what is traced now is to run elsewhere, where this engine need not be installed."""
    return torch.compiler.is_exporting() or is_jit_tracing()


def is_jit_tracing() -> bool:
    """Return whether `torch.jit.trace` records this call, as the older ONNX exporter makes it do."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call] # torch's own


@torch.compiler.assume_constant_result
def _why_not_cuda() -> str | None:
    return adapting.why_not_cuda()


@torch.compiler.assume_constant_result
def _is_transformed() -> bool:
    return torch._C._functorch.maybe_current_level() is not None


def _get_tangent(tensor: torch.Tensor) -> Any:
    return forward_ad.unpack_dual(tensor).tangent  # type: ignore[no-untyped-call] # torch's own
