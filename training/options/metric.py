"""Options of training/metric.py, and what is said about a domain in them."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import parse_qsl

from semidepth.common.options import option
from semidepth.data.source_spec import Source, parse_source
from semidepth.data.streaming.stream import natural_weights
from semidepth.modeling import check_domains
from semidepth.training.augmentation.metric import MetricAugmentation
from semidepth.training.options.run import RunOptions, check_at_least, check_positive

# Depth ranges of NYU Depth v2 and KITTI, and ZoeDepth's brightness change on each (arXiv 2302.12288).
KNOWN_DOMAINS: dict[str, dict[str, float]] = {
    "indoor": {"min_depth_m": 1e-3, "max_depth_m": 10.0, "brightness": 0.25},
    "outdoor": {"min_depth_m": 1e-3, "max_depth_m": 80.0, "brightness": 0.1},
}
KNOWN_DOMAINS |= {"nyu": KNOWN_DOMAINS["indoor"], "kitti": KNOWN_DOMAINS["outdoor"]}  # ZoeDepth's own names
MetricHead = Literal["bins", "stock"]
_NAME = re.compile(r"([A-Za-z][\w.-]*)=(.+)", re.DOTALL)


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


def parse_domain(text: str, heads: Mapping[str, Mapping[str, Any]] | None = None) -> Domain:
    """Reads `NAME?max_depth_m=80&weight=2&...`.

    Args:
        text: as in --domains, or a name alone.
        heads: what a metric checkpoint's heads are, by domain; they are not changed.

    Raises:
        ValueError: for an unknown option, a value out of range, a name that has no known range and gives none, or
            another head than the checkpoint's.
    """
    name, _, options = text.partition("?")
    kinds: dict[str, Callable[[str], Any]] = {
        "min_depth_m": float, "max_depth_m": float, "n_bins": int, "bin_centers_type": str, "weight": float,
        "brightness": float,
    }  # fmt: skip
    given: dict[str, Any] = {}
    for key, value in parse_qsl(options, keep_blank_values=True):
        if key not in kinds:
            raise ValueError(f"--domains {text!r} has the unknown option {key!r}; known are {', '.join(kinds)}.")
        try:
            given[key] = kinds[key](value)
        except ValueError:
            whole = "whole " if key == "n_bins" else ""
            raise ValueError(f"--domains {text!r}: {key} is {value!r}; give a {whole}number.") from None
    head = dict((heads or {}).get(name, {}))
    differing = [f"{key} {head[key]}" for key in given if key in head and head[key] != given[key]]
    if differing:
        raise ValueError(f"--domains {text!r} and the checkpoint's head has {', '.join(differing)}; leave that out.")
    values = {"min_depth_m": 1e-3} | KNOWN_DOMAINS.get(name, {}) | given | head
    if "max_depth_m" not in values:
        raise ValueError(f"domain {name!r} has no range; give one, such as --domains '{name}?max_depth_m=80'.")
    values["name"] = name
    domain = Domain(**values)
    check_domains([domain.head()])
    if not 0 < domain.weight < math.inf or not 0 <= domain.brightness < 1:
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


@dataclass(frozen=True, kw_only=True)
class MetricOptions(RunOptions):
    """Options of training/metric.py; defaults are ZoeDepth's, with Depth Anything's encoder rate."""

    output_dir: str = option("outputs/metric", help="Folder for weights, checkpoints and logs.")
    student: str | None = option(
        None,
        help="Relative model to stand on, or a metric one to go on with: Hub id or folder, ours or stock Depth "
        "Anything or ZoeDepth. Default: train a student on the built-in scenes first, into --student_dir.",
    )
    student_dir: str = option("outputs/student", help="Where a student of our own is kept.")
    train: tuple[str, ...] = option(
        ("indoor=scenes:indoor", "outdoor=scenes:outdoor"),
        help="Labeled sources with their domain: NAME=SOURCE[?option=value&...].",
    )
    validation: tuple[str, ...] = option((), help="Sources scored during training: NAME=SOURCE; none: no validation.")
    domains: tuple[str, ...] = option(
        (),
        help="Range, bins, weight in the batches and brightness change of a domain: 'NAME?min_depth_m=0.001&"
        "max_depth_m=80&n_bins=64&bin_centers_type=softplus|normed&weight=1&brightness=0.1'. "
        "indoor (to 10 m) and outdoor (to 80 m) are known; other names need a max_depth_m. A domain's part in the "
        "loss is that of its images in the batches.",
    )
    metric_head: MetricHead = option(
        "bins",
        help="bins: ZoeDepth's, one per domain. stock: Depth Anything V2's own (one domain), which plain "
        "transformers loads without custom code.",
    )
    epochs: float = option(5.0, help="Passes over the training set, where --steps is not given.")
    learning_rate: float = option(2.512e-4, help="Peak rate of the heads (ZoeDepth with one domain: 1.61e-4).")
    encoder_lr_factor: float = option(0.02, help="The encoder's rate over the heads'.")
    core_lr_factor: float = option(0.02, help="The rate of the core's decoder over the heads' (assumption).")
    router_lr_factor: float = option(1.0, help="The router's rate over the heads'; less where theirs is high.")
    freeze_core: bool = option(False, help="Train the heads alone (with the stock head: all but the encoder).")
    max_grad_norm: float = option(0.1, help="Gradients are clipped to this norm.")
    router_loss_weight: float = option(100.0, help="Of the router's cross-entropy beside SILog.")
    rotation_deg: float = option(1.0, help="Images are turned by up to this; 0: not at all.")
    color_augmentation: bool = option(True, help="Change gamma, brightness and colours a little.")
    bin_embedding_dim: int = option(
        128, help="Width of fresh heads (bin embeddings, projectors; seeds have twice as much)."
    )
    router_hidden_size: int = option(128, help="Width of a fresh router.")

    def __post_init__(self) -> None:
        """Checks every value; see [`RunOptions`]."""
        super().__post_init__()
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
        if not self.train:
            raise ValueError("--train is empty; name at least one labeled source, such as indoor=rooms/*.parquet.")
        if self.student is not None and not self.student.strip():
            raise ValueError("--student is empty; give a Hub id or a folder, or leave it out.")
        names = self.domain_names()
        if self.student is None:
            self.domain_list()  # else the checkpoint may know ranges that the options do not give
        for factor in ("encoder_lr_factor", "core_lr_factor", "router_lr_factor"):
            if self.learning_rate * getattr(self, factor) > 1:
                raise ValueError(f"--learning_rate times --{factor} is above 1; training would diverge, give less.")
        if self.metric_head == "stock":
            self._check_stock_head()
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

    def domain_names(self) -> list[str]:
        """Names of the domains in the order in which --train names them first."""
        names = list(dict.fromkeys(str(source.domain) for source in self.train_sources()))
        described = [text.partition("?")[0] for text in self.domains]
        for name in described:
            if described.count(name) > 1:
                raise ValueError(f"--domains describes {name!r} twice; give each domain once.")
            if name not in names:
                raise ValueError(f"--domains describes {name!r}, which --train has not; it has {', '.join(names)}.")
        return names

    def domain_list(self, heads: Mapping[str, Mapping[str, Any]] | None = None) -> list[Domain]:
        """The domains in the order of the heads.

        Args:
            heads: those of a metric checkpoint, by domain and in its order; None: fresh ones, as --train has them.
        """
        described = {text.partition("?")[0]: text for text in self.domains}
        names = self.domain_names() if heads is None else list(heads)
        return [parse_domain(described.get(name, name), heads) for name in names]

    def _check_stock_head(self) -> None:
        domains = self.domain_list()
        if len(domains) > 1:
            names = ", ".join(domain.name for domain in domains)
            raise ValueError(f"--metric_head stock has one domain, not {names}; train one, or take bins.")
        if not float(domains[0].max_depth_m).is_integer():
            raise ValueError(
                f"--metric_head stock reaches to whole metres, not {domains[0].max_depth_m}; round max_depth_m up."
            )

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
