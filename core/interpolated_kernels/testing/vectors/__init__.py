"""Golden cases as files: problems, what their results have to be, and how far each entry may be from that.

A program in any language reads them, without Python beside, and writes its results there; `check` holds these to the
bounds. A folder of vectors (docs/vectors.md has every word of it):

    manifest.json                  format, version and the names of the cases
    float32-000/case.json          kernel, options, shapes, and a list of the files beside
    float32-000/x.f32              raw little-endian numbers in C order; also weights, grad_y, matrix, dense, taps
    float32-000/y.f64              what y has to be
    float32-000/y.bound.f64        how far every entry of it may be from that
    float32-000/y.result.f32       what another program has computed: the only file that is not exported

    selection   which problems: drawn until every feature has come often enough (`testing.drawing`)
    expected    what a result has to be, by the reference, and its bounds
    files       arrays and documents on disk
    exporting   a folder from problems
    checking    results against a folder, counted by feature as `check_backend` does
"""

from interpolated_kernels.testing.vectors.checking import VectorReport, WrongResult, check_vectors
from interpolated_kernels.testing.vectors.exporting import export_vectors
from interpolated_kernels.testing.vectors.files import VectorsError

__all__ = ["VectorReport", "VectorsError", "WrongResult", "check_vectors", "export_vectors"]
