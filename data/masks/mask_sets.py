"""Sets of masks on disk that a model made: parquet files with the original images and run lengths.

Laid out as the sets in `data/pseudo_labels.py`, with `masks.json` as their record, and resumed in the same way. They
are read as `FOLDER?masks=masks`, or, where json was asked for, as `FOLDER/images?masks=json`.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Features, Image, Value

from semidepth.data.pseudo_labels import LabelFolder, LabelRecord
from semidepth.media.run_lengths import box_of, encode_run_lengths

RECORD = "masks.json"
FEATURES = Features({
    "image": Image(),
    "masks": [{"size": [Value("int32")], "counts": Value("string"), "stability_score": Value("float32")}],
    "teacher": Value("string"),
    "teacher_revision": Value("string"),
    "domain": Value("string"),
    "origin": Value("string"),
})  # fmt: skip


class MaskFolder(LabelFolder):
    """A set of masks that is being written."""

    record_name = RECORD
    features = FEATURES
    what = "masks"

    def readme(self, record: LabelRecord) -> str:
        """The text of the set's README.md, with the front matter by which `datasets` and the Hub find the files."""
        return f"""---
configs:
- config_name: default
  data_files: data/*.parquet
task_categories:
- mask-generation
---
Masks of photos that nobody labeled, by the features and the depth of `{record.teacher}` (revision
`{record.teacher_revision}`). `masks` are COCO's run lengths with the stability of each, as large as the upright image;
wholes and parts overlap. Images are as they were found. Train from it with
`semidepth train masks --train 'FOLDER?masks=masks'`.
"""

    def write_json(self, name: str, image: bytes, suffix: str, content: bytes) -> None:
        """Writes a picture and its json, as Segment Anything lays them out, as `images/NAME.*`."""
        self._write(f"images/{name}{suffix}", image)
        self._write(f"images/{name}.json", content)


def mask_records(masks: Sequence[np.ndarray], stabilities: Sequence[float]) -> list[dict[str, Any]]:
    """Returns a row's `masks`: (H, W) bool each, and their stabilities."""
    return [
        encode_run_lengths(mask) | {"stability_score": float(score)}
        for mask, score in zip(masks, stabilities, strict=True)
    ]


def sa1b_json(name: str, masks: Sequence[np.ndarray], records: Sequence[dict[str, Any]]) -> bytes:
    """Returns the masks of a picture as Segment Anything's data set SA-1B has them.

    Args:
        name: of the picture's file.
        masks: (H, W) bool each, none empty.
        records: of [`mask_records`].
    """
    annotations = []
    for number, (mask, record) in enumerate(zip(masks, records, strict=True)):
        annotations.append({
            "id": number,
            "segmentation": {"size": record["size"], "counts": record["counts"]},
            "bbox": list(box_of(mask)),
            "area": int(mask.sum()),
            "stability_score": record["stability_score"],
        })  # fmt: skip
    image: dict[str, Any] = {"file_name": name}
    if len(masks):
        image |= {"height": int(masks[0].shape[0]), "width": int(masks[0].shape[1])}
    return (json.dumps({"image": image, "annotations": annotations}) + "\n").encode()
