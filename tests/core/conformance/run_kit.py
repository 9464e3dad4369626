"""Hold a backend against the reference of whichever copy of the package is imported: see `main`."""

import sys
from pathlib import Path

import interpolated_kernels as ik
from interpolated_kernels.testing import check_backend

sys.path.insert(0, str(Path(__file__).parent))
import plain_backend


def make_engine(path):
    """This engine on a path, forward and backward."""

    def conv(x, weights, kernel, **options):
        return ik.conv(x, weights, kernel, path=path, **options)

    def conv_backward(grad_y, x, weights, kernel, *, wrt, **options):
        return ik.conv_backward(grad_y, x, weights, kernel, wrt=wrt, path=path, **options)

    return conv, conv_backward


def make_supports(path):
    """Whether a path serves a problem."""

    def supports(problem):
        try:
            ik.plan(problem.x_shape, problem.weights_shape, problem.kernel, path=path, **problem.conv_options)
        except ValueError:
            return False
        return True

    return supports


def main(name, quantity, n, arithmetic):
    """Run the plain backend ("witness"), or this engine on a path: forward, and backward for a gradient."""
    conv, conv_backward = (plain_backend.conv, plain_backend.conv_backward) if name == "witness" else make_engine(name)
    supports = (lambda problem: True) if name == "witness" else make_supports(name)
    backward = None if quantity == "y" else conv_backward
    check_backend(conv, backward, supports=supports, n=int(n), arithmetic=arithmetic)


if __name__ == "__main__":
    main(*sys.argv[1:])
