"""A command: its name, the dataclass of its options, the function that carries it out, and how it ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

from semidepth.common.console import run_command, set_up_logging
from semidepth.common.options import OptionsT, Values, parse_options


@dataclass(frozen=True)
class Command(Generic[OptionsT]):
    """A command with one dataclass of options.

    Args:
        name: as it is typed, such as "semidepth score".
        options: its dataclass.
        run: does the work; an int that it returns is the exit status, all else counts as 0. It imports what takes
            seconds, so that --help and mistakes are answered at once.
        help: text that --help begins with; the module's docstring.
        preset: see [`parse_options`].
    """

    name: str
    options: type[OptionsT]
    run: Callable[[OptionsT], object]
    help: str | None
    preset: Values | Callable[[Values], Values] | None = None

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Parses a command line, runs the command and returns its exit status; see [`run_command`]."""
        set_up_logging()
        return run_command(
            lambda: self.run(
                parse_options(self.options, argv, prog=self.name, description=self.help, preset=self.preset)
            )
        )
