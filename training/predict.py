"""`semidepth predict` as a script, for launchers such as torchrun; see prediction/cli.py."""

import sys

from semidepth.prediction.cli import main

if __name__ == "__main__":
    sys.exit(main())
