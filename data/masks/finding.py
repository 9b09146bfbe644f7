"""Find the masks of a folder's images: in one COCO json, or in files beside each image.

`masks=instances.json` is COCO's: images are found by their `file_name`. `masks=json` is `NAME.json` beside `NAME.jpg`,
as Segment Anything has it. `masks=folder` is `NAME_mask.png` with a number for each object, or a folder `NAME_masks` of
black and white pictures, one for each object.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from semidepth.common.files import literal_part
from semidepth.data.listing import image_suffixes
from semidepth.data.masks.layers import CROWD, Mask, Outline, StoredMasks
from semidepth.data.source_spec import MASK_FOLDER, MASK_STEM, Source
from semidepth.media.run_lengths import require_polygons

NO_MASKS = "without masks"


@lru_cache(maxsize=16)
def mask_finder(source: Source) -> Callable[[Path], Any]:
    """Returns a function that gives the undecoded masks of an image, or None for one without.

    Args:
        source: of images, with `masks`.

    Raises:
        ValueError: its json is none of COCO's.
    """
    if source.masks == "json":
        return lambda path: _file(path.with_suffix(".json"))
    if source.masks == "folder":
        return _in_files
    root = literal_part(source.location)
    return partial(_in_coco, _read_coco(source), root if root.is_dir() else root.parent)


def _file(path: Path) -> Path | None:
    """The file of that name, its ending in any case; None where there is none."""
    either = (path, path.with_suffix(path.suffix.upper()))
    return next((place for place in either if place.is_file()), None)


def _in_files(image: Path) -> Any:
    numbers = _file(image.with_name(f"{image.stem}{MASK_STEM}.png"))
    folder = image.with_name(f"{image.stem}{MASK_FOLDER}")
    if numbers is not None or not folder.is_dir():
        return numbers
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in image_suffixes() and path.is_file())
    return StoredMasks(tuple(Outline(path, Mask(1)) for path in files)) if files else None


def _in_coco(index: dict[str, StoredMasks], root: Path, image: Path) -> StoredMasks | None:
    """The masks of the longest end of an image's path that the json names."""
    parts = (image.relative_to(root) if image.is_relative_to(root) else image).parts
    names = ("/".join(parts[start:]) for start in range(len(parts)))
    found = next((index[name] for name in names if name in index), None)
    return found if found is not None and found.outlines else None


def _read_coco(source: Source) -> dict[str, StoredMasks]:
    """The masks of each image by its file's name, as COCO's json has them.

    Polygons become arrays: as lists those of a hundred thousand images take gigabytes.
    """
    path = source.mask_file
    try:
        record = json.loads(path.read_bytes())
        names = {each["id"]: str(each["name"]) for each in record.get("categories", ())}
        outlines: dict[Any, list[Outline]] = defaultdict(list)
        left_out: dict[Any, Counter[str]] = defaultdict(Counter)
        for each in record["annotations"]:
            if each.get("iscrowd"):
                left_out[each["image_id"]][CROWD] += 1
                continue
            content = each.get("segmentation")
            if isinstance(content, list):
                require_polygons()
                content = [_numbers(polygon) for polygon in content]
            outlines[each["image_id"]].append(Outline(content, Mask(1, names.get(each.get("category_id"), ""))))
        return {
            str(image["file_name"]).removeprefix("./"): StoredMasks(
                tuple(outlines[image["id"]]), (int(image["height"]), int(image["width"])), left_out[image["id"]]
            )
            for image in record["images"]
        }
    except ImportError as error:
        raise ValueError(f"source {source.spec!r}: {error}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"source {source.spec!r}: {path} is no json as COCO has it, with images, annotations and categories "
            f"({type(error).__name__}: {error}); give such a file"
        ) from error


def _numbers(polygon: Any) -> Any:
    try:
        return np.asarray(polygon, dtype=np.float64)
    except (TypeError, ValueError):
        return polygon  # told when its turn comes
