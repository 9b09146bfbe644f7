"""`python -m semidepth`: the command `semidepth`."""

import sys

from semidepth.cli import main

if __name__ == "__main__":
    sys.exit(main())
