"""The exceptions and warnings that are this package's own."""


class AnchorError(ValueError):
    """Anchors that the chosen interpolator cannot serve: duplicates, NaN, off the grid, or too ill-conditioned."""


class AnchorWarning(UserWarning):
    """Anchors that are served, but not as their owner may expect: collinear ones have no slope across their line."""
