"""Cut a thing out of a photo: point at it, or draw a box round it.

    semidepth segment photo.jpg --point 410,230 --output cut/
    semidepth segment photo.jpg --point 410,230 --not 300,80 --fov_deg 65 --format cutout json glb
    semidepth segment photo.jpg --box 10,10,200,220 --depth none

Points and boxes are pixels of the upright photo (EXIF turned), x to the right and y down from its upper left corner.
Further points add what is missing, points after --not take away what is too much. Results of photo.jpg:

    mask     photo_mask.png     white on the thing, black elsewhere
    cutout   photo_cutout.png   the thing with transparency around it
    json     photo_masks.json   COCO's run lengths, box, area and score; distance in metres, median and 10th to 90th
                                percentile; width, height and depth of what is seen of it; the field of view by which
                                sizes are computed, and whether it was given, is the photo's, or assumed (60 degrees)
    ply      photo_cutout.ply   its points in metres
    glb      photo_cutout.glb   its mesh in metres

What is hidden is not measured. Exit status: 0; 2 with one sentence for wrong usage.
"""

import json
import sys
from typing import TYPE_CHECKING, Any

from semidepth.common.commands import Command
from semidepth.common.files import check_writable, write_whole
from semidepth.common.locks import folder_held
from semidepth.prediction.masks.options import SegmentOptions

if TYPE_CHECKING:
    from semidepth.prediction.masks.cutouts import Cutout

UNSURE = 0.5  # predicted IoU below which the summary says so


def run(options: SegmentOptions) -> None:
    """Cuts out, writes and tells.

    Raises:
        ValueError: in one sentence, for wrong usage, or where a result cannot be made.
    """
    there = [str(path) for path in options.files().values() if path.exists()]
    if there and not options.overwrite:
        raise ValueError(f"{there[0]} is there already; add --overwrite, or give another --output.")
    check_writable(options.output)
    with folder_held("output", options.output):
        from semidepth.prediction.masks.segment import segment  # only now what takes seconds to import

        cut = segment(
            options.image, options.model, points=options.points("point"), not_points=options.points("not_point"),
            box=options.corners(), depth=options.model_in_metres, focal_px=options.focal_px,
            fov_deg=options.fov_deg, device=options.device,
        )  # fmt: skip
        if not cut.mask.any():
            raise ValueError("the model finds nothing there; give another point, or a box.")
        files = options.files(metres=cut.depth_m is not None)
        for path, content in {path: _content(name, options, cut) for name, path in files.items()}.items():
            write_whole(path, content)
    names = [str(path) for path in files.values()]
    print(json.dumps(_document(options, cut) | {"files": names}, indent=2) if options.json else _told(cut, names))


def _content(name: str, options: SegmentOptions, cut: "Cutout") -> bytes:
    """Content of a result."""
    from PIL import Image

    from semidepth.prediction.masks.cutouts import png

    if name == "json":
        return (json.dumps(_document(options, cut), indent=2) + "\n").encode()
    if name == "ply":
        return cut.ply()
    if name == "glb":
        return cut.glb()
    return png(Image.fromarray(cut.mask) if name == "mask" else cut.picture())


def _document(options: SegmentOptions, cut: "Cutout") -> dict[str, Any]:
    height, width = cut.mask.shape
    image = {"file_name": options.image.name, "height": height, "width": width}
    return {"image": image, "annotations": [cut.record()]}


def _told(cut: "Cutout", files: list[str]) -> str:
    """Returns a summary for people."""
    record = cut.record()
    found = f"{record['area']} pixels, predicted IoU {record['predicted_iou']:.2f}, in {', '.join(files)}"
    if record["predicted_iou"] < UNSURE:
        found += "\nthe model is not sure of this mask; look at it, and add a point or draw a box"
    if "distance_m" not in record:
        return f"{found}\nno distance and no size: there are no metres"
    (low, high), size = record["distance_10_90_m"], record["visible_size_m"]
    return (
        f"{found}\n{record['distance_m']:.2f} m away ({low:.2f} to {high:.2f} m); what is seen of it is "
        f"{size['width']:.2f} m wide, {size['height']:.2f} m high and {size['depth']:.2f} m deep, by a field of view "
        f"of {record['fov_deg']:.0f} degrees ({record['fov_from']})"
    )


COMMAND = Command("semidepth segment", SegmentOptions, run, __doc__)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
