"""Models of semidepth. Importing this registers them with transformers' Auto classes.

The files of this folder are also the remote code that travels beside the weights: they import each other by flat
relative imports and nothing of `semidepth.training`.
"""

from transformers import AutoConfig, AutoModel, AutoModelForDepthEstimation

from .affine_invariant import affine_invariant_loss, affine_invariant_normalize
from .configuration_depth_student import DepthStudentConfig
from .modeling_depth_student import DepthStudentForDepthEstimation, DepthStudentOutput, encoder_features

AutoConfig.register(DepthStudentConfig.model_type, DepthStudentConfig)
AutoModel.register(DepthStudentConfig, DepthStudentForDepthEstimation)
AutoModelForDepthEstimation.register(DepthStudentConfig, DepthStudentForDepthEstimation)
# These make save_pretrained copy the code beside the weights.
DepthStudentConfig.register_for_auto_class()
DepthStudentForDepthEstimation.register_for_auto_class("AutoModelForDepthEstimation")

__all__ = [
    "DepthStudentConfig",
    "DepthStudentForDepthEstimation",
    "DepthStudentOutput",
    "affine_invariant_loss",
    "affine_invariant_normalize",
    "encoder_features",
]
