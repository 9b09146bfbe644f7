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
    glb     photo_mesh.glb     the same as a mesh with the image on it, cut where depth jumps by more than 5 %

and for `clip.mp4` clip_color.mp4: colours in one range over the whole clip, with the clip's times and its sound.

Files that are there already are kept, unless --overwrite is given; each appears under its name only when it is whole.

Exit status: 0 all is well; 1 some inputs could not be read, which are listed at the end and did not stop the others;
2 wrong usage, nothing was predicted.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semidepth.training.engine.color_maps import COLOR_MAPS, DEFAULT_COLOR_MAP
from semidepth.training.engine.prediction_inputs import (
    DEFAULT_FORMATS,
    FORMATS,
    Camera,
    PredictionOptions,
    find_inputs,
)

if TYPE_CHECKING:
    from semidepth.training.engine.prediction import Unit
    from semidepth.training.engine.prediction_files import Report


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", help="images, videos, folders or globs")
    parser.add_argument("--model", required=True, help="Hub id or folder of any depth-estimation model")
    parser.add_argument("--output", required=True, type=Path, help="folder for the results")
    parser.add_argument(
        "--format", nargs="+", choices=FORMATS, dest="formats", metavar="FORMAT", help=f"of {', '.join(FORMATS)}"
    )
    parser.add_argument("--kind", choices=("disparity", "depth"), help="what the model predicts, if it is not known")
    parser.add_argument("--device", help="default: cuda where there is one, else cpu")
    parser.add_argument("--domain", help="domain of all images, for a routed model; default: its router chooses")
    parser.add_argument("--focal_px", type=float, help="focal length in pixels, for points and meshes")
    parser.add_argument("--fov_deg", type=float, help="or the horizontal field of view in degrees")
    parser.add_argument("--far_m", type=float, help="points and meshes end at this distance; default: nowhere")
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
    formats = given.formats or (*DEFAULT_FORMATS, *(["ply"] if camera.known else []))
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
    )


def to_json(report: "Report", unit: "Unit", model: str, output: Path) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "model": model,
        "unit": unit,
        "output": str(output),
        "results": [
            {
                "input": str(result.input),
                "files": [str(path) for path in result.files],
                "domain": result.domain,
                "note": result.note,
            }
            for result in report.results
        ],
        "kept": [str(file) for file in report.kept],
        "broken": [{"input": str(file), "reason": reason} for file, reason in report.broken.items()],
    }


def tell(report: "Report", unit: "Unit", output: Path) -> None:
    """What is printed for people."""
    total = len(report.results) + len(report.kept) + len(report.broken)
    meaning = "metres" if unit == "m" else "inverse depth, larger is nearer"
    print(f"{len(report.results)} of {total} inputs predicted into {output} ({meaning})")
    if report.kept:
        print(f"{len(report.kept)} had results there already, which were kept; --overwrite replaces them")
    for result in report.results:
        if result.note:
            print(f"{result.input}: {result.note}")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the top of the file. Returns the exit status."""
    parser = build_parser()
    given = parser.parse_args(argv)
    try:
        options = to_options(given)
        files = find_inputs(given.inputs)
        # Only now what takes seconds to import: --help and a slip of the pen are answered at once.
        import torch

        from semidepth.training.engine.arguments import check_folder
        from semidepth.training.engine.depth_models import load_depth_model
        from semidepth.training.engine.prediction_files import predict_files
        from semidepth.training.engine.tracking import set_up_logging

        set_up_logging()
        check_folder("output", given.output)
        device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
        model = load_depth_model(given.model, device=device, kind=given.kind)
        report = predict_files(model, files, given.output, options)
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")
    unit: Unit = "m" if model.kind == "depth" else "inverse depth"
    if given.json:
        print(json.dumps(to_json(report, unit, given.model, given.output), indent=2))
    else:
        tell(report, unit, given.output)
    for file, reason in report.broken.items():
        print(f"not read: {file}: {reason}", file=sys.stderr)
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
