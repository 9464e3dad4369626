"""Layers: `torch.nn.ConvNd` with its weights on anchors."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_torch import conversion, dcls_modules
from interpolated_kernels_torch.checks import check_layer
from interpolated_kernels_torch.constants import keep_constant
from interpolated_kernels_torch.densifying import densify
from interpolated_kernels_torch.digests import check_digest, make_digest
from interpolated_kernels_torch.engines import choose_engine
from interpolated_kernels_torch.functional import interpolated_conv
from interpolated_kernels_torch.moving_engine import replace_anchors

_DEFAULTS = {
    "stride": 1, "padding": 0, "padding_mode": "zeros", "dilation": 1, "groups": 1,
    "path": "auto", "accuracy": "normwise", "engine": "auto",
}  # fmt: skip


class InterpolatedConv(nn.Module):
    """What the layers of all dimensions share; use `InterpolatedConv1d`, `InterpolatedConv2d` or `InterpolatedConv3d`.

    Attributes
    ----------
    weight : Parameter
        `(out_channels, in_channels / groups, n)`, or `(out_channels, n)` where channels are tied or interpolated.
    bias : Parameter or None
        `(out_channels,)`.
    positions, widths : Parameter or None
        Where they are learned, in the shapes of the kernel's. Along axes that are not, positions stay the kernel's.
    kernel : InterpolatedKernel
        As it was passed; `current_kernel` has the positions and widths of now.
    """

    n_dims: ClassVar[int]
    positions: nn.Parameter | None
    widths: nn.Parameter | None
    kernel_digest: torch.Tensor

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
        learn_positions: bool | Sequence[int] = False,
        learn_widths: bool = False,
        engine: str = "auto",
        path: str = "auto",
        accuracy: str = "normwise",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Make a layer whose start is drawn from torch's generator.

        Parameters
        ----------
        in_channels, out_channels : int
        kernel : InterpolatedKernel
            With as many spatial axes as the layer.
        stride, padding, dilation, groups, padding_mode
            As for `interpolated_kernels.conv`; as in torch, `padding="same"` needs a stride of 1.
        bias : bool
        learn_positions : bool or tuple of axes
            Along all axes of the window, or some, for interpolators that are differentiable by positions.
        learn_widths : bool
            For interpolators that are differentiable by widths.
        engine, path, accuracy
            As for `interpolated_conv`; `choose_engine(x)` says which engine serves.
        device, dtype
            Of the parameters.

        Raises
        ------
        TypeError, ValueError
            As the core raises them.
        """
        super().__init__()
        self.in_channels, self.out_channels, self.kernel = in_channels, out_channels, kernel
        self.stride, self.padding, self.padding_mode, self.dilation = stride, padding, padding_mode, dilation
        self.groups, self.path, self.accuracy, self.engine = groups, path, accuracy, engine
        settled = check_layer(self)
        self.learn_positions, self.learn_widths = adapting.settle_axes(kernel, learn_positions), bool(learn_widths)
        adapting.check_learning(kernel, engine, positions=bool(self.learn_positions), widths=self.learn_widths)
        like = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.empty(settled.weights_shape, **like))
        self.bias = nn.Parameter(torch.empty(out_channels, **like)) if bias else None
        for name, start in zip(("positions", "widths"), self._starts(), strict=True):
            self.register_parameter(name, None if start is None else nn.Parameter(torch.empty(start.shape, **like)))
        self.register_buffer("kernel_digest", torch.empty_like(self._make_digest(), device=self.weight.device))
        self.reset_parameters()

    @property
    def options(self) -> dict[str, Any]:
        """The options of `interpolated_conv` that this layer calls it with."""
        return {name: getattr(self, name) for name in _DEFAULTS}

    @property
    def current_kernel(self) -> ik.InterpolatedKernel:
        """The kernel at the positions and with the widths of now."""
        with torch.no_grad():
            return replace_anchors(self.kernel, *(None if given is None else given.cpu() for given in self._anchors()))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weights and bias from torch's generator; anchors go back to the kernel's.

        The dense kernel's mean square is that of `nn.ConvNd`'s.
        """
        channels = self.in_channels // self.groups
        seed = int(torch.randint(2**63 - 1, (), device="cpu"))
        weights = ik.initial_weights(self.kernel, self.out_channels, channels, np.random.default_rng(seed))
        self.weight.copy_(torch.from_numpy(weights))
        for parameter, start in zip((self.positions, self.widths), self._starts(), strict=True):
            if parameter is not None:
                parameter.copy_(torch.from_numpy(start.copy()))
        self.kernel_digest.copy_(self._make_digest())
        if self.bias is not None:
            bound = (channels * int(np.prod(self.kernel.spatial_window))) ** -0.5
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return y `(batch, out_channels, *out)` for x `(batch, in_channels, *spatial)`, or both without the batch."""
        positions, widths = self._anchors()
        return interpolated_conv(
            x, self.weight, self.kernel, self.bias, positions=positions, widths=widths, **self.options
        )

    def choose_engine(self, x: torch.Tensor) -> str:
        """Return the engine that serves a call with x: "numba" or "native"."""
        return choose_engine(self.engine, self.path, x, *self.parameters(recurse=False))

    def dense_kernel(self) -> torch.Tensor:
        """Return `(out_channels, channels, *window)`, one channel where they are tied.

        Differentiable by `weight`, `positions` and `widths`.
        """
        return densify(self.weight, self.kernel, *self._anchors())

    @classmethod
    def from_conv(cls, conv: nn.Module, kernel: ik.InterpolatedKernel, **options: Any) -> InterpolatedConv:
        """Return the layer whose dense kernel is nearest, in least squares, to that of a plain `nn.ConvNd`.

        Which parameters need a gradient, and the mode of training or evaluation, are those of `conv`.

        Raises
        ------
        TypeError, ValueError
            If `conv` is no plain convolution of as many axes, or its window is not the kernel's.
        """
        layer: InterpolatedConv = conversion.from_conv(cls, conv, kernel, **options)
        return layer

    def to_conv(self) -> nn.Module:
        """Return a plain `nn.ConvNd` with equal output, whose parameters need a gradient where the layer's do.

        Raises
        ------
        ValueError
            For padding that `nn.ConvNd` does not have: different before and after, "symmetric", or a mode an axis.
        """
        return conversion.to_conv(self)

    @classmethod
    def from_dcls(cls, module: nn.Module, **options: Any) -> InterpolatedConv:
        """Return the layer that computes and learns what a module of the package dcls does.

        Parameters
        ----------
        module : Module
            `Dcls1d`, `Dcls2d` or `Dcls3d` of dcls 0.1.1; `Dcls2dK1d`, and `Dcls3_1d` whose fixed axes have one cell.
        **options
            Of the layer, such as `engine`; positions, and widths where the module has them, are learned.

        Raises
        ------
        TypeError, ValueError
            If `module` is none of these, has other axes than the layer, or a fixed kernel beside the learned one.
        """
        layer: InterpolatedConv = dcls_modules.from_dcls(cls, module, **options)
        return layer

    def to_file(self, path: str | os.PathLike[str]) -> None:
        """Write the kernel of now, the weights and the bias as `interpolated_kernels.save` does; bfloat16 as float32.

        Raises
        ------
        ValueError, OSError
            As `interpolated_kernels.save`.
        """
        conversion.to_file(self, path)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **options: Any) -> InterpolatedConv:
        """Return the layer of a file that `to_file`, `interpolated_kernels.save` or another adapter wrote.

        Parameters
        ----------
        path : path
        **options
            Of the layer, which are not in the file: stride, padding and so on; `in_channels` where channels are tied.

        Raises
        ------
        ValueError
            If the file has no bank of weights for such a layer; and as `interpolated_kernels.load`.
        """
        layer: InterpolatedConv = conversion.from_file(cls, path, **options)
        return layer

    @torch.no_grad()
    def clamp_positions(self) -> None:
        """Move learned positions back into the window, to 0 ... window - 1; without any there is nothing to do."""
        if self.positions is not None:
            for axis, cells in enumerate(self.kernel.window):
                self.positions[..., axis].clamp_(0, cells - 1)

    def parameter_groups(self, lr: float | None = None, factor: float = 1.0) -> list[dict[str, Any]]:
        """Return the parameters for an optimizer: `weight`; `bias` without weight decay; the anchors likewise.

        Parameters
        ----------
        lr : float, optional
            The optimizer's learning rate, which positions and widths get times `factor`.
        factor : float

        Raises
        ------
        ValueError
            For a factor without `lr`.
        """
        if lr is None and factor != 1.0:
            raise ValueError(f"`lr` must be given for `factor` {factor!r} to scale, got None.")
        anchors = [parameter for parameter in (self.positions, self.widths) if parameter is not None]
        rate = {} if lr is None else {"lr": lr * factor}
        return [
            {"params": [self.weight]},
            *([] if self.bias is None else [{"params": [self.bias], "weight_decay": 0.0}]),
            *([{"params": anchors, "weight_decay": 0.0, **rate}] if anchors else []),
        ]

    def extra_repr(self) -> str:
        """Return the arguments that differ from their defaults."""
        shown = [f"{name}={value!r}" for name, value in self.options.items() if repr(value) != repr(_DEFAULTS[name])]
        shown += ["bias=False"] if self.bias is None else []
        if self.learn_positions:
            is_all = len(self.learn_positions) == len(self.kernel.window)
            shown += [f"learn_positions={True if is_all else self.learn_positions}"]
        shown += ["learn_widths=True"] if self.learn_widths else []
        return ", ".join([f"{self.in_channels}, {self.out_channels}, {self.kernel!r}", *shown])

    def _starts(self) -> tuple[Any, Any]:
        """Return the kernel's positions and widths where they are learned, else None."""
        positions = self.kernel.positions if self.learn_positions else None
        return positions, adapting.fill_widths(self.kernel) if self.learn_widths else None

    def _anchors(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Return the positions and widths that are learned; along fixed axes positions are the kernel's."""
        positions: torch.Tensor | None = self.positions
        if positions is not None and len(self.learn_positions) < len(self.kernel.window):
            own = keep_constant(self.kernel, positions.device, "positions").to(positions.dtype)
            sources = [positions if axis in self.learn_positions else own for axis in range(own.shape[-1])]
            positions = torch.stack([source[..., axis] for axis, source in enumerate(sources)], -1)
        return positions, self.widths

    def _make_digest(self) -> torch.Tensor:
        learned = {"positions": bool(self.learn_positions), "widths": self.learn_widths}
        return make_digest(self.kernel, [name for name, is_learned in learned.items() if is_learned])

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        """Raise `ValueError` for the weights of another kernel; warn where the state does not say whose they are."""
        name = f"{prefix}kernel_digest"
        if name in state_dict:
            check_digest(state_dict[name], self._make_digest(), self.kernel)
        else:
            warnings.warn(
                "`state_dict` does not say which kernel its weights belong to: they are taken for this layer's.",
                stacklevel=2,
            )
            state_dict[name] = self._make_digest()
        super()._load_from_state_dict(state_dict, prefix, *arguments)


class InterpolatedConv1d(InterpolatedConv):
    """`torch.nn.Conv1d` with its weights on anchors."""

    n_dims = 1


class InterpolatedConv2d(InterpolatedConv):
    """`torch.nn.Conv2d` with its weights on anchors."""

    n_dims = 2


class InterpolatedConv3d(InterpolatedConv):
    """`torch.nn.Conv3d` with its weights on anchors."""

    n_dims = 3
