"""Configuration of the depth student: stock Depth Anything's fields under a model type of our own."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import DepthAnythingConfig

# Remote code: save_pretrained writes the entry of AutoModelForDepthEstimation by itself; AutoModel's must be named.
AUTO_MAP = {"AutoModel": "modeling_depth_student.DepthStudentForDepthEstimation"}
# Stock checkpoints carry this model type; their fields are ours, so they are read without a conversion step.
STOCK_MODEL_TYPE = "depth_anything"
# Decoder sizes by encoder width, as the stock checkpoints of Depth Anything S, B and L (and G) have them:
# (neck_hidden_sizes, fusion_hidden_size).
DECODER_SIZES = {
    384: ([48, 96, 192, 384], 64),
    768: ([96, 192, 384, 768], 128),
    1024: ([256, 512, 1024, 1024], 256),
    1536: ([1536, 1536, 1536, 1536], 384),
}


def as_pair(size: Any) -> tuple[int, int]:
    """A size given as one number or as (height, width), as (height, width)."""
    return (int(size), int(size)) if isinstance(size, (int, float)) else (int(size[0]), int(size[1]))


@strict
class DepthStudentConfig(DepthAnythingConfig):
    """Configuration of [`DepthStudentForDepthEstimation`]: an encoder (`backbone_config`) and a DPT decoder.

    Every field is stock `DepthAnythingConfig`'s, with its meaning and its default (ViT-S/14, the size of
    Depth-Anything-V2-Small), so a stock `config.json` is a valid student configuration and the way back is a
    change of `model_type`.

    Args:
        backbone_config: configuration (or its dict) of any backbone that `AutoBackbone` knows and whose features
            are patch tokens on one grid: DINOv2, DINOv2 with registers, DINOv3 ViT. Default: DINOv2 ViT-S/14.
        patch_size: pixels per patch side; must be the backbone's.
        reassemble_hidden_size: channels of the encoder's tokens.
        reassemble_factors: up- or down-sampling of each of the backbone's feature maps, first to last.
        neck_hidden_sizes: channels of each feature map after re-assembling.
        fusion_hidden_size: channels of the decoder.
        head_hidden_size: channels before the last convolution.
        depth_estimation_type: "relative" (inverse depth, larger is nearer, no unit) or "metric" (metres, larger
            is farther; only to run stock metric checkpoints).
        max_depth: largest depth in metres of a "metric" checkpoint; 1 for "relative".

    Raises:
        ValueError: if the decoder's sizes do not fit the backbone's.
    """

    model_type = "depth_student"
    # Stock asks for `int | None`, which turns a metric checkpoint trained to 10.5 m away.
    max_depth: int | float | None = 1  # type: ignore[assignment]

    def __post_init__(self, **kwargs):
        self.auto_map = AUTO_MAP | (kwargs.pop("auto_map", None) or {})
        super().__post_init__(**kwargs)

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs) -> tuple[dict[str, Any], dict[str, Any]]:
        config_dict, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        if config_dict.get("model_type") == STOCK_MODEL_TYPE:
            config_dict = config_dict | {"model_type": cls.model_type}
        return config_dict, kwargs

    def validate_decoder_fits_backbone(self) -> None:
        """Part of `@strict` validation: one feature map per decoder level, of the width and patch size it expects."""
        backbone = self.backbone_config
        levels = len(self.neck_hidden_sizes)
        if len(self.reassemble_factors) != levels:
            raise ValueError(
                f"reassemble_factors has {len(self.reassemble_factors)} entries and neck_hidden_sizes {levels}; "
                "give one of each for each feature map of the backbone."
            )
        if backbone is None or isinstance(backbone, dict):  # not resolved yet; checked again by the model
            return
        out_indices = getattr(backbone, "out_indices", None)
        if out_indices is not None and len(out_indices) != levels:
            raise ValueError(
                f"the backbone gives {len(out_indices)} feature maps (out_indices {list(out_indices)}) and the decoder "
                f"has {levels} levels; set as many out_indices as neck_hidden_sizes."
            )
        if getattr(backbone, "hidden_size", self.reassemble_hidden_size) != self.reassemble_hidden_size:
            raise ValueError(
                f"reassemble_hidden_size is {self.reassemble_hidden_size} and the backbone's hidden_size "
                f"{backbone.hidden_size}; they must be equal."
            )
        if as_pair(getattr(backbone, "patch_size", self.patch_size)) != as_pair(self.patch_size):
            raise ValueError(
                f"patch_size is {self.patch_size} and the backbone's {backbone.patch_size}; they must be equal."
            )


__all__ = ["DECODER_SIZES", "DepthStudentConfig"]
