"""Which engine serves a call: numba through the core, or TensorFlow's own operations."""

from __future__ import annotations

import sys
from typing import Any

import tensorflow as tf

from interpolated_kernels import adapting

_EXPORTERS = ("keras.src.export.", "tensorflow.python.saved_model.", "tensorflow.lite.", "tf2onnx.")


def choose_engine(engine: str, path: str, *tensors: Any) -> str:
    """Return "numba" or "native" for the tensors of one call.

    Raises
    ------
    ValueError
        For an unknown engine, or where the one asked for by name cannot serve.
    """
    adapting.check_engine(engine)
    if engine == "numba" or (engine == "auto" and not _may_leave_the_cpu(tensors)):
        why_not = why_not_numba(*tensors)
        if why_not is None:
            return "numba"
        if engine == "numba":
            raise ValueError(f"`engine`='numba' cannot serve this call: {why_not}. Use engine='native' or 'auto'.")
    adapting.check_engine("native", path)
    return "native"


def why_not_numba(*tensors: Any) -> str | None:
    """Return why the core's loops cannot serve these tensors, or None."""
    for tensor in tensors:
        if _find_device_type(tensor) not in ("CPU", None):
            return f"its loops run on the CPU and a tensor is on {tensor.device}"
    if not tf.executing_eagerly():
        if is_inside_xla():
            return "it is compiled by XLA (jit_compile=True), which cannot run under it or call host functions"
        if _is_exporting():
            return "it is traced for export, and its loops stay in this process"
    return None


def is_inside_xla() -> bool:
    """Return whether what is traced now is for XLA; TensorFlow has no public word for it."""
    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    while graph is not None:
        context = getattr(graph, "_get_control_flow_context", lambda: None)()
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False


def _is_exporting() -> bool:
    """Return whether an exporter asked for this trace: it is among the callers, and tells in no other way."""
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_EXPORTERS):
            return True
        frame = frame.f_back
    return False


def _may_leave_the_cpu(tensors: Any) -> bool:
    """Return whether a graph, whose tensors need not say where they will be, may run on an accelerator."""
    if tf.executing_eagerly() or all(_find_device_type(tensor) == "CPU" for tensor in tensors):
        return False
    return any(device.device_type != "CPU" for device in tf.config.list_logical_devices())


def _find_device_type(tensor: Any) -> str | None:
    """Return "CPU", "GPU" and the like; None while a graph does not say."""
    found: str | None = tf.DeviceSpec.from_string(tensor.device).device_type if tensor.device else None
    return found
