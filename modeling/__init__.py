"""Models of semidepth. Importing this registers them with transformers' Auto classes.

The files of this folder are also the remote code that travels beside the weights: they import each other by flat
relative imports and nothing of `semidepth.training`.
"""

from transformers import AutoConfig, AutoModel, AutoModelForDepthEstimation, AutoModelForMaskGeneration

from .affine_invariant import affine_invariant_loss, affine_invariant_normalize
from .configuration_depth_student import DepthStudentConfig
from .configuration_prompted_mask import PromptedMaskConfig
from .configuration_routed_depth import RoutedDepthConfig, check_domains
from .four_m.configuration_four_m import FourMConfig
from .four_m.configuration_modality_tokenizer import ModalityTokenizerConfig
from .four_m.modeling_four_m import FourMForAnyToAny, FourMForDepthEstimation, FourMOutput
from .four_m.modeling_modality_tokenizer import ModalityTokenizer, ModalityTokenizerOutput
from .losses import silog_loss
from .modeling_depth_student import DepthStudentForDepthEstimation, DepthStudentOutput, encoder_features
from .modeling_prompted_mask import PromptedMaskForMaskGeneration, PromptedMaskOutput
from .modeling_routed_depth import RoutedDepthForDepthEstimation, RoutedDepthOutput

for _config, _model, _auto in (
    (DepthStudentConfig, DepthStudentForDepthEstimation, AutoModelForDepthEstimation),
    (RoutedDepthConfig, RoutedDepthForDepthEstimation, AutoModelForDepthEstimation),
    (PromptedMaskConfig, PromptedMaskForMaskGeneration, AutoModelForMaskGeneration),
    (ModalityTokenizerConfig, ModalityTokenizer, AutoModel),
    (FourMConfig, FourMForAnyToAny, AutoModel),
):
    AutoConfig.register(_config.model_type, _config)
    AutoModel.register(_config, _model)
    if _auto is not AutoModel:
        _auto.register(_config, _model)
    # These make save_pretrained copy the code beside the weights.
    _config.register_for_auto_class()
    _model.register_for_auto_class(_auto.__name__)

# The same folder is a depth model, too.
AutoModelForDepthEstimation.register(FourMConfig, FourMForDepthEstimation)
FourMForDepthEstimation.register_for_auto_class(AutoModelForDepthEstimation.__name__)

__all__ = [
    "DepthStudentConfig",
    "DepthStudentForDepthEstimation",
    "DepthStudentOutput",
    "FourMConfig",
    "FourMForAnyToAny",
    "FourMForDepthEstimation",
    "FourMOutput",
    "ModalityTokenizer",
    "ModalityTokenizerConfig",
    "ModalityTokenizerOutput",
    "PromptedMaskConfig",
    "PromptedMaskForMaskGeneration",
    "PromptedMaskOutput",
    "RoutedDepthConfig",
    "RoutedDepthForDepthEstimation",
    "RoutedDepthOutput",
    "affine_invariant_loss",
    "affine_invariant_normalize",
    "check_domains",
    "encoder_features",
    "silog_loss",
]
