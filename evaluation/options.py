"""Options of the score command, checked before any model or data is looked at."""

import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from semidepth.common.files import check_folder
from semidepth.common.option_checks import check_at_least, check_share
from semidepth.common.options import default_values, option, option_words
from semidepth.evaluation.benchmarks import BENCHMARKS
from semidepth.evaluation.depth_metrics.protocols import PROTOCOLS, Align, Space, find_protocol
from semidepth.prediction.checkpoints import Kind
from semidepth.prediction.options import RUNTIME_HELP, Runtime

ModeChoice = Literal["auto", "relative", "metric", "both"]


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """Options of `semidepth score`.

    Raises:
        ValueError: one sentence naming the option, the value and what was expected.
    """

    model: tuple[str, ...] = option(help="Hub ids or folders", metavar="MODEL")
    data: tuple[str, ...] = option((), help="labeled sources", metavar="SOURCE")
    benchmark: tuple[str, ...] = option((), help=f"benchmark sets on disk: {', '.join(BENCHMARKS)}", metavar="NAME")
    root: tuple[str, ...] = option((), help="folder of the benchmark; NAME=FOLDER for several", metavar="FOLDER")
    limit: int | None = option(None, help="score only the first N images of each set", metavar="N")
    mode: ModeChoice = option("auto", help="see above")
    protocol: tuple[str, ...] = option((), help=f"crop and range of metres: {', '.join(PROTOCOLS)}", metavar="NAME")
    max_depth_m: float | None = option(
        None, help="depth cap in metres; default: the benchmark's, else each image's largest label", metavar="METRES"
    )
    align: Align = option("least_squares", help="alignment of relative predictions")
    space: tuple[Space, ...] = option(("depth", "disparity"), help="compare relative predictions in")
    flip: bool = option(True, help="average metres with the prediction of the mirrored image")
    kind: Kind | None = option(None, help="kind of the models' predictions, where it is not known")
    trust_remote_code: bool = option(False, help="run code that the models bring along; read it first")
    masks: bool = option(False, help="score mask models by clicks, beside simple baselines")
    clicks: int = option(20, help="with --masks: most clicks on an object", metavar="N")
    min_area: float = option(0.0005, help="with --masks: least share of its image that an object has", metavar="SHARE")
    zoom: bool = option(True, help="with --masks: models look at a crop round each small answer again, larger")
    tuned_on: tuple[str, ...] = option(
        ("scenes:indoor", "scenes:outdoor"), help="with --masks: sources for the baselines' settings", metavar="SOURCE"
    )
    tuned_images: int = option(24, help="with --masks: images of each of these sources", metavar="N")
    four_m: bool = option(False, help="score 4M models: every modality from every other, and completion of depth")
    floors_from: tuple[str, ...] = option(
        ("scenes:indoor?start=300000", "scenes:outdoor?start=300000"),
        help="with --four_m: sources of the typical maps that predictions are compared with", metavar="SOURCE",
    )  # fmt: skip
    floor_images: int = option(100, help="with --four_m: images of each of these sources", metavar="N")
    known_pixels: tuple[float, ...] = option(
        (500.0, 2000.0, 0.05), help="with --four_m: pixels known in completion, below 1 a share", metavar="N"
    )
    metric_model: str = option(
        "semidepth-small-metric", help="with --four_m: model scaled to the known pixels beside it; none for none"
    )
    only_completion: bool = option(False, help="with --four_m: leave out all but completion")
    batch_size: int = option(8, help="images of one size per forward pass", metavar="N")
    device: str | None = option(None, help="such as cpu or cuda:1; default: cuda where there is one, else cpu")
    runtime: Runtime = option("torch", help=RUNTIME_HELP)
    output: Path | None = option(
        None, help="folder for results, tables and pictures; run the same command again to resume", metavar="FOLDER"
    )
    overwrite: bool = option(False, help="replace the results of another run in --output")

    def __post_init__(self) -> None:
        if not self.data and not self.benchmark:
            raise ValueError("there is nothing to score on; give --data SOURCE or --benchmark NAME --root FOLDER.")
        for name in ("batch_size", "clicks", "tuned_images", "floor_images"):
            check_at_least(self, name, 1)
        check_share(self, "min_area", least=0)
        self._check_own("masks", ("clicks", "min_area", "zoom", "tuned_on", "tuned_images"))
        own = ("floors_from", "floor_images", "known_pixels", "metric_model", "only_completion")
        self._check_own("four_m", own)
        if self.masks and self.four_m:
            raise ValueError("--masks and --four_m score models of two kinds; give one of the two.")
        if any(not pixels > 0 for pixels in self.known_pixels):
            raise ValueError(f"--known_pixels is {self.known_pixels}; give numbers of pixels, or shares above 0.")
        check_at_least(self, "limit", 1)
        if self.max_depth_m is not None and not 1e-3 < self.max_depth_m < math.inf:
            raise ValueError(f"--max_depth_m is {self.max_depth_m}; give a number of metres, more than 0.001.")
        if len(self.protocol) > 1:
            raise ValueError(
                f"--protocol names {' and '.join(self.protocol)}; give one for all data, or leave it out: each "
                "benchmark brings its own."
            )
        for name in self.protocol:
            find_protocol(name)
        if self.protocol and self.mode == "relative":
            raise ValueError("--protocol is for scores in metres and --mode is relative; give one of the two.")
        if self.overwrite and self.output is None:
            raise ValueError("--overwrite replaces results in --output, which is missing; give that folder.")
        if self.output is not None:
            _check_output(self.output)

    def _check_own(self, switch: str, own: tuple[str, ...]) -> None:
        """Raises ValueError where a switch meets an option of depth, or one of its own options comes without it."""
        depth: tuple[str, ...] = ("benchmark", "mode", "protocol", "max_depth_m", "align", "space", "flip", "kind")
        depth += ("batch_size", "runtime")
        defaults = default_values(type(self))
        on = getattr(self, switch)
        for name in depth if on else own:
            if getattr(self, name) != defaults[name]:
                what = (
                    f"not used with --{switch}; leave out"
                    if on
                    else f"used with --{switch} alone; add it, or leave out"
                )
                raise ValueError(f"--{name} is {what} --{name}.")

    @property
    def command(self) -> str:
        """Command line that gives these options; options with their default value are left out."""
        return shlex.join(["semidepth", "score", *option_words(self)])


def _check_output(folder: Path) -> None:
    """Raises ValueError where --output cannot be a folder of scores."""
    if folder.suffix.lower() == ".json":
        raise ValueError(f"--output {folder} is a folder now; name one, which gets a results.json.")
    try:
        check_folder("output", folder)
        is_model = (folder / "config.json").exists()
    except OSError as error:
        raise ValueError(f"--output {folder} cannot be used ({error}); give another folder.") from error
    if is_model:
        raise ValueError(f"--output {folder} is a model's folder; give {folder / 'scores'}.")
