"""`python -m codecbench.bench` is the command `bench`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
