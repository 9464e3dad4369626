"""The oracle kit: the reference, its error bounds, and an assertion that explains itself.

`strategies` is a submodule of its own, since it alone needs hypothesis.
"""

from interpolated_kernels.testing.bounds import ErrorBound, error_bound
from interpolated_kernels.testing.comparison import assert_matches_reference
from interpolated_kernels.testing.oracle import absolute, reference, reference_backward

__all__ = [
    "ErrorBound",
    "absolute",
    "assert_matches_reference",
    "error_bound",
    "reference",
    "reference_backward",
]
