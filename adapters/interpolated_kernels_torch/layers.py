"""Layers: `torch.nn.ConvNd` with its weights on anchors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_torch import conversion, native_engine
from interpolated_kernels_torch.checks import check_layer
from interpolated_kernels_torch.functional import interpolated_conv

_DEFAULTS = {
    "stride": 1, "padding": 0, "padding_mode": "zeros", "dilation": 1, "groups": 1,
    "path": "auto", "accuracy": "normwise", "engine": "auto",
}  # fmt: skip


class InterpolatedConv(nn.Module):
    """What the layers of all dimensions share; use `InterpolatedConv1d`, `InterpolatedConv2d` or `InterpolatedConv3d`.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel : InterpolatedKernel
        With as many spatial axes as the layer.
    stride, padding, dilation, groups, padding_mode
        As for `interpolated_kernels.conv`; as in torch, `padding="same"` needs a stride of 1.
    bias : bool
    learn_positions, learn_widths : bool
        For interpolators that are differentiable by them.
    engine, path, accuracy
        As for `interpolated_conv`.
    device, dtype
        Of the parameters.

    Attributes
    ----------
    weight : Parameter
        `(out_channels, in_channels / groups, n)`, or `(out_channels, n)` where channels are tied or interpolated.
    bias : Parameter or None
        `(out_channels,)`.

    Raises
    ------
    TypeError, ValueError
        As the core raises them, at construction.
    """

    n_dims: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: ik.InterpolatedKernel,
        *,
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[Any] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str | Sequence[str] = "zeros",
        learn_positions: bool = False,
        learn_widths: bool = False,
        engine: str = "auto",
        path: str = "auto",
        accuracy: str = "normwise",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.kernel = in_channels, out_channels, kernel
        self.stride, self.padding, self.padding_mode, self.dilation = stride, padding, padding_mode, dilation
        self.groups, self.path, self.accuracy, self.engine = groups, path, accuracy, engine
        settled = check_layer(self)
        adapting.check_fixed(kernel, positions=learn_positions, widths=learn_widths)
        self.weight = nn.Parameter(torch.empty(settled.weights_shape, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(out_channels, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    @property
    def options(self) -> dict[str, Any]:
        """The options of `interpolated_conv` that this layer calls it with."""
        return {name: getattr(self, name) for name in _DEFAULTS}

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weights and bias from torch's generator; the dense kernel's mean square is that of `nn.ConvNd`'s."""
        channels = self.in_channels // self.groups
        seed = int(torch.randint(2**63 - 1, (), device="cpu"))
        weights = ik.initial_weights(self.kernel, self.out_channels, channels, np.random.default_rng(seed))
        self.weight.copy_(torch.from_numpy(weights))
        if self.bias is not None:
            bound = (channels * int(np.prod(self.kernel.spatial_window))) ** -0.5
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return y `(batch, out_channels, *out)` for x `(batch, in_channels, *spatial)`, or both without the batch."""
        return interpolated_conv(x, self.weight, self.kernel, self.bias, **self.options)

    def dense_kernel(self) -> torch.Tensor:
        """Return `(out_channels, channels, *window)`, one channel where they are tied; differentiable by `weight`."""
        return native_engine.densify(self.weight, self.kernel)

    @classmethod
    def from_conv(cls, conv: nn.Module, kernel: ik.InterpolatedKernel, **options: Any) -> InterpolatedConv:
        """Return the layer whose dense kernel is nearest, in least squares, to that of a plain `nn.ConvNd`.

        Raises
        ------
        TypeError, ValueError
            If `conv` is no plain convolution of as many axes, or its window is not the kernel's.
        """
        layer: InterpolatedConv = conversion.from_conv(cls, conv, kernel, **options)
        return layer

    def to_conv(self) -> nn.Module:
        """Return a plain `nn.ConvNd` with equal output.

        Raises
        ------
        ValueError
            For padding that `nn.ConvNd` does not have: different before and after, "symmetric", or a mode an axis.
        """
        return conversion.to_conv(self)

    def clamp_positions(self) -> None:
        """Move learned positions back into the window; without any there is nothing to do."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the parameters for an optimizer: `weight`, and the others without weight decay."""
        others = [parameter for name, parameter in self.named_parameters() if name != "weight"]
        return [{"params": [self.weight]}, *([{"params": others, "weight_decay": 0.0}] if others else [])]

    def get_extra_state(self) -> dict[str, Any]:
        """Return the kernel's description, which goes into `state_dict`: the weights mean nothing without it."""
        return self.kernel.to_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Raise `ValueError` unless the loaded weights belong to this layer's kernel."""
        own = self.kernel.to_dict()
        if state != own:
            parts = sorted(name for name in {*own, *state} if own.get(name) != state.get(name))
            raise ValueError(
                f"`state_dict` holds weights of another kernel than {self.kernel!r}: {', '.join(parts)} differ. "
                "Build the layer with `InterpolatedKernel.from_dict` of the state's `_extra_state`."
            )

    def extra_repr(self) -> str:
        """Return the arguments that differ from their defaults."""
        shown = [f"{name}={value!r}" for name, value in self.options.items() if repr(value) != repr(_DEFAULTS[name])]
        shown += ["bias=False"] if self.bias is None else []
        return ", ".join([f"{self.in_channels}, {self.out_channels}, {self.kernel!r}", *shown])


class InterpolatedConv1d(InterpolatedConv):
    """`torch.nn.Conv1d` with its weights on anchors."""

    n_dims = 1


class InterpolatedConv2d(InterpolatedConv):
    """`torch.nn.Conv2d` with its weights on anchors."""

    n_dims = 2


class InterpolatedConv3d(InterpolatedConv):
    """`torch.nn.Conv3d` with its weights on anchors."""

    n_dims = 3
