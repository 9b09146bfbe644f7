"""Options of training/metric.py, and what is said about a domain in them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

from semidepth.modeling import check_domains
from semidepth.training.data.metric_augmentation import MetricAugmentation
from semidepth.training.data.mixing import natural_weights
from semidepth.training.data.source_spec import Source, parse_source
from semidepth.training.engine.arguments import RunArguments, check_at_least, check_positive

# Depth ranges of NYU Depth v2 and KITTI, and ZoeDepth's brightness change on each (arXiv 2302.12288).
KNOWN_DOMAINS: dict[str, dict[str, float]] = {
    "indoor": {"min_depth_m": 1e-3, "max_depth_m": 10.0, "brightness": 0.25},
    "outdoor": {"min_depth_m": 1e-3, "max_depth_m": 80.0, "brightness": 0.1},
}
KNOWN_DOMAINS |= {"nyu": KNOWN_DOMAINS["indoor"], "kitti": KNOWN_DOMAINS["outdoor"]}  # ZoeDepth's own names
METRIC_HEADS = ("bins", "stock")
_NAME = re.compile(r"([A-Za-z]\w*)=(.+)", re.DOTALL)


@dataclass(frozen=True)
class Domain:
    """One domain of a metric model and of its training.

    Args:
        name: as in `--train NAME=SOURCE`.
        min_depth_m: nearest label that counts, metres.
        max_depth_m: farthest.
        n_bins: bins of its head.
        bin_centers_type: "softplus" (unbounded) or "normed" (within the range).
        weight: how often its images are drawn, relative to the other domains'.
        brightness: factors of its images' brightness are drawn from 1 - this to 1 + this.
    """

    name: str
    min_depth_m: float
    max_depth_m: float
    n_bins: int = 64
    bin_centers_type: str = "softplus"
    weight: float = 1.0
    brightness: float = 0.1

    def head(self) -> dict[str, Any]:
        """What a `RoutedDepthConfig` says of it."""
        fields = ("name", "n_bins", "min_depth_m", "max_depth_m", "bin_centers_type")
        return {name: getattr(self, name) for name in fields}


def parse_domain(text: str) -> Domain:
    """Reads `NAME?max_depth_m=80&weight=2&...`.

    Raises:
        ValueError: for an unknown option, a value out of range, or a name without a known range that gives none.
    """
    name, _, options = text.partition("?")
    values: dict[str, Any] = dict(KNOWN_DOMAINS.get(name, {}))
    kinds = {field.name: field.type for field in Domain.__dataclass_fields__.values() if field.name != "name"}
    for key, value in parse_qsl(options, keep_blank_values=True):
        if key not in kinds:
            raise ValueError(f"--domains {text!r} has the unknown option {key!r}; known are {', '.join(kinds)}.")
        try:
            values[key] = value if kinds[key] is str else kinds[key](value)  # type: ignore[operator]
        except ValueError:
            raise ValueError(f"--domains {text!r}: {key} is {value!r}; give a number.") from None
    if "max_depth_m" not in values:
        raise ValueError(f"domain {name!r} has no range; give one, such as --domains '{name}?max_depth_m=80'.")
    domain = Domain(name, **({"min_depth_m": 1e-3} | values))
    check_domains([domain.head()])
    if not 0 < domain.weight < float("inf") or not 0 <= domain.brightness < 1:
        raise ValueError(f"--domains {text!r}: give a positive weight, and a brightness of at least 0, below 1.")
    return domain


def parse_named_source(text: str, option: str) -> Source:
    """Reads `NAME=SOURCE`; the source's domain is the name.

    Raises:
        ValueError: without a name, or for a source that cannot be.
    """
    found = _NAME.fullmatch(text)
    if not found:
        raise ValueError(f"--{option} {text!r} has no domain; write NAME=SOURCE, such as indoor=rooms/*.parquet.")
    return replace(parse_source(found[2]), domain=found[1])


@dataclass
class MetricArguments(RunArguments):
    """Options of training/metric.py; defaults are ZoeDepth's, with Depth Anything's encoder rate."""

    output_dir: str = field(default="outputs/metric", metadata={"help": "Folder for weights, checkpoints and logs."})
    student: str | None = field(
        default=None,
        metadata={
            "help": "Relative model to stand on, or a metric one to go on with: Hub id or folder, ours or stock Depth "
            "Anything or ZoeDepth. Default: train a student on the built-in scenes first, into --student_dir."
        },
    )
    student_dir: str = field(default="outputs/student", metadata={"help": "Where a student of our own is kept."})
    train: list[str] = field(
        default_factory=lambda: ["indoor=scenes:indoor", "outdoor=scenes:outdoor"],
        metadata={"help": "Labeled sources with their domain: NAME=SOURCE[?option=value&...]."},
    )
    validation: list[str] = field(
        default_factory=list, metadata={"help": "Sources scored during training: NAME=SOURCE; none: no validation."}
    )
    domains: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Range, bins, weight in the batches and brightness change of a domain: 'NAME?min_depth_m=0.001&"
            "max_depth_m=80&n_bins=64&bin_centers_type=softplus|normed&weight=1&brightness=0.1'. "
            "indoor (to 10 m) and outdoor (to 80 m) are known; other names need a max_depth_m."
        },
    )
    metric_head: str = field(
        default="bins",
        metadata={
            "help": "bins: ZoeDepth's, one per domain. stock: Depth Anything V2's own (one domain), which plain "
            "transformers loads without custom code."
        },
    )
    epochs: float = field(default=5.0, metadata={"help": "Passes over the training set, where --steps is not given."})
    learning_rate: float = field(
        default=2.512e-4, metadata={"help": "Peak rate of the heads (ZoeDepth with one domain: 1.61e-4)."}
    )
    encoder_lr_factor: float = field(default=0.02, metadata={"help": "The encoder's rate over the heads'."})
    core_lr_factor: float = field(
        default=0.02, metadata={"help": "The rate of the core's decoder over the heads' (assumption)."}
    )
    router_lr_factor: float = field(
        default=1.0, metadata={"help": "The router's rate over the heads'; less where theirs is high."}
    )
    freeze_core: bool = field(default=False, metadata={"help": "Train the heads alone."})
    max_grad_norm: float = field(default=0.1, metadata={"help": "Gradients are clipped to this norm."})
    router_loss_weight: float = field(default=100.0, metadata={"help": "Of the router's cross-entropy beside SILog."})
    rotation_deg: float = field(default=1.0, metadata={"help": "Images are turned by up to this; 0: not at all."})
    color_augmentation: bool = field(default=True, metadata={"help": "Change gamma, brightness and colours a little."})
    bin_embedding_dim: int = field(
        default=128,
        metadata={"help": "Width of fresh heads (bin embeddings, projectors; seeds have twice as much)."},
    )
    router_hidden_size: int = field(default=128, metadata={"help": "Width of a fresh router."})

    def validate(self) -> None:
        """Checks every value; see [`RunArguments.validate`]."""
        super().validate()
        for name in (
            "encoder_lr_factor",
            "core_lr_factor",
            "router_lr_factor",
            "bin_embedding_dim",
            "router_hidden_size",
        ):
            check_positive(self, name)
        for name in ("router_loss_weight", "rotation_deg"):
            check_at_least(self, name, 0)
        if self.metric_head not in METRIC_HEADS:
            raise ValueError(f"--metric_head is {self.metric_head!r}; choose one of {', '.join(METRIC_HEADS)}.")
        if not self.train:
            raise ValueError("--train is empty; name at least one labeled source, such as indoor=rooms/*.parquet.")
        if self.student is not None and not self.student.strip():
            raise ValueError("--student is empty; give a Hub id or a folder, or leave it out.")
        names = [domain.name for domain in self.domain_list()]
        if self.metric_head == "stock" and len(names) > 1:
            raise ValueError(f"--metric_head stock has one domain, not {', '.join(names)}; train one, or take bins.")
        for source in self.validation_sources():
            if source.domain not in names:
                raise ValueError(
                    f"--validation {source.spec!r} is of domain {source.domain!r}, which --train has not; it has "
                    f"{', '.join(names)}."
                )
        self.augmentation()

    def train_sources(self) -> list[Source]:
        """The training sources, each with its domain."""
        return [parse_named_source(text, "train") for text in self.train]

    def validation_sources(self) -> list[Source]:
        """The validation sources, each with its domain."""
        return [parse_named_source(text, "validation") for text in self.validation]

    def domain_list(self) -> list[Domain]:
        """The domains in the order in which --train names them first; that is the order of the heads."""
        names = list(dict.fromkeys(str(source.domain) for source in self.train_sources()))
        given: dict[str, Domain] = {}
        for text in self.domains:
            domain = parse_domain(text)
            if domain.name in given:
                raise ValueError(f"--domains describes {domain.name!r} twice; give each domain once.")
            if domain.name not in names:
                raise ValueError(f"--domains describes {domain.name!r}, which --train has not; it has {names}.")
            given[domain.name] = domain
        return [given.get(name) or parse_domain(name) for name in names]

    def augmentation(self) -> MetricAugmentation:
        """The augmentation of the training images."""
        strength = MetricAugmentation.color if self.color_augmentation else 0.0
        return MetricAugmentation(rotation_deg=self.rotation_deg, gamma=strength, color=strength)


def source_weights(sources: Sequence[Source], domains: Sequence[Domain]) -> list[float]:
    """How often each source is drawn: its domain's weight, shared among the domain's sources by their sizes."""
    weights = [0.0] * len(sources)
    for domain in domains:
        members = [index for index, source in enumerate(sources) if source.domain == domain.name]
        sizes = natural_weights([sources[index] for index in members], labeled=True)
        for index, size in zip(members, sizes, strict=True):
            weights[index] = domain.weight * size / sum(sizes)
    return weights
