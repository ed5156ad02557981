"""python -m facemorph: the command line, as `facemorph` after pip install."""

import sys

from facemorph.cli import main

if __name__ == "__main__":
    sys.exit(main())
