"""The tables of CUDA's loops, which serve the direct and the lattice path alike.

On a GPU both paths are the same four steps, and the axes of `paths/axes` tell them apart: for the direct path every
cell of the window is a node on an unsmoothed map, for the lattice path every anchor on the map of its class.

1. `lines`: a sparse matrix an axis takes x to all maps along it, padding, phases of strides and smoothing at once.
2. `passes`: every node is a tap on its map. `x -> maps -> y` is a sum of taps for each filter.
3. The gradient by the kernels is a product of y's gradient with the same maps, tap by tap.
4. The gradient by x gathers taps of y's gradient into the maps, and goes back through the transposed matrices.

An example in one dimension: x has 4 cells and one zero of padding before, the window 3 cells, the anchors stand on its
ends, `linear`, so that their profiles are `1 1/2` and `1/2 1`, two classes with one map each::

    x              x0 x1 x2 x3                           padded: 0 x0 x1 x2 x3
    matrix         row of map 0, line q:  padded[q] + padded[q + 1] / 2
                   row of map 1, line q:  padded[q + 1] / 2 + padded[q + 2]
    maps           | map 0: lines 0 1 2 | map 1: lines 0 1 2 |          six values, one axis
    taps           w[0] at offset 0, w[1] at offset 3:  y[o] = w[0] maps[o] + w[1] maps[o + 3]
"""
