"""Pictures: the dense kernel with its anchors, and where the anchors stand. matplotlib is loaded at first use.

A picture is made of *planes*, one Axes each: a window of two axes is one plane of rows and columns, a window of one
axis a plane of a single row, a window of three axes as many planes as its first axis has cells. `planes` cuts a
kernel's window and its anchors into these, without matplotlib; `frames` makes, bounds and labels their Axes; `pictures`
draws into them.
"""

from interpolated_kernels.plotting.pictures import plot_anchors, plot_kernel

__all__ = ["plot_anchors", "plot_kernel"]
