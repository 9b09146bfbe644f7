"""Promptable masks: point at a thing, or draw a box round it, and get its outline; on a depth model or a stock SAM.

Segment Anything's prompt encoder and mask decoder (arXiv 2304.02643) on a core of choice. What stock `SamModel` does
not: it computes a loss, takes images of any shape and a mask prompt for each object, and gives depth in the same pass.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, SamModel, SamVisionModel

from .configuration_prompted_mask import (
    PromptedMaskConfig,
    config_of_sam,
    decoder_weights_of_sam,
    stock_config_of,
    stock_weights_of,
    weights_of_sam,
)
from .depth_cores import core_channels, encode, fuse, predict_relative
from .losses import best_of_masks_loss
from .mask_decoder import MaskDecoder, PromptedMaskOutput
from .mask_layers import FineFeatures, Neck, PositionalEmbedding, box_prior, draw_weights, finest_maps
from .modeling_depth_student import DepthStudentForDepthEstimation
from .modeling_routed_depth import RoutedDepthForDepthEstimation
from .prompt_encoder import PromptEncoder, Prompts, check_embeddings, check_labels, gather_prompts

# Objects are decoded in parts of so many image cells in all: 128 objects on a grid of 32 x 32, 32 on SAM's 64 x 64.
CELLS_AT_ONCE = 2**17
# What learns from scratch at a small budget: every fresh decoder begins with it. Loaded ones keep what they had.
FRESH = {"click_map": True, "box_prior": True, "mask_loss": "bce", "focal_weight": 1.0}


class PromptedMaskPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation shared by the mask classes."""

    config: PromptedMaskConfig
    config_class = PromptedMaskConfig
    base_model_prefix = "prompted_mask"
    main_input_name = "pixel_values"
    input_modalities = ("image",)  # type: ignore[assignment]
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # The core is a PreTrainedModel and initialises itself.
        if not draw_weights(module):
            super()._init_weights(module)


class PromptedMaskForMaskGeneration(PromptedMaskPreTrainedModel):
    """SAM's prompt encoder and mask decoder on a depth student, a metric model, or a stock SAM encoder."""

    _tied_weights_keys = {  # noqa: RUF012 - transformers' own convention
        "prompt_encoder.shared_embedding.positional_embedding": "shared_image_embedding.positional_embedding"
    }

    def __init__(self, config: PromptedMaskConfig):
        super().__init__(config)
        core_config: Any = config.core_config
        self.core: Any
        if config.has_sam_core:
            self.core = SamVisionModel(core_config)
        elif core_config.model_type == "routed_depth":
            self.core = RoutedDepthForDepthEstimation(core_config)
        else:
            self.core = DepthStudentForDepthEstimation(core_config)
        width = config.hidden_size
        self.neck = None if config.has_sam_core else Neck(config.encoder_width, width)
        self.fine = FineFeatures(core_channels(config.relative_core)[1], width) if config.fine_features else None
        self.shared_image_embedding = PositionalEmbedding(width, config.positional_scale)
        self.prompt_encoder = PromptEncoder(config)
        self.mask_decoder = MaskDecoder(config)
        self.post_init()

    @classmethod
    def from_student(cls, student: str | DepthStudentForDepthEstimation, **fields: Any):
        """Makes a mask model on a trained depth student, prompt encoder and decoder fresh.

        Args:
            student: the model, or id or folder of one (ours or stock Depth Anything V1 / V2); its weights are copied.
            fields: further fields of [`PromptedMaskConfig`]. Unlike there, `click_map` and `box_prior` are on, and
                `mask_loss` is "bce" with weight 1, since nothing else was seen to learn from scratch.
        """
        if isinstance(student, str):
            student = DepthStudentForDepthEstimation.from_pretrained(student, use_safetensors=True)
        return cls._on(student, fields)

    @classmethod
    def from_metric(cls, model: str | RoutedDepthForDepthEstimation, **fields: Any):
        """Makes a mask model on a trained metric model: masks and metres from one pass.

        Args:
            model: the model, or id or folder of one; its weights are copied.
            fields: as in [`from_student`].
        """
        if isinstance(model, str):
            model = RoutedDepthForDepthEstimation.from_pretrained(model, use_safetensors=True)
        return cls._on(model, fields)

    @classmethod
    def from_sam(cls, model: str | SamModel):
        """Makes a model that trains of a stock SAM: the same numbers for the same prompts.

        Args:
            model: the stock model, or its id or folder, such as "facebook/sam-vit-base".

        Raises:
            ValueError: for settings that no published SAM has.
        """
        if isinstance(model, str):
            model = SamModel.from_pretrained(model, use_safetensors=True)
        made = cls(config_of_sam(model.config))
        made.load_state_dict(weights_of_sam(model.state_dict()))
        return made.to(device=model.device, dtype=model.dtype).eval()  # type: ignore[call-arg]

    def to_sam(self) -> SamModel:
        """Returns the stock class with a copy of this model's weights, in evaluation mode; only with a SAM core.

        Raises:
            ValueError: for another core, a click map, or text prompts.
        """
        stock = SamModel(stock_config_of(self.config)).to(device=self.device, dtype=self.dtype)  # type: ignore[call-arg]
        stock.load_state_dict(stock_weights_of(self.state_dict()))
        return stock.eval()

    def take_sam_decoder(self, model: str | SamModel) -> None:
        """Takes over prompt encoder and mask decoder of a stock SAM, for a core that is to learn SAM's embeddings.

        Args:
            model: as in [`from_sam`]; of this model's sizes.

        Raises:
            ValueError: for other sizes, which are named.
        """
        if isinstance(model, str):
            model = SamModel.from_pretrained(model, use_safetensors=True)
        self.load_state_dict(decoder_weights_of_sam(model, self.config), strict=False)

    @classmethod
    def _on(cls, core: Any, fields: dict[str, Any]) -> Any:
        core_config = type(core.config)(**core.config.to_dict())
        settings: dict[str, Any] = {**FRESH, **fields}
        model = cls(PromptedMaskConfig(core_config=core_config, **settings))
        model.core.load_state_dict(core.state_dict())
        return model

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_points: Tensor | None = None,
        input_labels: Tensor | None = None,
        input_boxes: Tensor | None = None,
        input_masks: Tensor | None = None,
        text_embeds: Tensor | None = None,
        image_embeddings: Tensor | None = None,
        intermediate_embeddings: list[Tensor] | None = None,
        multimask_output: bool = True,
        labels: Tensor | None = None,
        output_depth: bool = False,
        return_dict: bool | None = None,
    ) -> PromptedMaskOutput | tuple[Any, ...]:
        """Predicts masks of the prompted objects; without prompts, only what is needed for prompts to come.

        Nothing depends on the rest of the batch, nor on padding.

        Args:
            pixel_values: (B, 3, H, W), normalised as the core expects; H and W multiples of its patch size.
            input_points: (B, P, N, 2) x, y in pixels of `pixel_values`; any number of points of P objects.
            input_labels: (B, P, N) 1 on the object, 0 off it, -1 not a point, -10 padding; default 1.
            input_boxes: (B, P, 4) x1, y1, x2, y2; a row of NaN for an object without a box.
            input_masks: (B, P, 4h, 4w) or (B, 1, 4h, 4w), logits of an earlier answer; NaN for an object without one.
            text_embeds: (B, P, T, config.text_hidden_size); rows of NaN are padding.
            image_embeddings: from an earlier output or [`get_image_embeddings`], in the place of `pixel_values`.
            intermediate_embeddings: from the same; needed with `config.fine_features`.
            multimask_output: three candidates, for one point or box; False gives the one mask for several prompts.
            labels: (B, P, H', W') 1 on the object, 0 off it, NaN where unknown, at any resolution. An object that is
                NaN everywhere is padding and counts nowhere.
            output_depth: also predict depth; needs `pixel_values` and a core that knows depth.
            return_dict: False returns a tuple of what is there, `loss` first.

        Raises:
            ValueError: for shapes that do not fit each other, a point outside the image, a box without area. Values are
                read in evaluation mode or on the CPU only: training on a device never waits.
        """
        image_embeddings, intermediate_embeddings, depth = self._embed(
            pixel_values, image_embeddings, intermediate_embeddings, output_depth
        )
        images, _, rows, columns = image_embeddings.shape
        given = {"points": input_points, "labels": input_labels, "boxes": input_boxes, "masks": input_masks}
        prompts = gather_prompts(
            images, (4 * rows, 4 * columns), self.config.text_hidden_size, text=text_embeds, **given
        )
        masks = scores = loss = None
        if labels is not None:
            check_labels(labels, images, prompts.objects())
        if prompts.objects() is not None:
            masks, scores = self._decode(prompts, image_embeddings, intermediate_embeddings, multimask_output)
            if labels is not None:
                objects = (each.flatten(0, 1) for each in (masks, scores, labels))
                loss = best_of_masks_loss(*objects, **self.config.loss_options()).mean()
        output = PromptedMaskOutput(
            loss=loss,
            pred_masks=masks,
            iou_scores=scores,
            predicted_depth=depth,
            image_embeddings=image_embeddings,
            intermediate_embeddings=intermediate_embeddings,
        )
        return_dict = self.config.return_dict if return_dict is None else return_dict
        return output if return_dict else output.to_tuple()

    def _embed(
        self, pixel_values: Tensor | None, embeddings: Tensor | None, fine: list[Tensor] | None, depth: bool
    ) -> tuple[Tensor, list[Tensor] | None, Tensor | None]:
        """Image embeddings, finer maps and depth: of the pixels, or those given."""
        if pixel_values is not None and embeddings is None:
            features, predicted = self._see(pixel_values, depth)
            return *self.embed_features(features), predicted
        if embeddings is None or pixel_values is not None:
            raise ValueError("give either pixel_values or image_embeddings, not both or neither.")
        if depth:
            raise ValueError("output_depth needs pixel_values; keep the depth of the pass that gave image_embeddings.")
        check_embeddings(self.config, embeddings, fine)
        return embeddings, fine, None

    def get_image_embeddings(self, pixel_values: Tensor) -> Any:
        """Returns what prompts need of images, with gradients: `image_embeddings`, or with `config.fine_features` both.

        A tuple of both is what transformers' pipeline hands back as `intermediate_embeddings`.
        """
        embeddings, fine = self.embed_features(self.core_features(pixel_values))
        return embeddings if fine is None else (embeddings, fine)

    def core_features(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """Returns the core's own features of images: with a frozen core, to be kept over a whole training.

        Returns:
            (B, C, h, w) the last patches; with `config.fine_features` also two maps of the depth decoder,
            (B, F, 2h, 2w) and (B, F, 4h, 4w).
        """
        return self._see(pixel_values, depth=False)[0]

    def embed_features(self, features: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor] | None]:
        """The image and intermediate embeddings (or None) of [`core_features`], by layers that are this model's own."""
        patches, *maps = features
        embeddings = patches if self.neck is None else self.neck(patches)
        return embeddings, None if self.fine is None else self.fine(maps)

    def _see(self, pixel_values: Tensor, depth: bool) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """The core's features and depth."""
        self.config.check_size(*pixel_values.shape[2:])
        if self.config.has_sam_core:
            if depth:
                raise ValueError("a SAM core knows no depth; make the model with from_student or from_metric.")
            return (self.core(pixel_values).last_hidden_state,), None
        metric = isinstance(self.core, RoutedDepthForDepthEstimation)
        core = self.core.core if metric else self.core
        encoded = encode(core, pixel_values)
        if self.fine is None and not depth:
            return (encoded.last(),), None
        bottleneck, blocks = fuse(core, encoded)
        maps = () if self.fine is None else finest_maps(blocks, encoded.height, encoded.width)
        if not depth:
            return (encoded.last(), *maps), None
        predicted = predict_relative(core, encoded, bottleneck, blocks)
        return (encoded.last(), *maps), self.core.metres(predicted)[0] if metric else predicted.relative

    def _decode(
        self, prompts: Prompts, embeddings: Tensor, fine: list[Tensor] | None, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """(B, P, M, 4h, 4w) masks and (B, P, M) scores, a bounded number of objects at once."""
        images, _, rows, columns = embeddings.shape
        patch_height, patch_width = self.config.core_patch_size
        size = (rows * patch_height, columns * patch_width)
        if not self.training or embeddings.device.type == "cpu":
            prompts.check_values(*size)
        objects = prompts.objects() or 0
        positions = self.shared_image_embedding.grid(rows, columns)
        image_of = torch.arange(images, device=embeddings.device).repeat_interleave(objects // images)
        parts = []
        at_once = max(1, CELLS_AT_ONCE // (rows * columns))
        for start in range(0, objects, at_once):
            part = prompts.rows(start, start + at_once)
            tokens, known, dense = self.prompt_encoder(part, (rows, columns), size)
            members = image_of[start : start + at_once]
            image = embeddings.index_select(0, members) + dense
            finer = None if fine is None else [each.index_select(0, members) for each in fine]
            masks, scores = self.mask_decoder(image, positions, tokens, known, finer, multimask)
            if self.config.box_prior and part.boxes is not None:
                masks = masks + box_prior(part.boxes, (rows, columns), size)[:, None]
            parts.append((masks, scores))
        masks, scores = (torch.cat(each) if len(each) > 1 else each[0] for each in zip(*parts, strict=True))
        return masks.unflatten(0, (images, -1)), scores.unflatten(0, (images, -1))


__all__ = ["PromptedMaskForMaskGeneration", "PromptedMaskOutput"]
