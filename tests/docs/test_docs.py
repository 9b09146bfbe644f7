"""README, docs and the other pages: their links, files, modules and options exist, and their Python snippets run."""

import contextlib
import importlib
import io
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from benchmark_programs import load_program
from PIL import Image
from shipped_model import save_mask_model, save_runs, ship, take

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("", "docs", "spaces", "spaces/depth_demo", "spaces/depth_metrics", "benchmarks", "model_cards")
PAGES = {str(path.relative_to(ROOT)): path.read_text() for name in FOLDERS for path in (ROOT / name).glob("*.md")}
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
# Templates, filled by publishing.cards.
TEMPLATES = {f"model_cards/{name}.md" for name in ("student", "routed", "masks", "four_m", "parts")}
# Command -> module whose `main` takes its options.
MODULES = {
    "semidepth predict": "semidepth.prediction.cli",
    "semidepth score": "semidepth.evaluation.cli",
    "semidepth publish": "semidepth.publishing.cli",
    "semidepth export": "semidepth.publishing.exports.cli",
    "semidepth info": "semidepth.publishing.info",
    "semidepth convert-checkpoint": "semidepth.prediction.originals.cli",
    "training/score.py": "semidepth.evaluation.cli",
    "training/demo.py": "semidepth.training.demo",
    **dict.fromkeys(("semidepth pseudo-label", "training/pseudo_label.py"), "semidepth.training.pseudo_label"),
}
for _name in ("teacher", "student", "metric", "masks"):
    MODULES |= dict.fromkeys((f"semidepth train {_name}", f"training/{_name}.py"), f"semidepth.training.{_name}")
MODULES |= {
    "semidepth train tokenizers": "semidepth.training.modality_tokenizers",
    "semidepth train four-m": "semidepth.training.four_m",
}
# It needs an exported model, and has a test of its own in tests/prediction.
NOT_RUN = {"docs/export.md"}

pages = pytest.mark.parametrize("page", sorted(PAGES.keys() - TEMPLATES))


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", PAGES[page])
    for link in ("".join(pair) for pair in links):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), f"{page} links to {link}"
        assert not anchor or anchor in anchors(target.read_text()), f"{page} links to {link}"


@pages
def test_files_and_modules_exist(page):
    folders = "|".join({*ROOMS, "docs", "spaces", "benchmarks", "tests"})
    files = re.findall(rf"(?<![\w/.*{{]) ?((?:{folders})/[\w/]*(?:\.(?:py|ya?ml|md|svg)\b|(?<=/)(?=`)))", PAGES[page])
    missing = [name for name in files if not (ROOT / name).exists() and "NAME" not in name]
    assert not missing, f"{page} names {missing}"
    for name in re.findall(rf"\bsemidepth\.((?:{'|'.join(ROOMS)})(?:\.\w+)*)", PAGES[page]):
        assert is_importable(f"semidepth.{name}"), f"{page} names semidepth.{name}"


def is_importable(name: str) -> bool:
    """Whether a dotted name is a module or something in one."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            found = importlib.import_module(".".join(parts[:cut]))
            for part in parts[cut:]:
                found = getattr(found, part, None)
            return found is not None
    return False


@cache
def known_options(command: str) -> set[str]:
    """The options in a command's --help."""
    output = io.StringIO()
    if command == "semidepth demo":  # starts as a program of its own
        app = [sys.executable, ROOT / "spaces" / "depth_demo" / "app.py", "--help"]
        output.write(subprocess.run(app, capture_output=True, text=True, check=True).stdout)
    elif command.startswith("benchmarks/"):
        with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
            load_program(Path(command).stem).main(["--help"])
    else:
        with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
            importlib.import_module(MODULES[command]).main(["--help"])
    return set(re.findall(r"--[a-z]\w*", output.getvalue()))


@pages
def test_options_exist(page):
    starts = r"semidepth (?:train [\w-]+|[\w-]+)|(?:benchmarks|training)/\w+\.py"
    blocks = re.findall(r"^```\n(.*?)^```", PAGES[page], re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").split("\n")]
    for line in [*lines, *re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", PAGES[page])]:
        found = re.search(rf"(?:^|\s)({starts})\s(.*)", line, re.DOTALL)
        if not found or (found[1] not in MODULES and not found[1].startswith(("semidepth demo", "benchmarks/"))):
            continue
        own = found[2].split(" -- ")[-1]  # before a lone -- are those of accelerate
        unknown = set(re.findall(r"(?<=\s)--[a-z]\w*", f" {own}")) - known_options(found[1])
        assert not unknown, f"{page}: {found[1]} has no {unknown}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with tiny models in the place of the demo's and of the shipped one, and photos."""
    folder = tmp_path_factory.mktemp("docs")
    student, metric = save_runs(folder / "outputs" / "demo")
    masks = save_mask_model(student, folder / "outputs" / "masks")
    ship(student, folder / "shipped", "--heads", str(metric), "--masks", str(masks))
    for name in ("photo.jpg", "other.jpg"):
        pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "evaluation").symlink_to(ROOT / "evaluation")
    return folder


@pytest.mark.parametrize("page", sorted(name for name in PAGES.keys() - TEMPLATES if "```python" in PAGES[name]))
def test_snippets_run(page, folder, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL)
    code = "\n".join(blocks)
    for hub, here in (
        ("depth-anything/Depth-Anything-V2-Small-hf", "outputs/demo/student"),
        ("org/name", "outputs/demo/student"),
        ('"outputs/metric"', '"outputs/demo/metric"'),
        (', revision="main"', ""),
    ):
        code = code.replace(hub, here)
    compiled = compile(code, page, "exec")
    if page not in NOT_RUN:
        monkeypatch.chdir(folder)
        take(monkeypatch, folder / "shipped")
        exec(compiled, {})
