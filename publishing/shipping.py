"""Folders that are shipped: weights in fewer bits, metric heads beside their core, a record of sums, all in one folder.

    semidepth publish outputs/student --to_folder semidepth-small --dtype bfloat16 --heads outputs/metric

The folder holds what would go to the Hub, and weights.json with the bytes and sha256 of its weights.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from semidepth.common.files import check_new, whole_folder
from semidepth.data.scenes.render import render_scenes
from semidepth.prediction.models import load_depth_model
from semidepth.prediction.shipped.folder import RECORD
from semidepth.prediction.shipped.heads import split_heads
from semidepth.publishing.files import OPTIONS, SCORES, HubFile, checked_files
from semidepth.publishing.records import public_files

logger = logging.getLogger(__name__)

# Scales that differ by orders of magnitude among each other, seven numbers: they stay as they are.
# So do the random frequencies of positions in a mask model: rounded, they are others.
KEPT = ("core_scales", "positional_embedding")
OF_HEADS = ("config.json", "preprocessor_config.json", *OPTIONS, *SCORES)
SIDE_PX = 384


def convert_weights(files: Sequence[HubFile], dtype: str, room: Path) -> list[HubFile]:
    """Returns a model's files with weights of another dtype, and a configuration that loads them in float32.

    The dtype is for storage. transformers would also compute in what the configuration says, and processors without
    bfloat16 instructions take tens of times as long in it; who has a fast device asks for `dtype=torch.bfloat16`.

    Args:
        files: of the model.
        dtype: of the floating-point weights, such as bfloat16.
        room: folder for the files that are made; is made.
    """
    made = []
    for file in files:
        target = room / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.path.endswith(".safetensors"):
            weights = load_file(file.source)
            changing = [name for name in weights if weights[name].is_floating_point() and not name.endswith(KEPT)]
            weights |= {name: weights[name].to(getattr(torch, dtype)) for name in changing}
            save_file(weights, target, metadata={"format": "pt"})
            made.append(HubFile(file.path, target))
        elif Path(file.path).name == "config.json":
            config = _without_dtype(json.loads(file.source.read_text(encoding="utf-8")))
            config["dtype"] = "float32"
            target.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            made.append(HubFile(file.path, target))
        else:
            made.append(file)
    return made


def _without_dtype(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration without the dtypes of its parts, which beat the one that is asked for at loading."""
    return {
        name: _without_dtype(value) if isinstance(value, dict) else value
        for name, value in config.items()
        if name not in ("dtype", "torch_dtype")
    }


def files_of_heads(whole: Path, core: Path, dtype: str | None, room: Path, place: str) -> list[HubFile]:
    """Returns the files of metric heads or of a mask decoder without their core, as they lie in a folder in the core's.

    Args:
        whole: folder of the metric model or mask model.
        core: folder of the relative model that it stands on.
        place: name of their folder.
        dtype: of the published weights; None: as they are.
        room: folder for files that are made; is made.

    Raises:
        ValueError: the model stands on another core.
    """
    split = room / "split"
    split_heads(whole, core, split, None if dtype is None else getattr(torch, dtype))
    for name in OF_HEADS:
        if (whole / name).is_file() and not (split / name).exists():
            (split / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(whole / name, split / name)
    files = checked_files(split, [path.relative_to(split).as_posix() for path in split.rglob("*") if path.is_file()])
    files = convert_weights(files, dtype, room / "converted") if dtype is not None else files
    return [HubFile(f"{place}/{file.path}", file.source) for file in public_files(files, room / "public")]


def ship(files: Sequence[HubFile], target: Path, trained: Mapping[str, Path | None]) -> None:
    """Copies files into a new folder, all or nothing, with a record of the weights' bytes and sums.

    Args:
        files: of a model, and perhaps of heads.
        target: the folder.
        trained: for each model in it ("" is the folder itself) the folder that it was made from, to compare their
            predictions; None: not there.
    """
    check_new("to_folder", target)
    with whole_folder(target) as partial:
        record = {}
        for file in files:
            place = partial / file.path
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.source, place)
            if place.suffix == ".safetensors":
                record[file.path] = {"bytes": file.size, "sha256": hashlib.sha256(place.read_bytes()).hexdigest()}
        (partial / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        for name, folder in trained.items():
            if folder is not None:
                tell_difference(folder, partial / name, str(target / name))
    logger.info("wrote %d files, %.1f MB, to %s", len(files), sum(file.size for file in files) / 1e6, target)


def tell_difference(before: Path, after: Path, name: str) -> float:
    """Logs and returns how far the shipped weights' predictions are from the trained ones', on one rendered room.

    Args:
        before: folder of the trained model.
        after: folder of the same with its shipped weights.
        name: of the model in the log.

    Returns:
        Mean absolute difference over the mean of the trained model's predictions.
    """
    image = render_scenes("indoor", [0], height=SIDE_PX, width=SIDE_PX).image
    trained, shipped = (load_depth_model(folder).forward(image)[0] for folder in (before, after))
    share = ((trained - shipped).abs().mean() / trained.mean()).item()
    logger.info("%s: shipped weights change the depth of a rendered room by %.2f %% on average", name, 100 * share)
    return share
