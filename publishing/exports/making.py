"""Making exports one by one: written, measured against torch, kept or refused."""

import json
import logging
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semidepth.data.listing import image_suffixes
from semidepth.prediction.models import DepthModel
from semidepth.prediction.runtimes.onnx import export_loaded
from semidepth.publishing.exports.gate import Gate, refusal
from semidepth.publishing.exports.names import FILES, PRECISION, Target
from semidepth.publishing.exports.targets import Made, check_target, ways
from semidepth.publishing.spaces import ROOT

if TYPE_CHECKING:
    from semidepth.publishing.exports.cli import ExportOptions

logger = logging.getLogger(__name__)

EXAMPLES = ROOT / "spaces" / "depth_demo" / "examples"
Kept = dict[Path, dict[str, Any]]


def make(
    loaded: DepthModel, name: str, options: "ExportOptions", room: Path
) -> tuple[Kept, dict[str, str], dict[str, Any]]:
    """Makes all targets.

    Args:
        loaded: the model in torch.
        name: what to call it.
        options: of the command.
        room: empty folder.

    Returns:
        Folder of each file that is kept -> its measured figures; target -> why it was refused; what the files say of
        themselves.
    """
    base = room / "base" / FILES["onnx"]
    record = export_loaded(loaded, base, name, opset=options.opset)
    photos = options.photos or tuple(sorted(path for path in EXAMPLES.glob("*") if path.suffix in image_suffixes()))
    if not photos:
        logger.warning("this installation has no photos (%s); files are compared on scenes alone", EXAMPLES)
    gates: dict[int | None, Gate] = {None: Gate(loaded, photos, options.scenes)}
    kept: Kept = {}
    refused: dict[str, str] = {}
    about = {key: record[key] for key in ("kind", "domains", "preprocessing", "output", "inputs", "outputs", "dynamic")}
    for target in dict.fromkeys(options.to):
        place = room / target
        place.mkdir()
        row, why = first_right(target, ways(target, base, place, loaded, name, about), gates, options.rounds)
        if row is None:
            refused[target] = why
            continue
        kept[place] = row
        if target == "onnx":
            shutil.copytree(base.parent, place, dirs_exist_ok=True)
        beside = place / f"{FILES[target]}.json"
        if not beside.is_file():
            beside.write_text(json.dumps(about, indent=1) + "\n")
    return kept, refused, record


def first_right(
    target: Target, tried: Iterable[Made], gates: dict[int | None, Gate], rounds: int
) -> tuple[dict[str, Any] | None, str]:
    """Figures of the first way of writing a target that the gate accepts; None and the last reason where it takes none.

    Args:
        target: what is written.
        tried: the ways, each of which replaces the file of the one before.
        gates: by the side of their images; those that are missing are added.
        rounds: timed ones.
    """
    why = ""
    for made in tried:
        if made.side not in gates:
            gates[made.side] = replace(gates[None], side=made.side, pictures=[])
        row = _measure(made, target, gates[made.side], rounds)
        reason = refusal(PRECISION.get(target, "float32"), row)
        if reason is None:
            return row, ""
        logger.warning("%s (%s): %s", FILES[target], made.how, reason)
        why = reason
    return None, why


def _measure(made: Made, target: Target, gate: Gate, rounds: int) -> dict[str, Any]:
    """Returns figures of one file."""
    size = sum(path.stat().st_size for path in made.file.parent.iterdir() if path.suffix != ".json")
    ours, theirs = gate.seconds(made.run, rounds)
    row = {"file": FILES[target], "how": made.how, "bytes": size, "torch_seconds": ours, "seconds": theirs}
    return row | {"side": gate.timed_side} | gate.measure(made.run)


__all__ = ["check_target", "make"]
