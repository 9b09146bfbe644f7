"""Facts about a trained model: configuration, options, results and scores, read once from its files.

Cards and `semidepth info` show them. The files are plain YAML and JSON; the code that wrote them is not needed.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from safetensors import SafetensorError, safe_open

from semidepth.common.options import read_options
from semidepth.data.public_names import is_hub_id, split_source
from semidepth.prediction.checkpoints import Kind, kind_of
from semidepth.prediction.shipped.folder import HEADS, is_heads, weight_files
from semidepth.publishing.files import INDEX, PROCESSOR

RESULTS, SCORES = "results.json", "scores/results.json"
Values = dict[str, Any]


@dataclass(frozen=True)
class Facts:
    """Facts from a model's files.

    Attributes:
        name: folder of the model, as it was given.
        config: its config.json.
        command: training command whose options are there: four_m, masks, metric, student or teacher; "" without any.
        options: of that command.
        results: of the run, from results.json; empty without one.
        scores: from scores/results.json; empty without one.
        parameters: number of weights; None without safetensors.
        image_size_px: side of the training crops, from the image processor; None without one.
        label_sets: for each pseudo-label set of the options, the record that it carries.
    """

    name: str
    config: Values
    command: str = ""
    options: Values = field(default_factory=dict)
    results: Values = field(default_factory=dict)
    scores: Values = field(default_factory=dict)
    parameters: int | None = None
    image_size_px: int | None = None
    label_sets: dict[str, Values] = field(default_factory=dict)

    @property
    def run(self) -> Values:
        """Duration, devices and versions of the run, and the defaults of its options; empty where not recorded."""
        return self.results.get("run") or {}

    @property
    def kind(self) -> Kind | None:
        """Kind of prediction: "depth" (metres) or "disparity" (inverse depth); None where unknown."""
        return kind_of(SimpleNamespace(**self.config))

    @property
    def metric(self) -> bool:
        """True for a model that predicts metres."""
        return self.kind == "depth"

    @property
    def routed(self) -> bool:
        """True for a model with metric heads of its own, one for each domain."""
        return self.config["model_type"] == "routed_depth"

    @property
    def bins(self) -> bool:
        """True for a model with ZoeDepth's metric bins, of the class of semidepth or the stock one."""
        return self.routed or self.config["model_type"] == "zoedepth"

    @property
    def masks(self) -> bool:
        """True for a model that answers clicks with masks."""
        return self.config["model_type"] == "prompted_mask"

    @property
    def four_m(self) -> bool:
        """True for a model that turns any modality into any other."""
        return self.config["model_type"] == "four_m"

    @property
    def domains(self) -> list[Values]:
        """Domains of a metric model: `name`, `min_depth_m` and `max_depth_m`, where the configuration has them.

        A stock metric head has one range; its name is that of the training domains, empty where not recorded.
        """
        if self.routed:
            return list(self.config.get("domains") or [])
        if self.bins:
            kind = self.config.get("bin_centers_type")
            return [
                {
                    "name": head.get("name") or "", "min_depth_m": head["min_depth"], "max_depth_m": head["max_depth"],
                    "bin_centers_type": kind,
                }
                for head in self.config["bin_configurations"]
            ]  # fmt: skip
        largest = self.config.get("max_depth")
        if not self.metric or not isinstance(largest, int | float):
            return []
        named = [str(text).partition("=")[0] for text in self.options.get("train") or []]
        return [{"name": ", ".join(dict.fromkeys(named)), "min_depth_m": 0.0, "max_depth_m": largest}]

    @property
    def backbone(self) -> Values:
        """Configuration of the encoder; in a metric model that of its relative core, in a mask model of its core's."""
        core = self.config
        while core.get("core_config"):
            core = core["core_config"]
        return core.get("backbone_config") or core.get("encoder_config") or {}

    @property
    def remote_code(self) -> bool:
        """True where plain transformers needs the code beside the weights."""
        return bool(self.config.get("auto_map"))

    @property
    def names(self) -> set[str]:
        """Names of the model's folder: the present one, and that of the run."""
        return {self.name, *filter(None, [self.options.get("output_dir")])}

    def is_hub(self, location: str) -> bool:
        """True for an id on the Hub, as the run recorded it; without a record, by its form."""
        recorded = self.run.get("hub")
        return is_hub_id(location) if recorded is None else location in recorded


def read_facts(folder: Path, files: Mapping[str, Path] | None = None) -> Facts:
    """Reads the facts of a model.

    Args:
        folder: of the model.
        files: for each path of the model's repository the file that goes there; None: those of the folder.

    Raises:
        ValueError: there is no model, or a file is damaged.
    """
    if files is None:
        paths = [*folder.glob("*.json"), *folder.glob("*.yaml"), *folder.glob("model*.safetensors"), folder / SCORES]
        files = {path.relative_to(folder).as_posix(): path for path in paths if path.is_file()}
        if is_heads(folder):  # their core's weights count, too
            files |= {path.name: path for path in weight_files(folder)}
    if "config.json" not in files:
        raise ValueError(f"{str(folder)!r} {_why_no_model(folder)}")
    config = _read(files["config.json"], _checked_config)
    # The folder of a student may also hold the options of a teacher that was trained there before.
    kind = Facts("", config)
    commands = ("metric",) if kind.metric else ("student", "teacher")
    commands = ("four_m",) if kind.four_m else ("masks",) if kind.masks else commands
    command = next((name for name in commands if f"{name}.yaml" in files), "")
    options = read_options(files[f"{command}.yaml"]) if command else {}
    return Facts(
        name=str(folder),
        config=config,
        command=command,
        options=options,
        results=_read(files.get(RESULTS), _checked_results),
        scores=_read(files.get(SCORES), _checked_scores),
        parameters=_count_parameters(files),
        image_size_px=_image_size(files.get(PROCESSOR)),
        label_sets=_label_sets(options.get("pseudo_labels") or []),
    )


def count_parameters(weights: Iterable[Path]) -> int:
    """Returns the number of weights in safetensors files, from their headers.

    Raises:
        ValueError: one is not a whole safetensors file.
    """
    total = 0
    for path in weights:
        try:
            with safe_open(path, "numpy") as tensors:
                total += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path} is no whole safetensors file ({error}); fetch it or save it again.") from error
    return total


def _count_parameters(files: Mapping[str, Path]) -> int | None:
    weights = {name: path for name, path in files.items() if Path(name).match("model*.safetensors") or name == HEADS}
    if INDEX in files:
        with _reading(files[INDEX]):
            missing = sorted(set(_read_json(files[INDEX])["weight_map"].values()) - weights.keys())
        if missing:
            raise ValueError(
                f"{files[INDEX].with_name(missing[0])} is missing, which {INDEX} names; fetch it or save it again."
            )
    return count_parameters(weights.values()) if weights else None


def _checked_config(config: Values) -> Values:
    if not isinstance(config.get("model_type"), str):
        raise ValueError("no model_type")
    for name in ("core_config", "backbone_config"):
        dict(config.get(name) or {})
    heads = [dict(head) for head in config.get("bin_configurations") or []]
    for head in heads:
        head["min_depth"], head["max_depth"] = float(head["min_depth"]), float(head["max_depth"])
    return config | {
        "domains": [dict(domain) for domain in config.get("domains") or []], "bin_configurations": heads,
    }  # fmt: skip


def _checked_results(results: Values) -> Values:
    return results | {"run": dict(results.get("run") or {})}


def _checked_scores(scores: Values) -> Values:
    rows = [dict(row) for row in scores.get("scores") or []]
    routers = [dict(row) for row in scores.get("routers") or []]
    return scores | {"scores": [row | {"metrics": dict(row.get("metrics") or {})} for row in rows], "routers": routers}


def _image_size(path: Path | None) -> int | None:
    """Returns the side of the image processor's crops in pixels."""
    if path is None:
        return None
    with _reading(path):
        size = _read_json(path).get("size")
        sides = size.values() if isinstance(size, dict) else [size]
        return min((side for side in sides if isinstance(side, int)), default=None)


def _label_sets(texts: Iterable[str]) -> dict[str, Values]:
    """Returns the records of pseudo-label sets; empty for a set that is no longer there."""
    paths = {text: Path(split_source(text)[1]).expanduser() / "pseudo_labels.json" for text in texts}
    return {text: _read(path if path.is_file() else None, dict) for text, path in paths.items()}


def _read(path: Path | None, checked: Callable[[Values], Values]) -> Values:
    """Returns the object of a JSON file; empty without a file."""
    if path is None:
        return {}
    with _reading(path):
        return checked(_read_json(path))


def _read_json(path: Path) -> Values:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise TypeError(f"it holds a {type(content).__name__}, not a JSON object")
    return content


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns an error in a file's content into one sentence that names the file."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} is damaged ({cause}); repair it or remove it.") from error


def _why_no_model(folder: Path) -> str:
    """Returns the end of a sentence about a folder without config.json."""
    if not folder.is_dir():
        return f"is {'a file' if folder.exists() else 'not here'}; give the folder of a model."
    if (folder / "trainer.json").is_file():
        return "is a checkpoint of a training run, without config.json; give the run's folder once it has ended."
    models = sorted(file.parent.name for file in folder.glob("*/config.json"))
    if models:
        return f"has no config.json, but models in it: {', '.join(models)}; give one of these folders."
    if any(folder.glob("checkpoint-*/trainer.json")):
        return "has checkpoints and no config.json: its training has not ended; run its command again to resume it."
    return "has no config.json; give the folder of a model."
