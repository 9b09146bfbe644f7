"""Predict depth for images and videos: 16-bit PNG, float .npy, colours, point clouds and meshes.

    semidepth predict photo.jpg holiday/ 'more/*.png' --model outputs/demo/student --output depth/
    semidepth predict photo.jpg --model depth-anything/Depth-Anything-V2-Small-hf --output depth/ --device cpu
    semidepth predict photo.jpg --model outputs/demo/metric --output depth/ --fov_deg 60 --format npy ply glb
    semidepth predict clip.mp4 --model outputs/demo/student --output depth/ --side_by_side

(`python training/predict.py` is the same.) For `photo.jpg` it writes, as --format says (png16 npy color by default)

    npy     photo_depth.npy    float32 (H, W) of the image as it is seen (EXIF turned): inverse depth without a unit,
                               larger is nearer, for a relative model; metres, larger is farther, for a metric one
    png16   photo_depth.png    16 bits: inverse depth scaled to 0..65535 in this image, or millimetres (to 65.535 m)
    color   photo_color.png    near is bright; --legend says what the colours mean
    ply     photo_points.ply   coloured points in metres, x right, y up, the camera at the origin looking along -z, so
                               it opens right way up; of metric models, with --fov_deg or --focal_px, which without
                               --format ask for it
    glb     photo_mesh.glb     the same as a mesh with the image on it, cut where depth jumps by more than --max_jump

and for `clip.mp4` clip_color.mp4: colours in one range over the whole clip, with the clip's times and its sound.
Without color among the formats, folders are not searched for clips.

Of folders, images (jpg jpeg jpe jfif png webp avif jp2 bmp tif tiff gif ppm, not heic) and videos are taken, also from
folders that are links, and nothing that is hidden. Transparent pictures are put on white.

Results of a folder's files have their path in it. Where several inputs would have one name, all of them keep their
suffix (x.jpg_depth.png beside x.png_depth.png), then their folder, whatever their order; but results that are there
from an earlier run keep their names.

Each result appears under its name only when it is whole, and OUTPUT/predictions.jsonl says what it was made from, by
which model and with which options; the inputs' paths are in it, so leave it out where you share the results. The same
command goes on where it was stopped: what it has made is kept, also after the photos were moved or copied. A file that
is there and was made from another picture, by another model, with other options, or by who knows whom, is neither kept
for a result nor replaced: the input is listed at the end. --overwrite replaces whatever is there. Files that are
results of earlier predictions are not predicted themselves.

Exit status: 0 all is well; 1 some inputs were not there or could not be read, or their results not be made or written,
which are listed at the end and did not stop the others; 2 wrong usage or no input at all, nothing was predicted, and
there is a sentence on stderr alone; 130 stopped by Ctrl-C. --json prints its object with the results so far and what
"stopped" the run also where one was.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from itertools import islice
from logging import LogRecord
from pathlib import Path
from typing import Any

from semidepth.common.files import check_writable
from semidepth.media.color_maps import COLOR_MAPS, DEFAULT_COLOR_MAP
from semidepth.prediction.inputs import find_inputs
from semidepth.prediction.options import DEFAULT_FORMATS, FORMATS, Camera, PredictionOptions
from semidepth.prediction.report import Failure, Report, Result

TOLD = 20  # failures that are printed; the rest is counted


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", help="images, videos, folders or globs")
    parser.add_argument("--model", required=True, help="Hub id or folder of any depth-estimation model")
    parser.add_argument("--output", required=True, type=Path, help="folder for the results")
    parser.add_argument(
        "--format", nargs="+", dest="formats", metavar="FORMAT", help=f"of {' '.join(FORMATS)}, or with commas"
    )
    parser.add_argument("--kind", choices=("disparity", "depth"), help="what the model predicts, if it is not known")
    parser.add_argument("--device", help="default: cuda where there is one, else cpu")
    parser.add_argument("--domain", help="domain of all images, for a routed model; default: its router chooses")
    parser.add_argument("--focal_px", type=float, help="focal length in pixels, for points and meshes")
    parser.add_argument("--fov_deg", type=float, help="or the horizontal field of view in degrees")
    parser.add_argument("--far_m", type=float, help="points and meshes end at this distance; default: nowhere")
    parser.add_argument("--max_jump", type=float, help="meshes are cut where depth jumps by this factor; default: 1.05")
    parser.add_argument("--color_map", choices=COLOR_MAPS, default=DEFAULT_COLOR_MAP, help="cividis: colour-blind safe")
    parser.add_argument("--legend", action="store_true", help="a bar with numbers below coloured pictures")
    parser.add_argument("--side_by_side", action="store_true", help="videos show the source beside its depth")
    parser.add_argument("--batch_size", type=int, default=4, help="images of one size in a forward pass")
    parser.add_argument("--threads", type=int, default=2, help="that decode, and as many that write")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")
    return parser


def to_options(given: argparse.Namespace) -> PredictionOptions:
    """Checked options; a known camera alone asks for points, too. Raises ValueError."""
    camera = Camera(given.focal_px, given.fov_deg)
    formats = [name for text in given.formats or [] for name in text.split(",") if name]
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or (given.formats and not formats):
        raise ValueError(f"--format is {' '.join(unknown or given.formats)!r}; choose of {', '.join(FORMATS)}.")
    formats = formats or [*DEFAULT_FORMATS, *(["ply"] if camera.option else [])]
    return PredictionOptions(
        formats=tuple(dict.fromkeys(formats)),
        overwrite=given.overwrite,
        camera=camera,
        domain=given.domain,
        color_map=given.color_map,
        legend=given.legend,
        side_by_side=given.side_by_side,
        batch_size=given.batch_size,
        threads=given.threads,
        far_m=given.far_m,
        max_jump=given.max_jump,
    )


def to_json(report: Report, model: str, output: Path) -> dict[str, Any]:
    """What `--json` prints."""

    def entry(result: Result) -> dict[str, Any]:
        return {"input": str(result.input), "files": [str(path) for path in result.files]}

    return {
        "model": model,
        "unit": report.unit,
        "output": str(output),
        "results": [entry(result) | {"domain": result.domain, "note": result.note} for result in report.results],
        "kept": [entry(result) for result in report.kept],
        "broken": [
            {
                "input": str(file),
                "what": failure.what,
                "reason": failure.reason,
                "files": [str(path) for path in failure.files],
            }
            for file, failure in report.broken.items()
        ],
        "stopped": report.stopped,
    }


def tell(report: Report, output: Path) -> None:
    """What is printed for people."""
    meaning = "metres" if report.unit == "m" else "inverse depth, larger is nearer"
    print(f"{len(report.results)} of {report.inputs} inputs predicted into {output} ({meaning})")
    partly = sum(bool(failure.files) for failure in report.broken.values())
    if partly:
        print(f"of {partly} more some results were made, not all")
    if report.kept:
        print(f"{len(report.kept)} had results there already, which were kept; --overwrite replaces them")
    for result in report.results:
        if result.note:
            print(f"{result.input}: {result.note}")


def complain(report: Report) -> None:
    """What goes to standard error: inputs without results, and why."""
    for file, failure in islice(report.broken.items(), TOLD):
        named = failure.reason if failure.reason.startswith(str(file)) else f"{file}: {failure.reason}"
        print(f"{failure.what}: {named}", file=sys.stderr)
    if len(report.broken) > TOLD:
        print(f"and {len(report.broken) - TOLD} more; --json lists them all", file=sys.stderr)
    if report.stopped:
        rest = report.inputs - len(report.results) - len(report.kept) - len(report.broken)
        print(
            f"stopped: {report.stopped}; {rest} inputs lack results, which the same command goes on to make",
            file=sys.stderr,
        )


def without_colors(record: LogRecord) -> bool:
    """Takes what only terminals understand out of a log line; transformers' report on weights has some."""
    record.msg = re.sub(r"\x1b\[[0-9;]*m", "", str(record.msg))
    return True


def run(given: argparse.Namespace, report: Report) -> None:
    """Predicts, filling the report. Raises ValueError for wrong usage."""
    options = to_options(given)
    missing: dict[Path, str] = {}
    files = find_inputs(given.inputs, videos="color" in options.formats, missing=missing)
    report.broken.update({path: Failure("not read", reason) for path, reason in missing.items()})
    check_writable(given.output)
    # Only now what takes seconds to import: --help and a slip of the pen are answered at once.
    import torch
    from transformers.utils import logging

    from semidepth.common.console import set_up_logging
    from semidepth.prediction.files import predict_files
    from semidepth.prediction.models import load_depth_model

    set_up_logging()
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
        for handler in logging.get_logger("transformers").handlers:
            handler.addFilter(without_colors)
    device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    model = load_depth_model(given.model, device=device, kind=given.kind)
    try:
        predict_files(model, files, given.output, options, report)
    except torch.OutOfMemoryError:
        report.stopped = f"{device} has too little memory for batches of {options.batch_size}, see --batch_size"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the top of the file. Returns the exit status."""
    parser = build_parser()
    given = parser.parse_args(argv)
    report = Report()
    status = 0
    try:
        run(given, report)
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")
    except KeyboardInterrupt:
        report.stopped, status = "by Ctrl-C", 130
    if given.json:
        print(json.dumps(to_json(report, given.model, given.output), indent=2))
    elif not status:
        tell(report, given.output)
    if status:
        done = f"{len(report.results)} of {report.inputs} inputs predicted, {len(report.kept)} kept"
        print(
            f"stopped: {done if report.inputs else 'nothing was predicted'}; the same command goes on", file=sys.stderr
        )
        return status
    complain(report)
    return 1 if report.broken or report.stopped else 0


if __name__ == "__main__":
    sys.exit(main())
