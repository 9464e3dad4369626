"""`python -m interpolated_kernels` is the command `interpolated-kernels`."""

import sys

from interpolated_kernels.cli import main

if __name__ == "__main__":
    sys.exit(main())
