"""Options of a command: one frozen dataclass gives its command line, its YAML files and the record of a run.

    @dataclass(frozen=True, kw_only=True)
    class ScoreOptions:
        model: tuple[str, ...] = option(help="Hub ids or folders")
        limit: int | None = option(None, help="images per source")

    options = parse_options(ScoreOptions, argv, prog="semidepth score", description=__doc__)
    save_options(options, Path("scores/score.yaml"))
    load_options(ScoreOptions, Path("scores/score.yaml"))

transformers' HfArgumentParser does nearly this, but it has no positional arguments, takes no tuple of several words (as
a frozen dataclass needs it), does not tell given values from defaults, checks no types in a YAML file, writes simpler
types into the dataclass's own fields (`int | None` becomes `int`), and takes seconds to import.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from semidepth.common.option_values import (
    BOOLEANS,
    Option,
    options_of,
    value_from_text,
    value_from_yaml,
    value_to_yaml,
)
from semidepth.common.redaction import refuse_secrets

OptionsT = TypeVar("OptionsT")
Values = Mapping[str, Any]


def option(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    positional: bool = False,
    metavar: str | None = None,
    name: str | None = None,
) -> Any:
    """A dataclass field that is an option of a command.

    Args:
        default: its value where it is not given; without a default the option is required.
        help: one line for --help.
        positional: given as plain words, without the option's name.
        metavar: name of the value in --help.
        name: of the option where it differs from the field's.
    """
    metadata = {"help": help, "positional": positional, "metavar": metavar, "name": name}
    return dataclasses.field(default=default, metadata=metadata)


def check_choices(options: Any) -> None:
    """Checks options that code gives, as the first line of `__post_init__`; lists become tuples.

    Raises:
        ValueError: if an option of a Literal type has none of its values.
    """
    for item in options_of(type(options)):
        value = getattr(options, item.field)
        if item.kind.many and isinstance(value, list):
            value = tuple(value)
            object.__setattr__(options, item.field, value)  # the dataclass is frozen, but not yet handed out
        for single in value if item.kind.many else [value]:
            if item.kind.choices and single not in item.kind.choices and not (item.kind.optional and single is None):
                raise ValueError(f"{item.flag} is {single!r}; choose {item.kind.expected()}.")


def default_values(cls: type) -> dict[str, Any]:
    """Returns the defaults of a command's options, without the required ones, by the options' names."""
    return {item.name: item.default for item in options_of(cls) if not item.required}


# The command line


def option_words(options: Any) -> list[str]:
    """Returns the words of a command line that gives these options; those that have their default are left out."""
    words: list[str] = []
    for item in sorted(options_of(type(options)), key=lambda item: not item.positional):
        value = getattr(options, item.field)
        if value == item.default:
            continue
        if isinstance(value, bool):
            words.append(item.flag if value else f"--no-{item.name}")
            continue
        given = value if isinstance(value, tuple) else [value]
        words += [*([] if item.positional else [item.flag]), *map(str, given)]
    return words


def parse_options(
    cls: type[OptionsT],
    argv: Sequence[str] | None = None,
    *,
    prog: str | None = None,
    description: str | None = None,
    preset: Values | Callable[[Values], Values] | None = None,
) -> OptionsT:
    """Reads the options of a command: defaults, preset, `--config`, command line; each overrides the ones before.

    Args:
        cls: the command's dataclass; its `__post_init__` raises ValueError for values that cannot work.
        argv: the command line without the program's name; None: the process's own.
        prog: the command's name in --help.
        description: text that --help begins with, such as the module's docstring.
        preset: other defaults, by option; or a function that gives them, called with the options that were given.

    Returns:
        The checked options.

    Raises:
        ValueError: in one sentence, for anything that is wrong; [`semidepth.common.console.run_command`] shows it.
        SystemExit: with status 0, after --help.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    options = options_of(cls)
    refuse_secrets(words)
    texts = vars(_parser(options, prog, description).parse_args(_spell_out_booleans(words, options)))
    config = texts.pop("config", None)
    given: dict[str, Any] = {}
    if config is not None:
        if not Path(config).is_file():
            raise ValueError(f"--config {config} is not a file; give the path of a YAML file.")
        given = read_options(Path(config), cls)
        refuse_secrets(list(value) if isinstance(value, tuple) else value for value in given.values())
    by_name = {item.name: item for item in options}
    given |= {name: value_from_text(by_name[name], text) for name, text in texts.items()}
    defaults = preset(given) if callable(preset) else preset or {}
    values = {**defaults, **given}
    missing = [item.flag for item in options if item.required and values.get(item.name, ()) in ((), [])]
    if missing:
        raise ValueError(f"{' and '.join(missing)} must be given; --help says what for.")
    return cls(**{by_name[name].field: value for name, value in values.items()})


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise ValueError(f"{message}; --help lists the options.")


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of a description; shows one spelling of each option, and --no-x beside a switch."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.dest == "help":
            return super()._format_action_invocation(action)
        name = action.option_strings[0]
        if isinstance(action.const, bool):
            return f"{name}, --no-{name[2:]}"
        return f"{name} {self._format_args(action, self._get_default_metavar_for_optional(action))}"


def _parser(options: Sequence[Option], prog: str | None, description: str | None) -> argparse.ArgumentParser:
    """An argparse parser that collects texts; defaults are left out, so that it tells what was given."""
    parser = _Parser(
        prog=prog, description=description, formatter_class=_HelpFormatter, allow_abbrev=False,
        argument_default=argparse.SUPPRESS, usage=_usage(options, prog),
    )  # fmt: skip
    for item in options:
        # A positional may also come from the YAML, so that it is never argparse that asks for it.
        many = ("*" if item.positional else "+") if item.kind.many else ("?" if item.positional else None)
        metavar = item.metavar or ("{" + ",".join(map(str, item.kind.choices)) + "}" if item.kind.choices else None)
        text = f"{item.help} {_default_text(item)}".strip().replace("%", "%%")
        if item.positional:
            parser.add_argument(item.name, nargs=many, metavar=metavar, help=text, default=argparse.SUPPRESS)
            continue
        spellings = list(dict.fromkeys((f"--{item.name}", f"--{item.name.replace('_', '-')}")))
        added = parser.add_argument(*spellings, dest=item.name, nargs=many, metavar=metavar, help=text)
        if item.kind.item is bool:
            added.const = True  # marks a switch for the help
    parser.add_argument("--config", metavar="FILE.yaml", help="YAML file with any of these options")
    return parser


def _usage(options: Sequence[Option], prog: str | None) -> str:
    words = [prog or "%(prog)s"]
    for item in options:
        dots = " ..." if item.kind.many else ""
        if item.positional:
            word = (item.metavar or item.name) + dots
            words.append(word if item.required else f"[{word}]")
        elif item.required:
            words.append(f"{item.flag} {item.metavar or item.name.upper()}{dots}")
    return " ".join([*words, "[options]"])


def _default_text(item: Option) -> str:
    if item.required:
        return "" if item.positional else "(required)"
    if item.default is None or item.default == ():
        return ""
    value = item.default
    if isinstance(value, bool):
        value = str(value).lower()
    return f"(default: {' '.join(map(str, value)) if isinstance(value, tuple) else value})"


def _spell_out_booleans(words: Sequence[str], options: Sequence[Option]) -> list[str]:
    """`--x`, `--x false` and `--no-x` as `--x=true` and `--x=false`; a word after `--x` that is neither stays."""
    names = {item.name.replace("-", "_") for item in options if item.kind.item is bool and not item.positional}
    spelled: list[str] = []
    place = 0
    while place < len(words):
        word, following = words[place], words[place + 1] if place + 1 < len(words) else ""
        place += 1
        if word == "--":
            return [*spelled, word, *words[place:]]
        name = word[2:].replace("-", "_") if word.startswith("--") else ""
        if name in names:
            taken = following.lower() in BOOLEANS
            spelled.append(f"--{name}={following if taken else 'true'}")
            place += taken
        elif name.startswith("no_") and name[3:] in names:
            spelled.append(f"--{name[3:]}=false")
        else:
            spelled.append(word)
    return spelled


# YAML files


def save_options(options: Any, path: Path) -> str:
    """Writes all options as YAML, which `--config` and [`load_options`] read back, and returns the text."""
    values = {item.name: value_to_yaml(getattr(options, item.field)) for item in options_of(type(options))}
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return text


def load_options(cls: type[OptionsT], path: Path, *, of_other_version: bool = False) -> OptionsT:
    """Reads what [`save_options`] wrote.

    Args:
        cls: dataclass of the command that wrote it.
        path: the file.
        of_other_version: leave out options that this version has not, and take the defaults of those that are missing.

    Raises:
        ValueError: if the file is no such record, or holds a value that cannot work.
    """
    values = read_options(path, cls, ignore_unknown=of_other_version)
    options = options_of(cls)
    missing = [item.name for item in options if item.name not in values and (item.required or not of_other_version)]
    if missing:
        raise ValueError(
            f"{path} lacks the options {', '.join(missing)}; it was written by another version or command."
        )
    fields = {item.name: item.field for item in options}
    return cls(**{fields[name]: value for name, value in values.items()})


def read_options(path: Path, cls: type | None = None, *, ignore_unknown: bool = False) -> dict[str, Any]:
    """Reads a YAML file of some options.

    Args:
        path: the file.
        cls: dataclass against which names and types are checked; None: everything is returned as it is.
        ignore_unknown: leave out names that the dataclass has not.

    Returns:
        Option names to values; those of a dataclass have its fields' types, lists become tuples.

    Raises:
        ValueError: if the file is missing, is no mapping, or holds an unknown option or a value of a wrong type.
    """
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid YAML ({' '.join(str(error).split())}); mend or remove it.") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror or error}); give the path of a YAML file.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds a {type(values).__name__}; expected `option: value` lines; mend or remove it.")
    if cls is None:
        return values
    known = {item.name: item for item in options_of(cls)}
    unknown = sorted(str(name) for name in values if name not in known)
    if unknown and not ignore_unknown:
        raise ValueError(f"{path} has unknown options {', '.join(unknown)}; known are {', '.join(known)}.")
    return {name: value_from_yaml(path, known[name], value) for name, value in values.items() if name in known}
