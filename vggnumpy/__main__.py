"""``python -m vggnumpy``."""

import sys

from vggnumpy.cli import main

if __name__ == "__main__":
    sys.exit(main())
