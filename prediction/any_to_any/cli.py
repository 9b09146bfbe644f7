"""Make depth, normals, classes and a sentence of photos, or any of them of any other, with a 4M model.

    semidepth convert photo.jpg --to depth normals semantics caption --model outputs/four_m --output out/
    semidepth convert --from 'depth.png?depth_scale=0.001' --to normals semantics caption --model outputs/four_m
    semidepth convert photo.jpg --from 'lidar.png?depth_scale=0.001' --to depth --model outputs/four_m
    semidepth convert --caption 'a room with two chairs' --to depth semantics --model outputs/four_m

A depth map that is given with unknown pixels (0, NaN) and named by --to is completed: known pixels stay. Results of
photo.jpg, or of the first file that is given, at its size:

    depth      photo_depth.npy      float32 (H, W) metres, larger is farther, inf sky
               photo_depth.png      16 bits: millimetres (to 65.535 m), 0 for sky
               photo_color.png      near is bright
    normals    photo_normals.png    x right, y up, z towards the camera, from -1..1 to 0..255
    semantics  photo_semantics.png  the number of a class per pixel, with colours; names are in the model's card
    caption    photo_caption.txt    a sentence
    rgb        photo_rgb.png        structure and colours, no photo

What is in a model is in its config.json. Names, resuming and what is never overwritten are as in `semidepth predict`;
so is the exit status. A sentence alone gives caption_depth.png and so on.
"""

import json
import sys
from pathlib import Path

from semidepth.common.commands import Command
from semidepth.common.files import check_writable
from semidepth.common.locks import folder_held
from semidepth.prediction.any_to_any.options import ConvertOptions
from semidepth.prediction.cli import complain
from semidepth.prediction.inputs import find_inputs
from semidepth.prediction.report import Failure, Report


def convert(options: ConvertOptions, report: Report) -> None:
    """Converts all photos, or what is given without any, and fills the report; raises ValueError for wrong usage."""
    missing: dict[Path, str] = {}
    files = find_inputs(options.inputs, videos=False, missing=missing) if options.inputs else []
    report.broken.update({path: Failure("not read", reason) for path, reason in missing.items()})
    fixed = [name for name in options.beside() if name != "--caption"]
    if len(files) > 1 and fixed:
        raise ValueError(f"{fixed[0]} is of one picture and there are {len(files)} photos; give one.")
    check_writable(options.output)
    with folder_held("output", options.output):
        from semidepth.prediction.any_to_any.writing import convert_files  # only now what takes seconds to import

        convert_files(options, files, report)


def run(options: ConvertOptions) -> int:
    """Converts and prints the results; returns 0, or 1 where inputs lack results."""
    report = Report()
    convert(options, report)
    made = {str(each.input): [str(path) for path in each.files] for each in report.results}
    kept = {str(each.input): [str(path) for path in each.files] for each in report.kept}
    if options.json:
        broken = {str(file): failure.reason for file, failure in report.broken.items()}
        document = {"model": options.model, "output": str(options.output), "results": made, "kept": kept}
        print(json.dumps(document | {"broken": broken, "stopped": report.stopped}, indent=2))
    else:
        for paths in made.values():
            print("\n".join(paths))
        if kept:
            print(f"{len(kept)} already there in {options.output}; --overwrite makes them again")
        for each in report.results:
            if each.note:
                print(f"{each.input}: {each.note}")
    complain(report)
    return 1 if report.broken or report.stopped else 0


COMMAND = Command("semidepth convert", ConvertOptions, run, __doc__)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
