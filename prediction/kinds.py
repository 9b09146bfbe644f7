"""What a model of a given configuration predicts; light to import, for commands that only look."""

from typing import Any, Literal

Kind = Literal["disparity", "depth"]
# What `predicted_depth` is, by model type. Depth Anything says in its configuration when it is metric. DPT does not:
# its published checkpoints are relative, a metric one has to be told. Other types have to be told, too.
DISPARITY_MODEL_TYPES = {"depth_student", "depth_anything", "dpt"}
DEPTH_MODEL_TYPES = {"routed_depth", "zoedepth", "glpn"}


def kind_of(config: Any) -> Kind | None:
    """What a model of this configuration predicts, None where it is not known."""
    if config.model_type == "depth_pro":  # without its field of view there is no scale
        return "depth" if getattr(config, "use_fov_model", False) else "disparity"
    if getattr(config, "depth_estimation_type", "relative") == "metric":
        return "depth"
    if config.model_type in DISPARITY_MODEL_TYPES:
        return "disparity"
    return "depth" if config.model_type in DEPTH_MODEL_TYPES else None
