"""Options of `semidepth convert-checkpoint`. Light to import."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from semidepth.common.option_checks import check_positive
from semidepth.common.options import check_choices, option

Version = Literal["v1", "v2"]


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Options of the conversion."""

    file: Path = option(help="weights of the original repository: .pth, .pt, .bin or .safetensors", positional=True)
    output: Path = option(help="new or empty folder for the converted model", positional=True)
    version: Version | None = option(
        None, help="of Depth Anything; default: as the file's name says (depth_anything_vits14, depth_anything_v2_vits)"
    )
    max_depth_m: float | None = option(
        None,
        help="largest depth in metres that the model was trained for. Depth Anything: default by the file's name, 20 "
        "(hypersim) or 80 (vkitti), else the model predicts inverse depth. ZoeDepth with bounded bins (ZoeD_K): "
        "default 80",
    )

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        check_choices(self)
        check_positive(self, "max_depth_m")
        if not self.file.is_file():
            raise ValueError(f"{self.file} is not a file; give the file with the weights.")
        if self.output.exists() and (not self.output.is_dir() or any(self.output.iterdir())):
            raise ValueError(f"{self.output} exists and is not an empty folder; give a new one.")
