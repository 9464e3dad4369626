"""The oracle kit: the reference, its error bounds, an assertion that explains itself, and a check of other backends.

`strategies` is a submodule of its own, since it alone needs hypothesis.
"""

from interpolated_kernels.testing.bounds import ErrorBound, error_bound
from interpolated_kernels.testing.comparison import assert_matches_reference
from interpolated_kernels.testing.conformance import check_backend
from interpolated_kernels.testing.oracle import absolute, reference, reference_backward, reference_transpose

__all__ = [
    "ErrorBound",
    "absolute",
    "assert_matches_reference",
    "check_backend",
    "error_bound",
    "reference",
    "reference_backward",
    "reference_transpose",
]
