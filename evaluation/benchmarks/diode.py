"""DIODE's validation set: 325 indoor and 446 outdoor photos, 1024 x 768, with laser-scanned depth.

Layout, as val.tar.gz unpacks (https://github.com/diode-dataset/diode-devkit; Vasiljevic et al., arXiv 1908.00463):

    val/indoors/scene_00019/scan_00183/00019_00183_indoors_000_010.png
    val/indoors/scene_00019/scan_00183/00019_00183_indoors_000_010_depth.npy         (768, 1024, 1) float32 metres
    val/indoors/scene_00019/scan_00183/00019_00183_indoors_000_010_depth_mask.npy    (768, 1024), 1 where valid
    val/outdoor/scene_00022/scan_00193/00022_00193_outdoor_000_010.png               (and so on)

Where nothing came back to the scanner, the sky among it, the mask is 0: unknown.

Metres are scored up to 10 m indoors and 80 m outdoors, as ZoeDepth does (arXiv 2302.12288). Depth Anything (2401.10891)
scores relative depth on DIODE and publishes neither cap nor code for it; here each image's own largest label holds.
"""

from functools import partial
from pathlib import Path

from semidepth.data.decoding import decode_image
from semidepth.data.depth_decoding import decode_depth
from semidepth.data.samples import Sample
from semidepth.evaluation.benchmarks.base import BenchmarkSet, check_complete
from semidepth.evaluation.benchmarks.files import labeled_sample, load_npy, usable

# Folder of the domain -> scan -> photos in it.
SCANS = {
    "indoors": {
        "scene_00019/scan_00183": 73,
        "scene_00020/scan_00184": 27,
        "scene_00020/scan_00185": 29,
        "scene_00020/scan_00186": 48,
        "scene_00020/scan_00187": 33,
        "scene_00021/scan_00188": 25,
        "scene_00021/scan_00189": 22,
        "scene_00021/scan_00190": 25,
        "scene_00021/scan_00191": 18,
        "scene_00021/scan_00192": 25,
    },
    "outdoor": {
        "scene_00022/scan_00193": 51,
        "scene_00022/scan_00194": 44,
        "scene_00022/scan_00195": 52,
        "scene_00022/scan_00196": 53,
        "scene_00022/scan_00197": 61,
        "scene_00023/scan_00198": 27,
        "scene_00023/scan_00199": 38,
        "scene_00023/scan_00200": 40,
        "scene_00024/scan_00201": 43,
        "scene_00024/scan_00202": 37,
    },
}


def open_set(root: Path, name: str) -> BenchmarkSet:
    """The photos of one domain ("diode_indoor", "diode_outdoor"), by path."""
    domain = name.removeprefix("diode_")
    folder = "indoors" if domain == "indoor" else "outdoor"
    scans = SCANS[folder]
    layout = (
        f"val/{folder}/scene_*/scan_*/*_{folder}_*.png, each with its _depth.npy and _depth_mask.npy, in {len(scans)} "
        f"scans ({sum(scans.values())} photos)"
    )
    check_complete(name, root, [], layout)
    photos = {scan: sorted((root / "val" / folder / scan).glob("*.png")) for scan in scans}
    _check_scans(name, root, folder, photos, layout)
    frames = [photo.relative_to(root).with_suffix("").as_posix() for found in photos.values() for photo in found]
    check_complete(name, root, [file for frame in frames for file in _files(root, frame)], layout)
    return BenchmarkSet(
        name=name,
        frames=frames,
        read=partial(_read, root, name, frames),
        protocol=name,
        relative_max_depth_m=None,
        domain=domain,
        source="https://github.com/diode-dataset/diode-devkit; ranges of ZoeDepth, arXiv 2302.12288",
    )


def _check_scans(name: str, root: Path, folder: str, photos: dict[str, list[Path]], layout: str) -> None:
    """Photos are named by the angles that they were taken at, so that only their number tells that some are missing."""
    scans = SCANS[folder]
    wrong = [scan for scan, count in scans.items() if len(photos[scan]) != count]
    if not wrong:
        return
    found, expected = sum(map(len, photos.values())), sum(scans.values())
    difference = f"{expected - found} photos missing" if found < expected else f"{found} photos"
    raise ValueError(
        f"{difference} of the {expected} of {name} below {root}: val/{folder}/{wrong[0]} holds {len(photos[wrong[0]])} "
        f"where {scans[wrong[0]]} belong; expected is {layout}."
    )


def _files(root: Path, frame: str) -> tuple[Path, Path, Path]:
    return root / f"{frame}.png", root / f"{frame}_depth.npy", root / f"{frame}_depth_mask.npy"


def _read(root: Path, name: str, frames: list[str], number: int) -> Sample:
    image_file, depth_file, mask_file = _files(root, frames[number])
    depth = decode_depth(load_npy(depth_file), name=str(depth_file))
    return labeled_sample(
        decode_image(image_file),
        usable(load_npy(mask_file), depth, mask_file),
        origin=f"{name}/{frames[number]}",
        depth_file=depth_file,
        domain=name.removeprefix("diode_"),
    )
