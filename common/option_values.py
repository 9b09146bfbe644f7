"""One option: its name, its type, and its value as a word of the command line or in a YAML file."""

import dataclasses
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

BOOLEANS = {
    **dict.fromkeys(("true", "yes", "t", "y", "1"), True),
    **dict.fromkeys(("false", "no", "f", "n", "0"), False),
}
_EXPECTED = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}


@dataclasses.dataclass(frozen=True)
class ValueType:
    """Type of an option's value: an item type, `many` for a tuple, `optional` where None is allowed."""

    item: type
    choices: tuple[Any, ...] = ()
    many: bool = False
    optional: bool = False

    def expected(self) -> str:
        """Words for messages: the values that are allowed."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        return _EXPECTED[self.item]


def _value_type(annotation: Any) -> ValueType:
    """Reads a field's type; raises TypeError for one that no command line can express."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType) and len(inner) == 2 and types.NoneType in inner:
        return dataclasses.replace(
            _value_type(next(kind for kind in inner if kind is not types.NoneType)), optional=True
        )
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return dataclasses.replace(_value_type(inner[0]), many=True)
    if origin is Literal:
        return ValueType(type(inner[0]), inner)
    if annotation not in _EXPECTED:
        raise TypeError(f"an option cannot have the type {annotation}; see semidepth.common.options")
    return ValueType(annotation)


@dataclasses.dataclass(frozen=True)
class Option:
    """One option: a field of a command's dataclass, with the name that it has on the command line and in YAML files."""

    field: str
    name: str
    kind: ValueType
    help: str
    positional: bool
    metavar: str | None
    default: Any

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING

    @property
    def flag(self) -> str:
        """The option as it is typed and named in messages."""
        return self.name if self.positional else f"--{self.name}"


def options_of(cls: type) -> list[Option]:
    """The options of a dataclass, in its order; raises TypeError for a type that no command line can express."""
    hints = get_type_hints(cls)
    return [
        Option(
            field=item.name,
            name=item.metadata.get("name") or item.name,
            kind=_value_type(hints[item.name]),
            help=item.metadata.get("help", ""),
            positional=item.metadata.get("positional", False),
            metavar=item.metadata.get("metavar"),
            default=item.default,
        )
        for item in dataclasses.fields(cls)
        if item.init
    ]


def value_from_text(item: Option, text: str | Sequence[str]) -> Any:
    """An option's value from the command line; raises ValueError naming it."""
    if item.kind.many:
        return tuple(_word_value(item, word) for word in text)
    assert isinstance(text, str)
    return _word_value(item, text)


def _word_value(item: Option, text: str) -> Any:
    kind = item.kind
    try:
        value = BOOLEANS[text.lower()] if kind.item is bool else kind.item(text)
    except (ValueError, KeyError):
        raise ValueError(f"{item.flag} is {text!r}; expected {kind.expected()}.") from None
    if kind.choices and value not in kind.choices:
        raise ValueError(f"{item.flag} is {text!r}; choose {kind.expected()}.")
    return value


def value_from_yaml(path: Path, item: Option, value: Any) -> Any:
    """A YAML value in the field's type; raises ValueError naming the file and the option."""
    kind = item.kind
    if value is None and kind.optional:
        return None
    values = value if kind.many and isinstance(value, list) else [value]
    items = [_yaml_item(kind, entry) for entry in values]
    if dataclasses.MISSING in items or kind.many != isinstance(value, list):
        expected = f"a list, each {kind.expected()}" if kind.many else kind.expected()
        raise ValueError(f"{path}: {item.name} is {value!r}; expected {expected}{' or none' if kind.optional else ''}.")
    return tuple(items) if kind.many else items[0]


def _yaml_item(kind: ValueType, value: Any) -> Any:
    """A single value in its type; `MISSING` where it has another one."""
    if kind.item is float and type(value) is int:
        value = float(value)
    if kind.item is float and isinstance(value, str):  # YAML reads 1e-4 as text
        try:
            value = float(value)
        except ValueError:
            return dataclasses.MISSING
    if kind.item is Path and isinstance(value, str):
        value = Path(value)
    right = isinstance(value, Path) if kind.item is Path else type(value) is kind.item
    return value if right and (not kind.choices or value in kind.choices) else dataclasses.MISSING


def value_to_yaml(value: Any) -> Any:
    """An option's value as YAML has it: tuples become lists, paths become text."""
    if isinstance(value, tuple):
        return [value_to_yaml(item) for item in value]
    return str(value) if isinstance(value, Path) else value
