"""Measure in a real browser how soon the page of `semidepth demo` is painted, and how soon a photo has its depth.

    python benchmarks/page_speed.py
    python benchmarks/page_speed.py --photo holiday.jpg --megapixels 24 --rounds 5

Starts the page with the model that comes with semidepth, on this machine, and drives Chromium, which has to be
installed. Each round opens the page with an empty cache and hands in a photo that the page has not seen before, made
of --photo by changing a few pixels. Prints the median with the fastest and the slowest round: first contentful paint as
the browser reports it; until the depth that the page starts with is drawn; from handing the photo in until its depth is
drawn. The last line is for machines. Nothing else should run meanwhile.
"""

import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from playwright.sync_api import sync_playwright

from semidepth.common.commands import Command
from semidepth.common.option_checks import check_at_least
from semidepth.common.options import option

EXAMPLE = Path(__file__).resolve().parents[1] / "spaces" / "depth_demo" / "examples" / "classroom.jpg"
SETTLED_MS = 1000.0  # from the first result until the photo is handed in
START_S = 120.0  # at most, until the page answers
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
DRAWN = "() => { const i = document.querySelector('#depth img'); return i && i.complete && i.naturalWidth > 0; }"
ANSWERED = f"([name, old]) => {{ const i = document.querySelector('#depth img'); const drawn = {DRAWN}; \
return drawn() && i.src !== old && document.querySelector('#found').innerText.includes(name); }}"


@dataclass(frozen=True, kw_only=True)
class PageSpeedOptions:
    """Options of this program."""

    photo: Path = option(EXAMPLE, help="what is handed in, resized")
    megapixels: float = option(12.0, help="of the photo that is handed in")
    rounds: int = option(3, help="timed, after one to warm up")
    width: int = option(1280, help="of the browser's window, pixels")
    height: int = option(800, help="of the browser's window, pixels")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        for name in ("rounds", "width", "height"):
            check_at_least(self, name, 1)
        if not 0.01 <= self.megapixels <= 60:
            raise ValueError(f"--megapixels is {self.megapixels:g}; give a number between 0.01 and 60.")
        if not self.photo.is_file():
            raise ValueError(f"--photo is {str(self.photo)!r}, which is no file; give the path of a photo.")


def write_photos(options: PageSpeedOptions, folder: Path) -> list[Path]:
    """Writes a photo for each round as JPEG, each with a few other pixels; returns their paths."""
    with Image.open(options.photo) as opened:
        picture = opened.convert("RGB")
    scale = (options.megapixels * 1e6 / (picture.width * picture.height)) ** 0.5
    pixels = np.asarray(picture.resize((round(picture.width * scale), round(picture.height * scale)))).copy()
    paths = []
    for number in range(options.rounds + 1):
        pixels[:8, :8] = number
        paths.append(folder / f"round_{number}.jpg")
        Image.fromarray(pixels).save(paths[-1], quality=92)
    return paths


def wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Waits until the page can be connected to.

    Raises:
        ValueError: it ended, or did not come up in time.
    """
    began = time.monotonic()
    while time.monotonic() - began < START_S and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise ValueError(f"the page did not start: {log.read_text(encoding='utf-8', errors='replace')[-500:]}")


def visit(browser: Any, address: str, photo: Path, options: PageSpeedOptions) -> tuple[float, float, float]:
    """Seconds of one visit: first contentful paint, first result drawn, photo to depth."""
    context = browser.new_context(viewport={"width": options.width, "height": options.height})
    page = context.new_page()
    began = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_function(DRAWN)
    shown = time.perf_counter() - began
    paint = page.evaluate(PAINT) / 1000
    page.wait_for_load_state("load")
    page.wait_for_timeout(SETTLED_MS)
    before = page.get_attribute("#depth img", "src")
    began = time.perf_counter()
    page.set_input_files("#line input[type=file]", photo)
    page.wait_for_function(ANSWERED, arg=[photo.name, before])
    answered = time.perf_counter() - began
    context.close()
    return paint, shown, answered


def run(options: PageSpeedOptions) -> None:
    """Starts the page, visits it, and prints one line for each figure and the result."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise ValueError("Chromium is missing, which this program drives; apt-get install -y chromium.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        folder, log = Path(name), Path(name) / "page.log"
        photos = write_photos(options, folder)
        words = ["-m", "semidepth", "demo", "--host", "127.0.0.1", "--port", str(port), "--outputs", str(folder)]
        with log.open("wb") as written:
            process = subprocess.Popen([sys.executable, *words], stdout=written, stderr=subprocess.STDOUT)
        try:
            wait_for(process, port, log)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                seen = [visit(browser, f"http://127.0.0.1:{port}/", photo, options) for photo in photos][1:]
                browser.close()
        finally:
            process.terminate()
            process.wait()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, photo of {options.megapixels:g} megapixels")
    columns = dict(zip(("first_paint_s", "first_result_s", "photo_to_depth_s"), zip(*seen, strict=True), strict=True))
    for title, values in columns.items():
        print(f"{title:16} {statistics.median(values):6.2f} ({min(values):.2f} to {max(values):.2f})")
    told = " ".join(f"{title}={statistics.median(values):.2f}" for title, values in columns.items())
    print(f"RESULT page_speed {told} megapixels={options.megapixels:g} rounds={options.rounds}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line at the top of the file and returns its exit status."""
    return Command("python benchmarks/page_speed.py", PageSpeedOptions, run, __doc__).main(argv)


if __name__ == "__main__":
    sys.exit(main())
