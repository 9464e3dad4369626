"""Random problems that cover everything `conv` can be asked for, drawn by NumPy alone.

    problem   what is asked of a backend, without arrays: shapes, kernel, dtype, options and the kind of data
    trial     a problem with its arrays
    feature   one thing that a problem exercises, such as `padding mode: reflect`: what a report counts

A `Drawer` draws problem after problem from a seed. Every choice (dimensions, channel mode, interpolator, padding,
stride and so on) is dealt from a shuffled deck of its own, so that after some dozens of problems each has been dealt
about equally often, beside ever other ones. The same seed gives the same problems, whatever becomes of them.

Data are of five kinds:

    normal       independent normal numbers
    exact        small integers, and a kernel of dyadic fractions: every sum is exact in any order
    non-finite   normal numbers, a few NaN and infinities in x and in the gradient by y, and zeros among the weights
    holes        normal numbers, zeros of either sign and NaN in x, positive weights, and missing="renormalize"
    wide         normal numbers times 1e-6 to 1e6, so that small results stand beside large ones

All are rounded to the arithmetic under test, so that a backend may take them in that dtype.
"""

from interpolated_kernels.testing.drawing.decks import Deck
from interpolated_kernels.testing.drawing.drawer import Drawer
from interpolated_kernels.testing.drawing.problem import BackendProblem, Trial
from interpolated_kernels.testing.drawing.taming import find_supported

__all__ = ["BackendProblem", "Deck", "Drawer", "Trial", "find_supported"]
