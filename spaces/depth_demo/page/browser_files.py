"""Scripts and styles in `browser/`, which run in the visitor's browser."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "browser"


def browser_file(name: str) -> str:
    """Returns the text of a file in `browser/`."""
    return (FOLDER / name).read_text(encoding="utf-8")
