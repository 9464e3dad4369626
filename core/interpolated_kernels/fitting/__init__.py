"""Weights from data, or from a dense kernel, in the least squares.

An output of `conv` is linear in the weights: it is their product with the outputs that each weight alone, being 1,
would give. These are the *columns* of the least squares problem, one a (channel, anchor) pair, and with a last one of
ones for a constant they are Z, `(columns + 1, outputs)`. With sample weights d (1 where none are given, 0 where an
output is left out) everything that the least squares need are two sums over outputs, the normal equations:

    moments = Z diag(d) Z^T             right = Y diag(d) Z^T             Y: `(filters, outputs)`

    Z = [ columns ]    moments = [ G    s ]    G: `(columns, columns)`, the Gram matrix
        [ ones    ]              [ s^T  m ]    s: sums of the columns; m: sum of the sample weights

Products with all columns are what `conv_backward` gives: the weights' gradient for the other factor, taken as y's. So
columns are made once, as the other factor of G.

- `groups` says which filters share Z and d: those of one group of channels and one position set, which have the same
  outputs. It makes columns, products and predictions by plans of `conv` (`convolving`).
- `blocks` cuts outputs, and the cells of x that they see, into blocks that fit into memory.
- `samples` checks x and y, reads them block after block, and leaves out what is missing.
- `equations` adds up; and, once weights are found, the squares of what is left over, by a second walk: as a difference
  of sums they would lose half of their digits.
- `solution` solves. A constant b is free of the ridge, so it goes first: `b = (mean of y) - (mean of the columns) . w`
  leaves `G - s s^T / m` for the weights w. A total, `c . w = t` with c the sums of the interpolation matrix' columns,
  leaves `w = c t / (c . c) + N u` with N an orthonormal basis of what is orthogonal to c, and the same problem in u.
- `data` (`fit`) and `dense` (`from_dense`) are the public functions, `result` what they return.

In one dimension: anchors 0 and 2 in a window of 3 (linear) and x = 1 2 0 4. The first anchor's column is
`1 * x[o] + 1/2 * x[o + 1]` = 2 2, the second's `1/2 * x[o + 1] + 1 * x[o + 2]` = 1 4. So G = [[8, 10], [10, 17]],
s = 4 5, m = 2; and y = 3 6 has right = 18 27 9; its weights are 1 and 1.
"""

from __future__ import annotations

from interpolated_kernels.fitting.data import fit
from interpolated_kernels.fitting.dense import from_dense
from interpolated_kernels.fitting.result import Fit

__all__ = ["Fit", "fit", "from_dense"]
