"""The model that metric training starts from: heads on a student, a metric checkpoint to go on with, a stock head."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.training.engine.arguments import PRESETS, read_yaml
from semidepth.training.engine.depth_models import Preprocessing, first_line, preprocessing_of
from semidepth.training.engine.metric_arguments import Domain, MetricArguments
from semidepth.training.engine.student_arguments import StudentArguments

logger = logging.getLogger(__name__)

RELATIVE_TYPES = ("depth_student", "depth_anything")


def resolve_student(arguments: MetricArguments, train_student: Callable[[StudentArguments], Any]) -> str:
    """The model to stand on: the one named, the one kept from before, or one trained on the built-in scenes first.

    Args:
        arguments: of the metric command.
        train_student: the student's command.
    """
    if arguments.student is not None:
        return arguments.student
    folder = Path(arguments.student_dir)
    if (folder / "model.safetensors").is_file():
        logger.info("no --student given: using the one in %s", folder)
        return str(folder)
    logger.info("no --student given: training one on the built-in scenes first, into %s", folder)
    preset = read_yaml(PRESETS / "student_scenes.yaml", StudentArguments)
    own = {"output_dir": str(folder), "seed": arguments.seed, "cpu": arguments.cpu}
    train_student(StudentArguments(**(preset | own)))
    return str(folder)


def check_student(name: str, arguments: MetricArguments) -> PreTrainedConfig:
    """Reads the configuration of the model to stand on.

    Raises:
        ValueError: if there is none, or it does not fit the options.
    """
    try:
        config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"--student {name!r} could not be loaded ({first_line(error)}); give a Hub id or a folder of a depth model."
        ) from error
    names = [domain.name for domain in arguments.domain_list()]
    metric = getattr(config, "depth_estimation_type", "relative") == "metric"
    if config.model_type in RELATIVE_TYPES:
        if metric and arguments.metric_head != "stock":
            raise ValueError(f"--student {name!r} predicts metres already; add --metric_head stock to go on with it.")
    elif config.model_type not in ("routed_depth", "zoedepth"):
        raise ValueError(
            f"--student {name!r} is a {config.model_type} model; give a depth student, Depth Anything, a routed depth "
            "model or ZoeDepth."
        )
    elif arguments.metric_head == "stock":
        raise ValueError(f"--metric_head stock needs a student or Depth Anything, and --student {name!r} is neither.")
    else:
        heads = config.domains if config.model_type == "routed_depth" else config.bin_configurations
        theirs = [head["name"] for head in heads]
        if sorted(theirs) != sorted(names):
            raise ValueError(
                f"--student {name!r} has heads for {', '.join(theirs)} and --train names {', '.join(names)}; name "
                "the same domains."
            )
    return config


def resolve_metric_preprocessing(name: str, config: PreTrainedConfig, arguments: MetricArguments) -> Preprocessing:
    """How the model to stand on wants its pixels, at --size where that is given.

    Raises:
        ValueError: for a size that is no multiple of the patch size.
    """
    found = preprocessing_of(name, config)
    size = arguments.size or found.size
    if size % found.multiple:
        near = [max(1, size // found.multiple) * found.multiple, (size // found.multiple + 1) * found.multiple]
        raise ValueError(
            f"--size {size} is not a multiple of the model's {found.multiple}; take {near[0]} or {near[1]}."
        )
    return replace(found, size=size)


def make_metric_model(
    name: str, config: PreTrainedConfig, arguments: MetricArguments
) -> tuple[PreTrainedModel, list[Domain], bool]:
    """Loads what training starts from.

    Args:
        name: Hub id or folder, checked by [`check_student`].
        config: its configuration.
        arguments: of the command.

    Returns:
        The model, its domains in the order of its heads, and whether its heads are fresh.

    Raises:
        ValueError: if the weights cannot be loaded, or --domains gives a head another range than it has.
    """
    domains = arguments.domain_list()
    try:
        if arguments.metric_head == "stock":
            return make_stock_metric(name, config, domains[0]), domains, True
        if config.model_type in RELATIVE_TYPES:
            student = DepthStudentForDepthEstimation.from_pretrained(name, use_safetensors=True)
            width = arguments.bin_embedding_dim
            model = RoutedDepthForDepthEstimation.from_student(
                student,
                [domain.head() for domain in domains],
                bin_embedding_dim=width,
                projector_hidden_size=width,
                seed_hidden_size=2 * width,
                router_hidden_size=arguments.router_hidden_size,
                router_loss_weight=arguments.router_loss_weight,
            )
            return model, domains, True
        if config.model_type == "zoedepth":
            model = RoutedDepthForDepthEstimation.from_zoedepth(name)
        else:
            model = RoutedDepthForDepthEstimation.from_pretrained(name, use_safetensors=True)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"--student {name!r} could not be loaded ({first_line(error)}); give a whole one.") from error
    return model, heads_as_domains(model, domains, described=bool(arguments.domains)), False


def make_stock_metric(name: str, config: PreTrainedConfig, domain: Domain) -> DepthStudentForDepthEstimation:
    """Depth Anything V2's metric model: sigmoid times the largest depth, as its authors fine-tune it.

    From a relative checkpoint only the encoder is taken and the decoder starts fresh, as in the released code; a metric
    one goes on whole.
    """
    student = DepthStudentForDepthEstimation.from_pretrained(name, use_safetensors=True)
    if student.head.metric:
        if student.head.max_depth != domain.max_depth_m:
            raise ValueError(
                f"--student {name!r} predicts up to {student.head.max_depth} m and domain {domain.name!r} reaches to "
                f"{domain.max_depth_m}; add --domains '{domain.name}?max_depth_m={student.head.max_depth}'."
            )
        return student
    fields = student.config.to_dict() | {"depth_estimation_type": "metric", "max_depth": domain.max_depth_m}
    model = DepthStudentForDepthEstimation(type(student.config)(**fields))
    model.backbone.load_state_dict(student.backbone.state_dict())
    return model


def heads_as_domains(
    model: RoutedDepthForDepthEstimation, domains: Sequence[Domain], *, described: bool
) -> list[Domain]:
    """The domains in the order of a checkpoint's heads, with the heads' own ranges and bins.

    Raises:
        ValueError: if a range was asked for that the head has not.
    """
    by_name = {domain.name: domain for domain in domains}
    ordered = []
    for head in model.config.domains or []:
        domain = by_name[head["name"]]
        if described and (domain.min_depth_m, domain.max_depth_m) != (head["min_depth_m"], head["max_depth_m"]):
            raise ValueError(
                f"--domains gives {domain.name!r} the range {domain.min_depth_m} to {domain.max_depth_m} m and the "
                f"checkpoint's head has {head['min_depth_m']} to {head['max_depth_m']} m; take the head's."
            )
        ordered.append(replace(domain, **head))
    return ordered
