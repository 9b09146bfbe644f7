"""The rooms of the house: what each may import, how big each may grow, no circles, no links.

The table of rooms in CONTRIBUTING.md says what is allowed; these tests read it.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BESIDE = ("tests", "benchmarks")  # not compared in size: they are not what is installed
MOST_FILES = 16  # Python files in one folder
MOST_SHARE = 0.20  # of all lines, in one room


@dataclass(frozen=True)
class Arrow:
    """One import of ours: `at_load` says that it runs when the file is imported, not later in a function."""

    line: int
    module: str
    at_load: bool


def read_table(text: str) -> dict[str, set[str]]:
    """Rooms that each room may import, from the Markdown table `| room | … | may import |`."""
    table = text[text.index("| room |") :].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()[2:]]
    return {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[-1])) for row in cells}


ALLOWED = read_table((ROOT / "CONTRIBUTING.md").read_text())


def python_files(rooms: Iterable[str] = ALLOWED) -> list[Path]:
    """Every Python file of some rooms."""
    return [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]


def module_of(path: Path) -> str:
    """The full name of a file's module; a room is `semidepth.<room>`, and `package` is `semidepth` itself."""
    parts = [part for part in path.relative_to(ROOT).with_suffix("").parts if part != "__init__"]
    return ".".join(["semidepth", *(parts[1:] if parts[0] == "package" else parts)])


def room_of(module: str) -> str:
    """The room of one of our modules."""
    return next((part for part in module.split(".")[1:2] if part in ALLOWED), "package")


MODULES = {module_of(path): path for path in python_files()}


def arrows(path: Path, source: str) -> Iterator[Arrow]:
    """The imports of ours in a file, wherever they stand."""
    todo: list[tuple[ast.AST, bool]] = [(ast.parse(source), True)]
    while todo:
        node, at_load = todo.pop()
        for name in _names(node, path):
            yield Arrow(node.lineno, name, at_load)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        todo += [(child, at_load and not inside and not checking) for child in ast.iter_child_nodes(node)]


def _names(node: ast.AST, path: Path) -> list[str]:
    """The modules of ours that an import statement names: `from a import b` names `a.b` if that is one, else `a`."""
    if isinstance(node, ast.Import):
        found = [_full_name(alias.name, path) for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        start = module_of(path.parents[node.level - 1]) if node.level else ""
        base = _full_name(".".join(filter(None, (start, node.module))), path)
        parts = [f"{base}.{alias.name}" for alias in node.names]
        found = [part if part in MODULES or room_of(part) != room_of(base) else base for part in parts]
    else:
        return []
    return [name for name in found if name.partition(".")[0] == "semidepth"]


def _full_name(name: str, path: Path) -> str:
    """A name as it is imported; of a file in the same folder, its full name: the Space and the tests import so."""
    beside = path.with_name(f"{name.partition('.')[0]}.py")
    return module_of(beside) if beside.is_file() and not name.startswith("semidepth") else name


def wrong_arrows(path: Path, source: str) -> Iterator[str]:
    """One sentence for each import that the table does not allow."""
    file = path.relative_to(ROOT)
    room = file.parts[0]
    allowed = ", ".join(sorted(ALLOWED[room])) or "nothing of ours"
    for arrow in arrows(path, source):
        if room_of(arrow.module) not in {room, *ALLOWED[room]}:
            yield f"{file}:{arrow.line} imports {arrow.module}; {room} may import {allowed} (table in CONTRIBUTING.md)."


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """The names of one circle, its first name again at the end; empty if there is none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        circles = (walk(other, [*way, name]) for other in sorted(graph.get(name, ())) if other not in done)
        circle = next(filter(None, circles), [])
        done.add(name)
        return circle

    return next((circle for name in sorted(graph) if (circle := walk(name, []))), [])


def refuse(sentences: Iterable[str]) -> None:
    """Fails with these sentences, if there are any."""
    wrong = list(sentences)
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def test_rooms_import_what_the_table_allows():
    refuse(sentence for path in python_files() for sentence in wrong_arrows(path, path.read_text()))


@pytest.mark.parametrize(
    "line", ["import semidepth.training.demo", "from semidepth import training", "from semidepth.training import demo"]
)
def test_a_wrong_import_is_told_in_one_sentence(line):
    (sentence,) = wrong_arrows(ROOT / "media" / "new.py", f"def f():\n    {line}\n")
    assert sentence.startswith("media/new.py:2 imports semidepth.training")
    assert "media may import common (" in sentence


def test_the_table_runs_down_only():
    assert find_circle(ALLOWED) == []
    assert {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()} <= set(ALLOWED)


def test_no_modules_of_a_room_load_each_other():
    for room in ALLOWED:
        graph = {
            module_of(path): {arrow.module for arrow in arrows(path, path.read_text()) if arrow.at_load}
            - {module_of(path)}
            for path in python_files([room])
        }
        circle = find_circle({name: others & set(graph) for name, others in graph.items()})
        refuse(
            [f"{' -> '.join(circle)} is a circle of imports; move what both need into a file of its own."]
            * bool(circle)
        )


def test_a_circle_is_found():
    assert find_circle({"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"b"}}) == ["b", "d", "b"]
    assert find_circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_room_is_a_house_of_its_own():
    lines = {
        room: sum(len(path.read_text().splitlines()) for path in python_files([room]))
        for room in ALLOWED
        if room not in BESIDE
    }
    total = sum(lines.values())
    refuse(
        f"{room} holds {count / total:.1%} of all code; the most is {MOST_SHARE:.0%}: move a part to another."
        for room, count in lines.items()
        if count > MOST_SHARE * total
    )


def test_no_folder_is_a_drawer():
    folders = Counter(path.parent.relative_to(ROOT) for path in python_files())
    refuse(
        f"{folder} has {count} Python files; the most is {MOST_FILES}: make a folder of those that belong together."
        for folder, count in folders.items()
        if count > MOST_FILES
    )


def test_no_links_under_spaces():
    refuse(
        f"{path.relative_to(ROOT)} is a link; import what it points to."
        for path in (ROOT / "spaces").rglob("*")
        if path.is_symlink()
    )


def test_no_two_test_files_have_one_name():
    """Pytest imports them by name alone: of two, it refuses the second when both are run together."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
