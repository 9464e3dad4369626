"""Whole models: every interpolated layer as a plain convolution."""

from __future__ import annotations

import copy

from torch import nn

from interpolated_kernels_torch.layers import InterpolatedConv


def to_conv(model: nn.Module) -> nn.Module:
    """Return a copy of a model in which every interpolated layer is a plain `nn.ConvNd` with equal output.

    Parameters
    ----------
    model : Module
        Or one layer.

    Raises
    ------
    ValueError
        For padding that `nn.ConvNd` does not have: different before and after, "symmetric", or a mode an axis.
    """
    if isinstance(model, InterpolatedConv):
        return model.to_conv()
    model = copy.deepcopy(model)
    plain: dict[nn.Module, nn.Module] = {}
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if isinstance(child, InterpolatedConv):
                if child not in plain:
                    plain[child] = child.to_conv()
                parent._modules[name] = plain[child]
    return model
