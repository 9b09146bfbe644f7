"""Export a model for other runtimes: ONNX, OpenVINO, torch.export, ExecuTorch; each file is checked against torch.

    semidepth export --to onnx openvino                             # the model that comes with semidepth, to exports/
    semidepth export outputs/demo/student --to onnx onnx-fp16 onnx-int8 --output files/
    semidepth export outputs/demo/metric --to onnx torch-export --photos my_photos/*.jpg

    onnx           model.onnx                  float32, any batch, height and width
    onnx-fp16      model_fp16.onnx             weights and arithmetic in float16, half the bytes
    onnx-int8      model_int8.onnx             products with weights in int8
    openvino       openvino_model.xml, .bin    float32; OpenVINO computes in another precision where it is asked to
    torch-export   model.pt2                   a program of torch.export
    executorch     model.pte                   for one image of one size; needs the package executorch

Before a file is kept it runs on held-out scenes of the built-in renderer and on photos (those that come with
semidepth's page, or --photos). A float32 file may differ from torch by 1e-3 of a map's range at any pixel. AbsRel on
the scenes may change by 0.2 % of torch's in float16 and by 2 % in int8, and a photo's map by as much of its range on
average. A file beyond that is not written. Size and speed are measured, with torch beside, and printed; the folder's
README.md has the table, and FILE.json all figures. docs/export.md says how files are used, also without torch.

Exit status: 0 all is written; 1 a file was refused, the others are written; 2 wrong usage.
"""

import json
import logging
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semidepth.common.commands import Command
from semidepth.common.files import check_new, whole_folder
from semidepth.common.locks import new_folder_held
from semidepth.common.option_checks import check_at_least
from semidepth.common.options import option
from semidepth.publishing.exports.names import TARGETS, Target

logger = logging.getLogger(__name__)

CARD = "README.md"


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Options of `semidepth export`."""

    model: str | None = option(
        None, positional=True, help="Hub id or folder of a model; default: the one that comes with semidepth"
    )
    to: tuple[Target, ...] = option(("onnx",), metavar="TARGET", help=f"any of {' '.join(TARGETS)}")
    output: Path = option(Path("exports"), metavar="FOLDER", help="new folder for the files")
    photos: tuple[Path, ...] = option((), metavar="FILE", help="photos to compare on; default: those of the page")
    scenes: int = option(12, help="held-out scenes of each domain to compare on")
    rounds: int = option(5, help="timed rounds of each file")
    opset: int = option(18, help="operator set of ONNX files, 18 to 23")

    def __post_init__(self) -> None:
        for name in ("scenes", "rounds"):
            check_at_least(self, name, 1)
        if not self.to:
            raise ValueError(f"--to names no target; give any of {', '.join(TARGETS)}.")
        missing = [str(photo) for photo in self.photos if not photo.is_file()]
        if missing:
            raise ValueError(f"--photos: there is no file {missing[0]}; name photos.")


def export(options: ExportOptions) -> dict[str, str]:
    """Exports a model.

    Returns:
        Target -> why its file was refused; empty where all are written.

    Raises:
        ValueError: a package is missing, the model has no export, or the folder is not empty.
    """
    check_new("output", options.output)
    with new_folder_held("output", options.output):
        return _export_held(options)


def _export_held(options: ExportOptions) -> dict[str, str]:
    """Exports where nobody else does; result and errors as [`export`]."""
    from semidepth.prediction.models import load_depth_model
    from semidepth.prediction.runtimes.onnx import check_export
    from semidepth.prediction.shipped.folder import default_name
    from semidepth.publishing.exports.making import check_target, make

    check_export(options.opset)
    for target in options.to:
        check_target(target)
    name = options.model or default_name()
    loaded = load_depth_model(name)
    with tempfile.TemporaryDirectory() as room:
        kept, refused, record = make(loaded, name, options, Path(room))
        if kept:
            with whole_folder(options.output) as partial:
                _fill(partial, kept, name, record)
            logger.info("%s holds %s", options.output, ", ".join(row["file"] for row in kept.values()))
    for which, why in refused.items():
        logger.error("%s is not written: %s", which, why)
    return refused


def _fill(folder: Path, kept: dict[Path, dict[str, Any]], name: str, record: dict[str, Any]) -> None:
    """Puts the accepted files, what they say of themselves and the card into a folder."""
    from semidepth.prediction.runtimes.choice import machine
    from semidepth.publishing.exports.card import card_of, table_of
    from semidepth.runtime.checks import digests

    rows = list(kept.values())
    for place, row in kept.items():
        own = [Path(shutil.move(path, folder / path.name)) for path in place.iterdir()]
        own = [path for path in own if path.suffix != ".json"]
        about = json.loads((folder / f"{row['file']}.json").read_text()) | {"measured": row, "sha256": digests(own)}
        (folder / f"{row['file']}.json").write_text(json.dumps(about, indent=1) + "\n")
    side = rows[0]["side"]
    (folder / CARD).write_text(card_of(Path(name).name, rows, record, machine(), side), encoding="utf-8")
    print(table_of(rows))


def run(options: ExportOptions) -> int:
    """Exports and returns the exit status."""
    return 1 if export(options) else 0


COMMAND = Command("semidepth export", ExportOptions, run, __doc__)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
