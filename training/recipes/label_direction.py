"""Check of the direction of other tools' maps before a student learns from them, and the model it uses."""

import logging

import torch

from semidepth.data.source_spec import parse_source
from semidepth.evaluation.labels.direction import check_direction
from semidepth.prediction.models import load_depth_model
from semidepth.prediction.shipped.folder import shipped_names
from semidepth.training.options.student import StudentOptions

logger = logging.getLogger(__name__)


def check_pseudo_labels(options: StudentOptions, device: torch.device) -> None:
    """Checks the direction of other tools' maps with the model of --start, else with the one that is installed.

    Raises:
        ValueError: if maps clearly run against the prediction.
    """
    written = [parse_source(spec) for spec in options.pseudo_labels]
    sources = [source for source in written if source.kind is not None and source.format != "scenes"]
    if not sources or not options.check_direction:
        return
    name = options.start or next(iter(shipped_names()), None)
    if name is None:
        logger.warning(
            "maps are read as kind= says, and nothing checks it: there is no model to compare them with; give --start"
        )
        return
    check_direction(sources, load_depth_model(name, device=device), name)
