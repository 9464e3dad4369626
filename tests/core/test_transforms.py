"""Transforms of planes side by side, one a lane."""

import numpy as np
import pytest

from interpolated_kernels import loops
from interpolated_kernels.paths.fourier.planes import Reader, make_reader
from interpolated_kernels.paths.fourier.tiles import count_numbers

SHAPES = [(2, 4), (3, 6), (4, 8), (5, 10), (12, 20), (16, 18), (45, 60), (64, 4), (7 * 5 + 1, 50)]
"""Between them every radix comes first, last and in the middle of rows and of columns."""


def _whole(shape: tuple[int, int], dtype: str) -> Reader:
    return make_reader([np.arange(length)[None] for length in shape], shape, np.dtype(dtype))


def _transform(planes):
    shape, dtype = planes.shape[1:], planes.dtype
    work = loops.make_workspace(shape, dtype)
    tiles = np.zeros((len(planes), 2), np.int64)
    return _whole(shape, dtype.name).transform(planes, np.arange(len(planes)), tiles, work)


def _spectra(numbers, shape):
    """Return spectra as NumPy orders them."""
    parts = numbers.reshape(len(numbers), shape[1] // 2 + 1, 2, -1)[..., : shape[0]]
    return (parts[:, :, 0] + 1j * parts[:, :, 1]).transpose(0, 2, 1)


def _write_back(numbers, shape, factor):
    rows, columns = shape
    unit = np.zeros((columns // 2 + 1, 2, numbers.shape[1] // (columns // 2 + 1) // 2), numbers.dtype)
    unit[:, 0] = 1
    factors = np.array([1.0, factor])
    targets = loops.Targets(loops.describe_plane(shape), 1, 1, 1, rows, 1, 1, columns, factors)
    images = np.arange(len(numbers))
    places = np.stack(np.broadcast_arrays(images, 0, images * rows * columns, rows, columns), axis=-1)
    cells = np.empty((len(numbers), rows, columns), numbers.dtype)
    loops.transform_planes_back(
        loops.pack_tables(targets, numbers.dtype), places, numbers.ravel(), unit.ravel(),
        loops.make_workspace(shape, numbers.dtype), cells.reshape(-1),
    )  # fmt: skip
    return cells


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_spectra_are_twice_numpys_and_lead_back(shape, dtype):
    """Every radix, more planes than lanes: within a few roundings of the norm, and back to the cells."""
    planes = np.random.default_rng(0).standard_normal((19, *shape)).astype(dtype)
    numbers, sizes = _transform(planes)
    assert numbers.shape == (19, count_numbers(shape, dtype))
    expected = 2 * np.fft.rfft2(planes.astype(np.longdouble))
    unit = np.finfo(dtype).eps * np.log2(planes[0].size) * np.linalg.norm(planes.reshape(19, -1), axis=1).max()
    assert np.abs(_spectra(numbers, shape) - expected).max() <= 2 * unit
    np.testing.assert_allclose(sizes, np.abs(planes).sum(axis=(1, 2)), rtol=1e-5)
    back = _write_back(numbers, shape, 1 / (2 * planes[0].size))
    assert np.abs(back - planes).max() <= unit


def test_a_lane_knows_nothing_of_its_neighbours():
    """A plane has the same bits alone and beside others, NaN among them, and NaN shows in its own bound alone."""
    planes = np.random.default_rng(1).standard_normal((5, 12, 20)).astype(np.float32)
    alone = _transform(planes[2:3])[0]
    planes[3, 4, 5] = np.nan
    numbers, sizes = _transform(planes)
    np.testing.assert_array_equal(numbers[2], alone[0])
    np.testing.assert_array_equal(np.isnan(sizes), [False, False, False, True, False])
    assert np.isnan(_spectra(numbers, (12, 20))[3]).all()


def test_planes_show_what_their_tables_say():
    """Rows and columns in any order, zeros between and behind, are those of the plane that is written out."""
    rows = np.array([[2, -1, 0, 1, -1, -1], [-1, 1, 1, 2, -1, -1]])
    columns = np.array([[-1, 1, 2, 3, -1, -1], [3, 2, -1, 0, 0, 1]])
    image = np.random.default_rng(2).standard_normal((2, 3, 4))
    tiles = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
    reader = make_reader([rows, columns], image.shape[1:], image.dtype)
    which = np.array([0, 1, 1, 0])
    numbers, _ = reader.transform(image, which, tiles, loops.make_workspace((6, 6), image.dtype))
    padded = np.pad(image, ((0, 0), (0, 1), (0, 1)))  # an index of -1 reads a zero there
    written = np.stack([padded[i][np.ix_(rows[r], columns[c])] for i, (r, c) in zip(which, tiles, strict=True)])
    np.testing.assert_array_equal(numbers, _transform(written)[0])
