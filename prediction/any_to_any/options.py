"""Options of `semidepth convert`. Light to import."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from semidepth.common.option_checks import check_at_least, check_share
from semidepth.common.options import check_choices, option

Target = Literal["depth", "normals", "semantics", "caption", "rgb"]
# What can be asked for, and the modality of the model that it is.
TARGETS = {
    "depth": "tok_depth",
    "normals": "tok_normal",
    "semantics": "tok_semantic",
    "caption": "caption",
    "rgb": "tok_rgb",
}
# Ends of the names of results.
ENDS = {
    "depth": ("_depth.png", "_depth.npy", "_color.png"),
    "normals": ("_normals.png",),
    "semantics": ("_semantics.png",),
    "caption": ("_caption.txt",),
    "rgb": ("_rgb.png",),
}


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Options of `semidepth convert`."""

    inputs: tuple[str, ...] = option((), positional=True, metavar="PHOTO", help="photos, folders or globs")
    from_: str | None = option(
        None, name="from", metavar="DEPTH", help="a depth map, as sources have them: depth.png?depth_scale=0.001"
    )
    from_normals: Path | None = option(None, metavar="FILE", help="normals, as this command writes them")
    from_semantics: Path | None = option(None, metavar="FILE", help="classes, as this command writes them")
    caption: str | None = option(None, metavar="TEXT", help="a sentence about the picture")
    to: tuple[Target, ...] = option(metavar="MODALITY", help=f"what to make: any of {' '.join(TARGETS)}")
    model: str = option(help="folder of a model that `semidepth train four-m` saved")
    output: Path = option(Path("converted"), metavar="FOLDER", help="folder for the results")
    steps: int = option(1, help="steps of each map; 1 predicts all of it at once")
    chain: bool = option(False, help="each of --to sees those before it, not only what is given")
    temperature: float = option(0.0, help="0: the likeliest; above: drawn, as --seed says")
    top_p: float = option(0.0, help="draw among the likeliest tokens of this probability in all; 0: among all")
    guidance: float = option(1.0, help="above 1: further from what the model says without any input")
    seed: int = option(0, help="of what is drawn")
    overwrite: bool = option(False, help="replace results that are there")
    device: str | None = option(None, help="default: cuda where there is one, else cpu")
    json: bool = option(False, help="print one JSON object and nothing else on stdout")

    def __post_init__(self) -> None:
        """Checks every value; raises ValueError with one sentence that names the option."""
        check_choices(self)
        if not self.to:
            raise ValueError(f"--to is empty; name any of {', '.join(TARGETS)}.")
        if not self.inputs and not self.beside():
            raise ValueError(
                "nothing to start from; give photos, --from, --from_normals, --from_semantics or --caption."
            )
        for name in self.to:
            other = {"normals": self.from_normals, "semantics": self.from_semantics, "caption": self.caption}.get(name)
            if other is not None:
                raise ValueError(f"--to names {name}, which is given; leave one of the two out.")
        check_at_least(self, "steps", 1)
        check_share(self, "top_p", least=0)
        if not self.temperature >= 0:
            raise ValueError(f"--temperature is {self.temperature}; give 0 or more.")

    def beside(self) -> dict[str, Any]:
        """Returns what is given but photos, by option."""
        names = {"--from": self.from_, "--from_normals": self.from_normals}
        names |= {"--from_semantics": self.from_semantics, "--caption": self.caption}
        return {name: str(value) for name, value in names.items() if value is not None}

    def that_matter(self) -> dict[str, Any]:
        """Returns the options that change results, as JSON has them."""
        sampled = {"temperature": self.temperature, "top_p": self.top_p, "seed": self.seed} if self.temperature else {}
        made = {"steps": self.steps, "guidance": self.guidance, "chain": list(self.to) if self.chain else None}
        return json.loads(json.dumps(made | sampled | self.beside()))
