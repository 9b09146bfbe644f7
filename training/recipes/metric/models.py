"""Loading of the model that metric training starts from: a relative model with new heads, or a metric model."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedConfig, PreTrainedModel, ZoeDepthConfig, ZoeDepthForDepthEstimation

from semidepth.common.console import first_line
from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.modeling.depth_cores import config_of_zoedepth
from semidepth.prediction.checkpoints import load_config, refuse_pickled
from semidepth.prediction.preprocessing import Preprocessing, check_size, preprocessing_of
from semidepth.prediction.shipped.folder import find_model
from semidepth.training.options.masks import MaskOptions
from semidepth.training.options.metric import Domain, MetricOptions
from semidepth.training.options.presets import read_preset
from semidepth.training.options.student import StudentOptions
from semidepth.training.recipes.start import RELATIVE_TYPES, load_whole
from semidepth.training.recipes.student import train_on_all

logger = logging.getLogger(__name__)


def resolve_student(options: MetricOptions | MaskOptions) -> str:
    """Returns the model to start from: --student, or the one in --student_dir, which is trained first if missing."""
    if options.student is not None:
        return options.student
    folder = Path(options.student_dir)
    if (folder / "model.safetensors").is_file():
        logger.info("no --student given: using the one in %s", folder)
        return str(folder)
    logger.info("no --student given: training one on the built-in scenes first, into %s", folder)
    preset = read_preset("student_scenes", StudentOptions)
    # accelerate allows one precision per process, so the student is trained in the precision of this command.
    own = {
        "output_dir": str(folder), "seed": options.seed, "cpu": options.cpu,
        "mixed_precision": options.mixed_precision,
    }  # fmt: skip
    train_on_all(StudentOptions(**(preset | own)))
    return str(folder)


def check_student(name: str, options: MetricOptions) -> PreTrainedConfig:
    """Reads and checks the configuration of the model to start from.

    Raises:
        ValueError: if it cannot be loaded, or does not fit the options.
    """
    refuse_pickled(name)
    place = find_model(name)
    try:
        config = load_config(place)
    except (OSError, ValueError, KeyError, StrictDataclassError) as error:
        raise ValueError(
            f"--student {name!r} could not be loaded ({first_line(error)}); give a Hub id or a folder of a depth model."
        ) from error
    names = options.domain_names()
    metric = getattr(config, "depth_estimation_type", "relative") == "metric"
    if config.model_type in RELATIVE_TYPES:
        if metric and options.metric_head != "stock":
            raise ValueError(
                f"--student {name!r} predicts metres already; add --metric_head stock to continue its training."
            )
        options.domain_list()
    elif config.model_type not in ("routed_depth", "zoedepth"):
        raise ValueError(
            f"--student {name!r} is a {config.model_type} model; give a semidepth student, Depth Anything, a routed "
            "depth model or ZoeDepth."
        )
    elif options.metric_head == "stock":
        raise ValueError(
            f"--metric_head stock needs a semidepth student or Depth Anything, and --student {name!r} is a "
            f"{config.model_type} model; give another --student, or --metric_head bins."
        )
    else:
        heads = heads_of(config)
        if not set(names) <= set(heads):
            raise ValueError(
                f"--student {name!r} has heads for {', '.join(heads)} and --train has {', '.join(names)}; give --train "
                "with these domains, or some of them."
            )
        options.domain_list(heads)
    return config


def resolve_metric_preprocessing(name: str, config: PreTrainedConfig, options: MetricOptions) -> Preprocessing:
    """Returns the preprocessing of the model to start from, with --size if given.

    Raises:
        ValueError: if the size is not a multiple of the patch size.
    """
    found = preprocessing_of(name, config)
    size = options.size or found.size
    check_size(size, found.multiple, "the model's")
    return replace(found, size=size)


def make_metric_model(
    name: str, config: PreTrainedConfig, options: MetricOptions
) -> tuple[PreTrainedModel, list[Domain], bool]:
    """Returns the model that training starts from.

    Args:
        name: Hub id or folder, checked by [`check_student`].
        config: its configuration.
        options: the command's options.

    Returns:
        The model; its domains, in the order of its heads; and true if it has new bin heads on a relative model.

    Raises:
        ValueError: if the weights cannot be loaded or are incomplete.
    """
    if config.model_type in RELATIVE_TYPES:
        student = load_whole(DepthStudentForDepthEstimation, name, "--student")
        domains = options.domain_list()
        if options.metric_head == "stock":
            return make_stock_metric(name, student, domains[0]), domains, False
        width = options.bin_embedding_dim
        model = RoutedDepthForDepthEstimation.from_student(
            student,
            [domain.head() for domain in domains],
            bin_embedding_dim=width,
            projector_hidden_size=width,
            seed_hidden_size=2 * width,
            router_hidden_size=options.router_hidden_size,
            router_loss_weight=options.router_loss_weight,
        )
        return model, domains, True
    if config.model_type == "zoedepth":
        model = RoutedDepthForDepthEstimation.from_zoedepth(load_whole(ZoeDepthForDepthEstimation, name, "--student"))
    else:
        model = load_whole(RoutedDepthForDepthEstimation, name, "--student")
    return model, options.domain_list(heads_of(model.config)), False


def heads_of(config: PreTrainedConfig) -> dict[str, dict[str, Any]]:
    """Returns the heads of a metric model, ours or ZoeDepth's: domain -> its entry in `RoutedDepthConfig.domains`."""
    routed = config_of_zoedepth(config) if isinstance(config, ZoeDepthConfig) else config
    return {head["name"]: head for head in routed.domains}


def freeze_untrained(model: Any, domains: Sequence[Domain], options: MetricOptions) -> bool:
    """Freezes what a run on some of a metric model's domains does not train, and returns true if the router trains.

    The heads of the other domains and the router keep their weights. The maps that all heads share are trained, unless
    the core is frozen: then these are, too, and the other domains' predictions stay exactly as they were.

    Args:
        model: the model, ours with bin heads.
        domains: its domains, in the order of its heads.
        options: the command's options.
    """
    trained = options.domain_names()
    if options.metric_head == "stock" or set(trained) == {domain.name for domain in domains}:
        return True
    for domain, head in zip(domains, model.heads, strict=True):
        head.requires_grad_(domain.name in trained)
    model.router.requires_grad_(False)
    if options.freeze_core:
        for shared in (model.bottleneck, model.seed_projector, model.projectors):
            shared.requires_grad_(False)
    rest = ", ".join(domain.name for domain in domains if domain.name not in trained)
    kept = "their predictions stay as they are" if options.freeze_core else "add --freeze_core to keep predictions, too"
    logger.info("--train has no %s: the heads of these domains and the router keep their weights; %s", rest, kept)
    return False


def make_stock_metric(
    name: str, student: DepthStudentForDepthEstimation, domain: Domain
) -> DepthStudentForDepthEstimation:
    """Returns Depth Anything V2's metric model, whose output is a sigmoid times the largest depth in metres.

    From a relative model only the encoder is used and the decoder starts with random weights, as in the authors'
    released code. A metric model keeps all its weights.

    Raises:
        ValueError: if a metric model has another largest depth than the domain.
    """
    if student.head.metric:
        if student.head.max_depth != domain.max_depth_m:
            raise ValueError(
                f"--student {name!r} predicts up to {student.head.max_depth} m and domain {domain.name!r} goes up to "
                f"{domain.max_depth_m} m; add --domains '{domain.name}?max_depth_m={student.head.max_depth}'."
            )
        return student
    fields = student.config.to_dict() | {"depth_estimation_type": "metric", "max_depth": domain.max_depth_m}
    model = DepthStudentForDepthEstimation(type(student.config)(**fields))
    model.backbone.load_state_dict(student.backbone.state_dict())
    return model
