"""A layer's arguments as Keras has them: names, configs and callables, and a kernel of a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

import interpolated_kernels as ik
from interpolated_kernels import adapting

_CHOICES = {
    "data_format": adapting.DATA_FORMATS,
    "padding": ("valid", "same", "causal"),
}
_KERAS_OBJECTS = {
    "activation": keras.activations,
    "kernel_initializer": keras.initializers,
    "bias_initializer": keras.initializers,
    "kernel_regularizer": keras.regularizers,
    "bias_regularizer": keras.regularizers,
    "activity_regularizer": keras.regularizers,
    "kernel_constraint": keras.constraints,
    "bias_constraint": keras.constraints,
}


def check_choices(layer: Any) -> None:
    """Raise `ValueError` unless a layer's data format and padding are among Keras'."""
    for name, allowed in _CHOICES.items():
        adapting.check_choice(name, getattr(layer, name), allowed)


def get_keras_objects(layer: Any, **given: Any) -> None:
    """Give a layer what Keras makes of names, configs and callables."""
    for name, value in given.items():
        setattr(layer, name, _KERAS_OBJECTS[name].get(value))


def serialize_keras_objects(layer: Any) -> dict[str, Any]:
    """Return the same as plain values, which JSON can hold."""
    return {name: module.serialize(getattr(layer, name)) for name, module in _KERAS_OBJECTS.items()}


def read_kernel(kernel: Any) -> Any:
    """Return the kernel of a config's entry, whose maker was warned; anything else as it is."""
    if not isinstance(kernel, Mapping):
        return kernel
    with adapting.ignore_anchor_warnings():
        return ik.InterpolatedKernel.from_dict(kernel)
