"""`semidepth publish` as a script, for launchers such as torchrun; see publishing/cli.py."""

import sys

from semidepth.publishing.cli import main

if __name__ == "__main__":
    sys.exit(main())
