"""Options of `semidepth train metric`, and the parsing of domains and of sources with a domain."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl

from semidepth.common.option_checks import check_at_least, check_positive
from semidepth.common.options import option
from semidepth.data.source_spec import Source, parse_source
from semidepth.training.options.run import NO_VALIDATION, Keep, RunOptions

if TYPE_CHECKING:
    from semidepth.training.augmentation.metric import MetricAugmentation

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
    """One domain of a metric model, with the settings of its head and its training.

    Args:
        name: as in `--train NAME=SOURCE`.
        min_depth_m: nearest depth in metres; nearer labels are ignored.
        max_depth_m: farthest depth in metres; farther labels are ignored.
        n_bins: number of depth bins of its head.
        bin_centers_type: "softplus" (unbounded) or "normed" (within the range).
        weight: sampling rate of its images, relative to the other domains'.
        brightness: brightness factors in the augmentation are drawn from 1 - brightness to 1 + brightness.
    """

    name: str
    min_depth_m: float
    max_depth_m: float
    n_bins: int = 64
    bin_centers_type: str = "softplus"
    weight: float = 1.0
    brightness: float = 0.1

    def head(self) -> dict[str, Any]:
        """Returns the domain's entry in `RoutedDepthConfig.domains`."""
        fields = ("name", "n_bins", "min_depth_m", "max_depth_m", "bin_centers_type")
        return {name: getattr(self, name) for name in fields}


def parse_domain(text: str, heads: Mapping[str, Mapping[str, Any]] | None = None) -> Domain:
    """Parses `NAME?max_depth_m=80&weight=2&...` into a domain.

    Args:
        text: as in --domains, or a name alone.
        heads: settings of the heads of an existing metric model, by domain; options may not change them.

    Raises:
        ValueError: for an unknown option, a value out of range, an unknown domain without max_depth_m, or a setting
            that differs from the model's head.
    """
    from semidepth.modeling import check_domains  # takes seconds

    name, _, options = text.partition("?")
    kinds: dict[str, Callable[[str], Any]] = {
        "min_depth_m": float, "max_depth_m": float, "n_bins": int, "bin_centers_type": str, "weight": float,
        "brightness": float,
    }  # fmt: skip
    given: dict[str, Any] = {}
    for key, value in parse_qsl(options, keep_blank_values=True):
        if key not in kinds:
            raise ValueError(f"--domains {text!r} has the unknown option {key!r}; choose from {', '.join(kinds)}.")
        try:
            given[key] = kinds[key](value)
        except ValueError:
            whole = "whole " if key == "n_bins" else ""
            raise ValueError(f"--domains {text!r}: {key} is {value!r}; give a {whole}number.") from None
    head = dict((heads or {}).get(name, {}))
    differing = [f"{key} {head[key]}" for key in given if key in head and head[key] != given[key]]
    if differing:
        raise ValueError(
            f"--domains {text!r} differs from the model's head, which has {', '.join(differing)}; leave that option "
            "out."
        )
    values = {"min_depth_m": 1e-3} | KNOWN_DOMAINS.get(name, {}) | given | head
    if "max_depth_m" not in values:
        raise ValueError(f"domain {name!r} has no depth range; give one, such as --domains '{name}?max_depth_m=80'.")
    values["name"] = name
    domain = Domain(**values)
    check_domains([domain.head()])
    if not 0 < domain.weight < math.inf or not 0 <= domain.brightness < 1:
        raise ValueError(
            f"--domains {text!r} has weight {domain.weight} and brightness {domain.brightness}; give a positive "
            "weight, and a brightness of at least 0 and below 1."
        )
    return domain


def parse_named_source(text: str, option: str) -> Source:
    """Parses `NAME=SOURCE` into a source of the domain NAME.

    Raises:
        ValueError: if the name is missing or the source is invalid.
    """
    found = _NAME.fullmatch(text)
    if not found:
        raise ValueError(f"--{option} {text!r} has no domain; write NAME=SOURCE, such as indoor=rooms/*.parquet.")
    source = parse_source(found[2])
    if source.invariant is not None:
        raise ValueError(
            f"--{option} {text!r} has labels without metres (invariant={source.invariant}); metric models learn metres."
        )
    return replace(source, domain=found[1])


@dataclass(frozen=True, kw_only=True)
class MetricOptions(RunOptions):
    """Options of `semidepth train metric`; defaults are ZoeDepth's, with Depth Anything's encoder learning rate."""

    output_dir: str = option("outputs/metric", help="Folder for weights, checkpoints and logs.")
    student: str | None = option(
        None,
        help="Model to start from, relative or metric: Hub id or folder of a semidepth, stock Depth Anything or "
        "ZoeDepth model. Default: a student trained first on the built-in scenes, in --student_dir.",
    )
    student_dir: str = option("outputs/student", help="Folder of the student that is trained first without --student.")
    train: tuple[str, ...] = option(
        ("indoor=scenes:indoor", "outdoor=scenes:outdoor"),
        help="Labeled sources to train on, each with its domain: NAME=SOURCE[?option=value&...].",
    )
    validation: tuple[str, ...] = option(
        (),
        help="Labeled sources scored during training, each with its domain: NAME=SOURCE; none: no validation. Default: "
        "a fixed twentieth of each source of --train, by whole scenes or folders where it has them, is held out.",
    )
    keep: Keep = option(
        "best",
        help="Weights to end with: of the best validation (mean AbsRel over its domains, by the router's heads), or of "
        "the last step.",
    )
    router_images: tuple[str, ...] = option(
        (),
        help="Images without depth, each source with its domain: NAME=SOURCE. They teach the router alone, one for two "
        "labeled images: what a domain looks like beyond its labels, such as real streets beside rendered ones.",
    )
    domains: tuple[str, ...] = option(
        (),
        help="Depth range, bins, sampling weight and brightness augmentation of a domain: 'NAME?min_depth_m=0.001&"
        "max_depth_m=80&n_bins=64&bin_centers_type=softplus|normed&weight=1&brightness=0.1'. "
        "indoor (up to 10 m) and outdoor (up to 80 m) have default ranges; other names need max_depth_m. A domain's "
        "share of the loss is its share of the images.",
    )
    metric_head: MetricHead = option(
        "bins",
        help="Kind of head. bins: ZoeDepth's head, one for each domain. stock: Depth Anything V2's metric head for "
        "one domain, which transformers loads without custom code.",
    )
    epochs: float = option(5.0, help="Passes over the training set; --steps overrides it.")
    learning_rate: float = option(
        2.512e-4, help="Peak learning rate of the heads (ZoeDepth uses 1.61e-4 with one domain)."
    )
    encoder_lr_factor: float = option(0.02, help="Ratio of the encoder's learning rate to the heads'.")
    core_lr_factor: float = option(
        0.02, help="Ratio of the learning rate of the core's decoder to the heads' (assumption)."
    )
    router_lr_factor: float = option(
        1.0, help="Ratio of the router's learning rate to the heads'; give less where --learning_rate is high."
    )
    freeze_core: bool = option(
        False, help="Freeze the pretrained core and train only heads and router (with the stock head: all but the "
        "encoder)."
    )  # fmt: skip
    max_grad_norm: float = option(0.1, help="Clip gradients to this norm.")
    router_loss_weight: float = option(100.0, help="Weight of the router's cross-entropy in the loss; SILog has 1.")
    rotation_deg: float = option(1.0, help="Largest random rotation of training images, in degrees; 0 for none.")
    color_augmentation: bool = option(
        True, help="Change gamma, brightness and colours of training images a little, at random."
    )
    bin_embedding_dim: int = option(
        128, help="Width of bin embeddings and projectors in new heads; bin seeds have twice this width."
    )
    router_hidden_size: int = option(128, help="Width of a new router.")

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
            self.domain_list()  # with --student, ranges that the options lack may come from its heads
        for factor in ("encoder_lr_factor", "core_lr_factor", "router_lr_factor"):
            if self.learning_rate * getattr(self, factor) > 1:
                raise ValueError(
                    f"--learning_rate {self.learning_rate} times --{factor} {getattr(self, factor)} is above 1; "
                    "training would diverge, give smaller values."
                )
        if self.metric_head == "stock":
            self._check_stock_head()
        for kind, sources in (
            ("validation", self.validation_sources() or ()),
            ("router_images", self.router_sources()),
        ):
            for source in sources:
                if source.domain not in names:
                    raise ValueError(
                        f"--{kind} {source.spec!r} has the domain {source.domain!r}, which is not in --train; choose "
                        f"from {', '.join(names)}."
                    )
        if self.router_images and len(names) < 2:
            raise ValueError(
                f"--router_images teach a router, and --train has one domain ({names[0]}); leave them out, or give a "
                "second domain."
            )
        self.augmentation()

    def train_sources(self) -> list[Source]:
        """Returns the training sources, each with its domain."""
        return [parse_named_source(text, "train") for text in self.train]

    def divided_sources(self) -> tuple[str, ...]:
        return tuple(source.spec for source in self.train_sources())

    def validation_sources(self) -> list[Source] | None:
        """Returns the validation sources that are named, each with its domain; None: a part is held out."""
        if not self.validation:
            return None
        named = () if self.validation == NO_VALIDATION else self.validation
        return [parse_named_source(text, "validation") for text in named]

    def router_sources(self) -> list[Source]:
        """Returns the sources of images for the router alone, each with its domain."""
        return [parse_named_source(text, "router_images") for text in self.router_images]

    def domain_names(self) -> list[str]:
        """Returns the names of the domains, in the order of their first appearance in --train."""
        names = list(dict.fromkeys(str(source.domain) for source in self.train_sources()))
        described = [text.partition("?")[0] for text in self.domains]
        for name in described:
            if described.count(name) > 1:
                raise ValueError(f"--domains has {name!r} twice; give each domain once.")
            if name not in names:
                raise ValueError(f"--domains has {name!r}, which is not in --train; choose from {', '.join(names)}.")
        return names

    def domain_list(self, heads: Mapping[str, Mapping[str, Any]] | None = None) -> list[Domain]:
        """Returns the domains, in the order of the heads.

        Args:
            heads: settings of the heads of an existing metric model, by domain and in its order; None for new heads,
                in the order of --train.
        """
        described = {text.partition("?")[0]: text for text in self.domains}
        names = self.domain_names() if heads is None else list(heads)
        return [parse_domain(described.get(name, name), heads) for name in names]

    def _check_stock_head(self) -> None:
        domains = self.domain_list()
        if len(domains) > 1:
            names = ", ".join(domain.name for domain in domains)
            raise ValueError(
                f"--metric_head stock needs exactly one domain and --train has {names}; give one domain, or "
                "--metric_head bins."
            )
        if not float(domains[0].max_depth_m).is_integer():
            raise ValueError(
                f"--metric_head stock needs a max_depth_m in whole metres, not {domains[0].max_depth_m}; round it up."
            )

    def augmentation(self) -> "MetricAugmentation":
        """Returns the augmentation of the training images."""
        from semidepth.training.augmentation.metric import MetricAugmentation  # takes seconds

        strength = MetricAugmentation.color if self.color_augmentation else 0.0
        return MetricAugmentation(rotation_deg=self.rotation_deg, gamma=strength, color=strength)
