"""``python -m skmlp``: what it runs on, kernels ahead of time, caches, a benchmark."""

import sys

from skmlp.command_line import main

if __name__ == "__main__":
    sys.exit(main())
