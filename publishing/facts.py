"""What a trained model's folder says of itself, read for its card: configuration, options, results, scores."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from semidepth.data.public_names import is_hub_id
from semidepth.training.arguments.files import read_options
from semidepth.training.arguments.metric import MetricArguments
from semidepth.training.arguments.run import TeacherArguments
from semidepth.training.arguments.student import StudentArguments

COMMANDS: dict[str, Any] = {"metric": MetricArguments, "student": StudentArguments, "teacher": TeacherArguments}
RELATIVE_TYPES = ("depth_student", "depth_anything")
SCORES = "scores/results.json"
EXAMPLES = "scores/examples.png"


@dataclass(frozen=True)
class Facts:
    """A folder's files, read.

    Args:
        folder: of the model.
        config: its config.json.
        command: the training command whose options are there: metric, student, teacher; "" where none are.
        options: of that command.
        results: of the run; empty where there are none.
        scores: of scores/results.json; empty where there are none.
    """

    folder: Path
    config: dict[str, Any]
    command: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)

    @property
    def run(self) -> dict[str, Any]:
        """How long the run took on what; empty where that was not recorded."""
        return self.results.get("run") or {}

    @property
    def metric(self) -> bool:
        """Whether the model predicts metres."""
        return self.routed or self.config.get("depth_estimation_type") == "metric"

    @property
    def routed(self) -> bool:
        """Whether it has a head for each of its domains (which may be one)."""
        return self.config["model_type"] == "routed_depth"

    @property
    def domains(self) -> list[dict[str, Any]]:
        """Domains of a metric model with their ranges in metres; of a stock head as far as the options name it."""
        if self.routed:
            return list(self.config.get("domains") or [])
        if not self.metric:
            return []
        named = [str(text).partition("=")[0] for text in self.options.get("train", [])]
        return [{"name": ", ".join(dict.fromkeys(named)), "min_depth_m": 0.0, "max_depth_m": self.config["max_depth"]}]

    @property
    def backbone(self) -> dict[str, Any]:
        """The encoder's configuration."""
        core = self.config.get("core_config") or {} if self.routed else self.config
        return core.get("backbone_config") or {}

    @property
    def remote_code(self) -> bool:
        """Whether plain transformers needs the code beside the weights."""
        return bool(self.config.get("auto_map"))

    @property
    def names(self) -> set[str]:
        """What the model's folder was called, by its own options too: it may have been moved or laid out anew."""
        return {str(self.folder), *filter(None, [self.options.get("output_dir")])}

    def is_hub(self, location: str) -> bool:
        """Whether a name is one of the Hub: as the run recorded it, or as far as one can see."""
        recorded = self.run.get("hub")
        return is_hub_id(location) if recorded is None else location in recorded

    def defaults(self) -> dict[str, Any]:
        """The defaults of the options that have a plain one."""
        if not self.command:
            return {}
        return {name: getattr(COMMANDS[self.command], name, None) for name in self.options}

    def pictures(self) -> list[Path]:
        """Pictures for the card: examples of the scored images, else the newest preview of the training."""
        if (self.folder / EXAMPLES).is_file():
            return [self.folder / EXAMPLES]
        return sorted((self.folder / "previews").glob("*.png"))[-1:]

    def parameters(self) -> int | None:
        """Number of weights in the folder's safetensors; None where there are none."""
        files = sorted(self.folder.glob("model*.safetensors"))
        total = 0
        for path in files:
            try:
                with safe_open(path, "numpy") as tensors:
                    shapes = [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118
            except SafetensorError as error:
                raise ValueError(f"{path} cannot be read ({error}); save the model again.") from error
            for shape in shapes:
                count = 1
                for size in shape:
                    count *= size
                total += count
        return total if files else None


def read_facts(folder: Path) -> Facts:
    """Reads a trained model's folder.

    Raises:
        ValueError: if it holds no depth model of a kind that is trained here, or a file that cannot be read.
    """
    config = _read_json(folder / "config.json")
    if config.get("model_type") not in (*RELATIVE_TYPES, "routed_depth"):
        what = f"a {config['model_type']} model" if config.get("model_type") else "no config.json of a model"
        raise ValueError(f"{folder} holds {what}; give the folder of a depth student, Depth Anything or routed depth.")
    metric = config["model_type"] == "routed_depth" or config.get("depth_estimation_type") == "metric"
    # A teacher's folder that a student was trained into later has both; a metric model's options are its own alone.
    names = ("metric",) if metric else ("student", "teacher")
    command = next((name for name in names if (folder / f"{name}.yaml").is_file()), "")
    # Options of older and newer versions are told as they are, so nothing is checked against today's.
    options = read_options(folder / f"{command}.yaml") if command else {}
    results, scores = _read_json(folder / "results.json"), _read_json(folder / SCORES)
    return Facts(folder, config, command, options, results, scores)


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no file."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); mend or remove it.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds a {type(values).__name__}, not an object of results; mend or remove it.")
    return values
