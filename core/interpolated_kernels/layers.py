"""The original project's import path of its layer; the Keras adapter is loaded when the layer is asked for."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "InterpolatedConv2d":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from interpolated_kernels_keras import InterpolatedConv2d  # Keras is an extra, and loads when asked for
    except ImportError as error:
        raise ImportError(
            f"`{__name__}.{name}` needs Keras 3 and a backend for it, and here {error}. "
            "Run: pip install 'interpolated-kernels[keras,tensorflow]'."
        ) from error
    return InterpolatedConv2d


def __dir__() -> list[str]:
    return ["InterpolatedConv2d"]
