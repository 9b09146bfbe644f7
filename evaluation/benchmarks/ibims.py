"""iBims-1: 100 indoor photos, 640 x 480, with laser-scanned depth.

Both released layouts are read, the first where both are there (https://www.asg.ed.tum.de/lmf/ibims1/; Koch et al.,
ECCV Workshops 2018, arXiv 1805.01328). ibims1_core_raw.zip, which ZoeDepth reads:

    ibims1_core_raw/rgb/corridor_01.png
    ibims1_core_raw/depth/corridor_01.png          16 bits, 65535 is 50 m, 0 is unknown
    ibims1_core_raw/mask_invalid/corridor_01.png   0 where the scan is not to be trusted
    ibims1_core_raw/mask_transp/corridor_01.png    0 on transparent things

and ibims1_core_mat.zip, which the set's own evaluation reads:

    ibims1_core_mat/corridor_01.mat    MATLAB 5: a struct `data` with rgb, depth in metres, mask_invalid, mask_transp, …

The names stand in imagelist.txt, a file of its own beside the archives: put it into either folder or beside them. The
folder may also be given itself. What either mask has as 0 is unknown here, as in the set's own evaluation.

Metres are scored up to 10 m, as ZoeDepth does (arXiv 2302.12288). Neither MiDaS nor Depth Anything scores relative
depth on it, so that there is no cap to take over.
"""

from functools import partial
from pathlib import Path

import numpy as np

from semidepth.data.decoding import BrokenSampleError
from semidepth.data.depth_decoding import DepthCoding, decode_depth
from semidepth.data.samples import Sample
from semidepth.evaluation.benchmarks.base import BenchmarkSet, check_complete
from semidepth.evaluation.benchmarks.files import (
    first_words,
    import_extra,
    labeled_sample,
    rgb_tensor,
    stored_pixels,
    stored_rgb,
    usable,
)

COUNT = 100
METRES_PER_UNIT = 50.0 / 65535
LAYOUT = (
    "ibims1_core_raw with rgb, depth, mask_invalid and mask_transp of PNG files, or ibims1_core_mat of .mat files, "
    f"and imagelist.txt in it or beside it ({COUNT} photos)"
)

_RAW_PARTS = ("rgb", "depth", "mask_invalid", "mask_transp")


def open_set(root: Path, name: str) -> BenchmarkSet:
    """The 100 photos, in the order of imagelist.txt."""
    check_complete(name, root, [], LAYOUT)
    folder, kind = _find_folder(root)
    frames = _read_list(root, folder, name)
    if kind == "raw":
        check_complete(name, root, [folder / part / f"{frame}.png" for frame in frames for part in _RAW_PARTS], LAYOUT)
    else:
        check_complete(name, root, [folder / f"{frame}.mat" for frame in frames], LAYOUT)
        import_extra("scipy.io", name)
    return BenchmarkSet(
        name=name,
        frames=frames,
        read=partial(_read_raw if kind == "raw" else _read_mat, folder, name, frames),
        protocol="ibims",
        relative_max_depth_m=None,
        domain="indoor",
        source="https://www.asg.ed.tum.de/lmf/ibims1/ (arXiv 1805.01328); range of ZoeDepth, arXiv 2302.12288",
    )


def _find_folder(root: Path) -> tuple[Path, str]:
    for folder in (root / "ibims1_core_raw", root):
        if (folder / "rgb").is_dir():
            return folder, "raw"
    for folder in (root / "ibims1_core_mat", root):
        if any(folder.glob("*.mat")):
            return folder, "mat"
    return root / "ibims1_core_raw", "raw"  # which is not there, as the next check tells


def _read_list(root: Path, folder: Path, name: str) -> list[str]:
    places = [place / "imagelist.txt" for place in (folder, root, folder.parent)]
    file = next((place for place in places if place.is_file()), places[0])
    check_complete(name, root, [file], LAYOUT)
    frames = file.read_text().split()
    if len(frames) != COUNT or len(set(frames)) != COUNT:
        raise ValueError(
            f"{file} names {len(set(frames))} different photos in {len(frames)} lines; the set's own, with {COUNT}, "
            "was expected."
        )
    return frames


def _read_raw(folder: Path, name: str, frames: list[str], number: int) -> Sample:
    image_file, depth_file, *mask_files = (folder / part / f"{frames[number]}.png" for part in _RAW_PARTS)
    depth = decode_depth(depth_file, DepthCoding(scale=METRES_PER_UNIT))
    for mask_file in mask_files:
        depth = usable(stored_pixels(mask_file), depth, mask_file)
    return labeled_sample(
        stored_rgb(image_file), depth, origin=f"{name}/{frames[number]}", depth_file=depth_file, domain="indoor"
    )


def _read_mat(folder: Path, name: str, frames: list[str], number: int) -> Sample:
    file = folder / f"{frames[number]}.mat"
    data = _load_struct(file, name)
    image = rgb_tensor(data["rgb"], f"`rgb` of {file}")
    depth = decode_depth(data["depth"].astype(np.float32), name=str(file))
    for mask in ("mask_invalid", "mask_transp"):
        depth = usable(data[mask], depth, file)
    return labeled_sample(image, depth, origin=f"{name}/{frames[number]}", depth_file=file, domain="indoor")


def _load_struct(file: Path, name: str) -> dict[str, np.ndarray]:
    """The struct `data` of a .mat file: field -> array."""
    io = import_extra("scipy.io", name)
    try:
        data = io.loadmat(file, variable_names=["data"])["data"][0, 0]
        return {field: data[field] for field in ("rgb", "depth", "mask_invalid", "mask_transp")}
    except Exception as error:  # scipy has no class of its own for what it refuses
        raise BrokenSampleError(
            f"{file} has no struct `data` with rgb, depth, mask_invalid and mask_transp that can be read: "
            f"{first_words(error)}."
        ) from error
