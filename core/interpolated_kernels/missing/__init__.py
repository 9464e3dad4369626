"""Missing cells: every output is a sum over the cells that are there, brought to the weight of the whole kernel.

With m = 1 where x is there and 0 where it is NaN or lies within a padding of zeros, and K a filter's dense kernel,

    y = N * (s / D),    N = conv(x m, K),    D = conv(m, K),    s = the sum of K over all its channels.

So y is a weighted mean of what the window shows, times s: without holes it is `conv`. Where no cell that is there meets
a positive cell of K there is nothing to weigh, and y is NaN. A kernel must not have negative cells, which could make D
vanish beside cells that are there.

An example in one dimension, K = (1, 2, 1), s = 4:

    x      1   2   NaN  4   5        x m    1   2   0   4   5
    N        5    8    13            m      1   1   0   1   1
    D        3    2    3             y    5 * 4/3   8 * 4/2   13 * 4/3

How it is computed
------------------
N and D are one convolution of a batch of two, x m and m, by a path that knows nothing of it. That goes in bands: some
outputs along the first spatial axis, with the cells that these see, so that what is made in between stays in a cache.

    x  --split-->  (x m, m)  --plan of a band-->  (N, D)  --settle-->  --divide-->  y

A denominator that rounding errors could have made, or hidden, is settled: its window is summed anew in float64, and the
cells that meet a positive one of K are counted. `Filters` knows how small that is. Few outputs are: none where neither
the interpolation matrix nor the weights have negative entries, but for those whose window shows next to nothing.

Backward, with the gradient g by y, where y is not NaN (elsewhere g does not count):

    by N:  g s / D        by D:  -g s N / D^2        by s:  g N / D

Those by N and D come back through the band's plan, to x m (0 at holes) and to K; that by s is added to every cell of K.

`definition` has the same in plain NumPy: the reference. `filters` checks kernels, `bands` cuts and predicts, `sums`
computes a band, `plan` puts it together.
"""

from interpolated_kernels.missing.bands import predict_renormalized
from interpolated_kernels.missing.plan import RenormalizedPlan

__all__ = ["RenormalizedPlan", "predict_renormalized"]
