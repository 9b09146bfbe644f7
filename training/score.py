"""`semidepth score` as a script, for launchers such as torchrun; see evaluation/cli.py."""

import sys

from semidepth.evaluation.cli import main

if __name__ == "__main__":
    sys.exit(main())
