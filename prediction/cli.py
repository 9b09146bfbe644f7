"""Predict depth for images and videos: 16-bit PNG, float .npy, colours, point clouds and meshes.

    semidepth predict photo.jpg               # with the model that comes with semidepth, into depth/
    semidepth predict photo.jpg holiday/ 'more/*.png' --model outputs/demo/student --output depth/
    semidepth predict photo.jpg --model depth-anything/Depth-Anything-V2-Small-hf --output depth/ --device cpu
    semidepth predict photo.jpg --model outputs/demo/metric --output depth/ --fov_deg 60 --format npy ply glb
    semidepth predict clip.mp4 --model outputs/demo/student --output depth/ --side_by_side

--runtime takes another library than torch on a CPU: onnx (onnxruntime), openvino, or auto, the fastest of those that
are installed. The model is exported at first use, which takes half a minute, and kept in the user's cache folder.

Without --model: semidepth-small (inverse depth), which comes with semidepth; --metres takes semidepth-small-metric, the
same with metric heads. Metres come with the mean error that their model's folder records.

(`python training/predict.py` is the same.) Results of `photo.jpg`, as --format says (default: png16 npy color):

    npy     photo_depth.npy    float32 (H, W), as large as the image is seen (EXIF turned): inverse depth without a
                               unit, larger is nearer, of a relative model; metres, larger is farther, of a metric one
    png16   photo_depth.png    16 bits: inverse depth scaled to 0..65535 in each image, or millimetres (to 65.535 m)
    color   photo_color.png    near is bright; --legend adds what the colours mean
    ply     photo_points.ply   coloured points in metres, x right, y up, camera at the origin looking along -z. Needs a
                               metric model and a camera: that of the photo's EXIF data (35 mm focal length), or
                               --fov_deg or --focal_px, which add ply to the default formats
    glb     photo_mesh.glb     the same as a textured mesh, cut where depth jumps by more than --max_jump

and of `clip.mp4` clip_color.mp4: one range of colours for the whole clip, with its times and its sound. Without color
among the formats, folders are not searched for clips.

Inputs: images (jpg jpeg jpe jfif png webp avif jp2 bmp tif tiff gif ppm; heic with pillow-heif) and videos; of folders
all of them, also below linked folders, but nothing hidden and no depth maps (photo_depth.png, depth/). Transparent
pictures are put on white.

Names: results of a folder's files keep their path in it. Where several inputs would share a name, all of them keep
their suffix (x.jpg_depth.png beside x.png_depth.png), then their folder; existing results keep their names.

Resuming: run the same command again. Each result appears under its name only when it is whole, and
OUTPUT/predictions.jsonl records its input, model and options; it holds the inputs' paths, so leave it out where you
share the results. Finished results are kept, also after the photos were moved or copied. A file that was made from
another picture, by another model, with other options, or is of unknown origin, is never overwritten: the input is
skipped and listed at the end. --overwrite replaces existing results. A second run into the same folder is refused while
the first one runs. Files that are results of earlier predictions are
no inputs.

Exit status: 0 all is well; 1 some inputs could not be found, read, predicted or written, which are listed at the end
and did not stop the others; 2 wrong usage or no input at all, with one sentence on stderr; 130 stopped by Ctrl-C.
--json prints its object also where the run was stopped, with the results so far and the reason under "stopped".
"""

import json
import re
import sys
from itertools import islice
from logging import LogRecord
from pathlib import Path
from typing import Any

from semidepth.common.commands import Command
from semidepth.common.files import check_writable
from semidepth.common.locks import folder_held
from semidepth.prediction.inputs import find_inputs
from semidepth.prediction.options import PredictOptions
from semidepth.prediction.report import Failure, Report, Result
from semidepth.prediction.shipped.errors import in_words, typical_errors
from semidepth.prediction.shipped.folder import find_model

TOLD = 20  # failures that are printed; the rest is counted


def to_json(report: Report, model: str, output: Path) -> dict[str, Any]:
    """The object that `--json` prints."""

    def entry(result: Result) -> dict[str, Any]:
        return {"input": str(result.input), "files": [str(path) for path in result.files]}

    return {
        "model": model,
        "unit": report.unit,
        "abs_rel": report.abs_rel,
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
    """Prints a summary for people."""
    used = {result.domain for result in report.results}
    errors = {domain: error for domain, error in report.abs_rel.items() if domain in used or not used - {None}}
    meaning = "metres" if report.unit == "m" else "inverse depth, larger is nearer"
    meaning += f", {in_words(errors)}" if errors else ""
    count = len(report.kept)
    if count and count == report.inputs:  # nobody is told of "0 predicted" where all is there
        print(f"{count} already there in {output} ({meaning}); --overwrite predicts them again")
        return
    print(f"{len(report.results)} of {report.inputs} inputs predicted into {output} ({meaning})")
    partly = sum(bool(failure.files) for failure in report.broken.values())
    if partly:
        print(f"{partly} more have some of their results, not all")
    if count:
        print(f"{count} already there; --overwrite predicts them again")
    for result in report.results:
        if result.note:
            print(f"{result.input}: {result.note}")


def complain(report: Report) -> None:
    """Prints inputs without results, and why, on standard error."""
    for file, failure in islice(report.broken.items(), TOLD):
        named = failure.reason if failure.reason.startswith(str(file)) else f"{file}: {failure.reason}"
        print(f"{failure.what}: {named}", file=sys.stderr)
    if len(report.broken) > TOLD:
        print(f"and {len(report.broken) - TOLD} more; --json lists them all", file=sys.stderr)
    if report.stopped:
        rest = report.inputs - len(report.results) - len(report.kept) - len(report.broken)
        print(
            f"stopped: {report.stopped}; {rest} inputs lack results; run the same command again to resume",
            file=sys.stderr,
        )


def without_colors(record: LogRecord) -> bool:
    """Removes terminal colours from a log line; transformers' report on weights has some."""
    record.msg = re.sub(r"\x1b\[[0-9;]*m", "", str(record.msg))
    return True


def predict(options: PredictOptions, report: Report) -> None:
    """Predicts all inputs and fills the report on the way; raises ValueError for wrong usage."""
    missing: dict[Path, str] = {}
    files = find_inputs(options.inputs, videos="color" in options.formats, missing=missing)
    report.broken.update({path: Failure("not read", reason) for path, reason in missing.items()})
    check_writable(options.output)
    with folder_held("output", options.output):
        _predict_held(options, files, report)


def _predict_held(options: PredictOptions, files: list[tuple[Path, Path]], report: Report) -> None:
    """Loads the model and predicts the files that were found."""
    # Only now what takes seconds to import: --help and slips are answered at once.
    import torch
    from transformers.utils import logging

    from semidepth.prediction.files import predict_files
    from semidepth.prediction.models import load_depth_model

    if not sys.stderr.isatty():
        logging.disable_progress_bar()
        for handler in logging.get_logger("transformers").handlers:
            handler.addFilter(without_colors)
    name = options.model_name
    folder = find_model(name)
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    model = load_depth_model(
        name, device=device, kind=options.kind, trust_remote_code=options.trust_remote_code, runtime=options.runtime
    )
    report.abs_rel = typical_errors(folder) if model.kind == "depth" else {}
    try:
        predict_files(model, files, options.output, options, report)
    except torch.OutOfMemoryError:
        report.stopped = f"{device} has too little memory for batches of {options.batch_size}, see --batch_size"


def run(options: PredictOptions) -> int:
    """Predicts and prints the results; returns 0, or 1 where inputs lack results."""
    report = Report()
    try:
        predict(options, report)
    except KeyboardInterrupt:
        report.stopped = "by Ctrl-C"
        if options.json:
            print(json.dumps(to_json(report, options.model_name, options.output), indent=2))
        done = f"{len(report.results)} of {report.inputs} inputs predicted, {len(report.kept)} kept"
        done = done if report.inputs else "nothing was predicted"
        raise KeyboardInterrupt(f"{done}; run the same command again to resume") from None
    if options.json:
        print(json.dumps(to_json(report, options.model_name, options.output), indent=2))
    else:
        tell(report, options.output)
    complain(report)
    return 1 if report.broken or report.stopped else 0


COMMAND = Command("semidepth predict", PredictOptions, run, __doc__)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
