"""Kernels on disk: what `save` writes and `load` reads, and what other packages saved.

`documents` holds the format, `archives` the arrays in an npz, `foreign` the states of other packages.
"""

from interpolated_kernels.files.documents import Saved, load, save
from interpolated_kernels.files.foreign import from_checkpoint, from_dcls

__all__ = ["Saved", "from_checkpoint", "from_dcls", "load", "save"]
