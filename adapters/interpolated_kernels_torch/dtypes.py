"""The dtype and the layout in memory of a result, as torch's own convolutions choose them."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def choose_dtype(dtypes: Sequence[torch.dtype], device_type: str) -> torch.dtype:
    """Return the common dtype of a call's tensors, or autocast's where it is on; float64 stays."""
    dtype = functools.reduce(torch.promote_types, dtypes)
    is_known = torch.amp.is_autocast_available(device_type)  # no such thing on "meta"
    if dtype != torch.float64 and is_known and torch.is_autocast_enabled(device_type):
        return torch.get_autocast_dtype(device_type)
    return dtype


def choose_memory_format(x: torch.Tensor) -> torch.memory_format:
    """Return the format of y: channels last where x is so and not contiguous as well."""
    chosen = _CHANNELS_LAST.get(x.ndim)
    if chosen is None or x.is_contiguous() or not x.is_contiguous(memory_format=chosen):
        return torch.preserve_format
    return chosen
