"""`semidepth publish` as a script, for launchers such as torchrun; see publishing/cli.py."""

from semidepth.publishing.cli import main

if __name__ == "__main__":
    main()
