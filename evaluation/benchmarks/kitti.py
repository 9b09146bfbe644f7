"""KITTI, the test images of Eigen's split that have a label: streets, from a laser scanner.

Geiger et al., "Vision meets Robotics: The KITTI Dataset", 2013 (raw data,
https://www.cvlibs.net/datasets/kitti/raw_data.php); Uhrig et al., "Sparsity Invariant CNNs" (arXiv 1708.06500; the
labels, gathered over several scans, https://www.cvlibs.net/datasets/kitti/eval_depth_all.php: 16-bit PNG, metres * 256,
0 where unknown); Eigen et al. (arXiv 1406.2283; the 697 images).

The list of the images with their labels is BTS's `eigen_test_files_with_gt.txt`, which AdaBins, ZoeDepth and Depth
Anything's metric code read too: a line is IMAGE LABEL FOCAL, and LABEL is None for the 45 images that have none; those
are left out, as they are there. The list has to lie in the folder: it comes with none of the downloads.
"""

from functools import partial
from pathlib import Path

from semidepth.data.depth_decoding import DepthCoding, decode_depth
from semidepth.data.samples import Sample
from semidepth.evaluation.benchmarks.base import BenchmarkSet, check_complete
from semidepth.evaluation.benchmarks.files import labeled_sample, warn_if_partial

OFFICIAL_IMAGES = 652  # of 697; 45 have no label
# "the depth cap was set to the maximum ground-truth depth", MiDaS (arXiv 1907.01341), section 6.
RELATIVE_MAX_DEPTH_M = 80.0
METRES_PER_UNIT = 1 / 256
SOURCE = "https://www.cvlibs.net/datasets/kitti/raw_data.php and eval_depth_all.php, split of arXiv 1406.2283"
LISTS = ("eigen_test_files_with_gt.txt", "kitti_eigen_test_files_with_gt.txt")
LIST_FROM = "https://github.com/cleinc/bts/blob/master/train_test_inputs/eigen_test_files_with_gt.txt"
LAYOUT = (
    "2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069.png (also below raw/) and "
    "data_depth_annotated/{train,val}/2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_02/0000000069.png "
    f"(also {{train,val}}/ or gts/ alone), with {LISTS[0]} from {LIST_FROM}"
)
# Where the raw drives and the labels may lie below the root; the first that has a file is taken.
_IMAGE_FOLDERS = ("", "raw")
_LABEL_FOLDERS = (
    "data_depth_annotated/train",
    "data_depth_annotated/val",
    "train",
    "val",
    "data_depth_annotated",
    "gts",
)


def open_set(root: Path, name: str) -> BenchmarkSet:
    """Finds the labeled test images, in the order of the list.

    Args:
        root: folder of the raw drives, the labels and the list.
        name: of the benchmark.

    Raises:
        ValueError: if files are missing, or the list is not one.
    """
    listed = next((root / file for file in LISTS if (root / file).is_file()), root / LISTS[0])
    check_complete(name, root, [listed], LAYOUT)
    pairs = [
        (_find(root, _IMAGE_FOLDERS, image), _find(root, _LABEL_FOLDERS, label)) for image, label in _read_list(listed)
    ]
    check_complete(name, root, [file for pair in pairs for file in pair], LAYOUT)
    warn_if_partial(name, len(pairs), OFFICIAL_IMAGES)
    frames = [str(image.relative_to(root)) for image, _ in pairs]
    return BenchmarkSet(name, frames, partial(_read, pairs), "kitti", RELATIVE_MAX_DEPTH_M, "outdoor", SOURCE)


def _read_list(file: Path) -> list[tuple[str, str]]:
    """Image and label of each line that has a label."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not a text file; take the list from {LIST_FROM}.") from error
    pairs = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        if len(words) < 2 or not words[0].endswith(".png") or not (words[1] == "None" or words[1].endswith(".png")):
            raise ValueError(
                f"{file} has {line.strip()!r} in line {number}, which is not IMAGE.png LABEL.png FOCAL; take the list "
                f"from {LIST_FROM}."
            )
        if words[1] != "None":
            pairs.append((words[0].lstrip("/"), words[1].lstrip("/")))
    if not pairs:
        raise ValueError(f"{file} names no labeled image; take the list from {LIST_FROM}.")
    return pairs


def _find(root: Path, folders: tuple[str, ...], file: str) -> Path:
    """Returns the path at which the file exists, or the first candidate if it exists nowhere."""
    return next(
        (root / folder / file for folder in folders if (root / folder / file).is_file()), root / folders[0] / file
    )


def _read(pairs: list[tuple[Path, Path]], index: int) -> Sample:
    image, label = pairs[index]
    depth = decode_depth(label, DepthCoding(scale=METRES_PER_UNIT))
    return labeled_sample(image, depth, origin=str(image), depth_file=label, domain="outdoor")
