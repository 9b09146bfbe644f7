"""4M: any modality to any other, and the same weights as an ordinary depth model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from .configuration_four_m import FourMConfig
from .configuration_modality_tokenizer import ModalityTokenizerConfig
from .four_m_generation import FourMGeneration
from .four_m_original import read_fourm
from .four_m_transformer import FourMOutput, FourMTransformer
from .modeling_modality_tokenizer import ModalityTokenizer


class FourMForAnyToAny(FourMGeneration, FourMTransformer):
    """Turns any of its modalities into any other: `forward` for training, `generate` and `complete` for use.

    The tokenizers of its maps and the encoder of its features are within it, frozen.
    """

    def __init__(self, config: FourMConfig):
        super().__init__(config)
        self.tokenizers = nn.ModuleDict(
            {
                each.name: ModalityTokenizer(ModalityTokenizerConfig(**each.tokenizer))
                for each in config.modality_list
                if each.tokenizer is not None
            }
        )
        self.post_init()
        self.freeze()

    @classmethod
    def from_tokenizers(
        cls,
        modalities: list[dict[str, Any]],
        tokenizers: Mapping[str, ModalityTokenizer],
        encoder: PreTrainedModel | None = None,
        **fields: Any,
    ):
        """A fresh model on trained tokenizers, and for features on a trained encoder: the start of every training.

        Args:
            modalities: as in [`FourMConfig`]; those with a tokenizer need a name alone.
            tokenizers: by the name of the modality; their weights are copied.
            encoder: the backbone whose patches are the modality of kind "features", such as a depth student's
                `backbone`; its weights are copied.
            fields: further fields of [`FourMConfig`].

        Raises:
            ValueError: a tokenizer of no modality, or a configuration that cannot be.
        """
        unknown = sorted(tokenizers.keys() - {entry.get("name") for entry in modalities})
        if unknown:
            raise ValueError(f"there are tokenizers of {', '.join(unknown)} and no such modality; name it.")
        filled = [dict(entry) for entry in modalities]
        for entry in filled:
            if entry["name"] in tokenizers:
                own = tokenizers[entry["name"]].config
                entry |= {"kind": "map", "vocab_size": own.vocab_size, "patch_size": own.patch_size}
                entry |= {"image_size": own.image_size, "tokenizer": _fields(own)}
                entry |= {"classes": list(own.classes)} if own.classes else {}
            elif entry.get("kind") == "features" and encoder is not None:
                entry |= {"channels": encoder.config.hidden_size, "patch_size": encoder.config.patch_size}
        config = FourMConfig(modalities=filled, encoder_config=_fields(encoder and encoder.config), **fields)
        model = cls(config)
        for name, tokenizer in tokenizers.items():
            model.tokenizers[name].load_state_dict(tokenizer.state_dict())
        if encoder is not None:
            model.feature_encoder.load_state_dict(encoder.state_dict())
        return model

    @classmethod
    def from_fourm(cls, model: str):
        """Returns a published 4M transformer of EPFL and Apple: the same logits for the same tokens.

        Its weights are for non-commercial use only, which is said. Its tokenizers of maps are not read: their decoders
        are diffusion models; use the package fourm for them.

        Args:
            model: Hub id or folder with their config.json and model.safetensors, such as "EPFL-VILAB/4M-7_B_CC12M".

        Raises:
            ValueError: for a domain or a setting that no published one has.
        """
        config, weights = read_fourm(model)
        made = cls(config)
        made.load_state_dict(weights)
        return made.eval()

    def train(self, mode: bool = True) -> Any:
        """Training mode; frozen parts stay frozen, and in evaluation mode."""
        super().train(mode)
        self.freeze()
        return self

    def freeze(self) -> None:
        """Freezes tokenizers and the encoder of features; loading makes new weights, which would train."""
        for part in (self.tokenizers, self.feature_encoder):
            if part is not None:
                part.eval().requires_grad_(False)

    @torch.no_grad()
    def tokenize(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns maps as the inputs of [`forward`] and [`generate`]; what is no map with a tokenizer is passed on.

        Args:
            values: by name; of maps the values of their [`ModalityTokenizer`]: metres (B, H, W), for instance.

        Returns:
            By name, (B, h, w) ids; -100 for tokens of whose pixels none is known.
        """
        found = dict(values)
        tokenizers: Any = self.tokenizers
        for name, tokenizer in tokenizers.items():
            if name in values and values[name].ndim >= 3:
                found[name] = tokenizer.encode(values[name]).masked_fill(~known_patches(tokenizer, values[name]), -100)
        return found


@dataclass
class FourMDepthOutput(ModelOutput):
    """Output of [`FourMForDepthEstimation`].

    Args:
        loss: scalar float32, cross-entropy of the labels' tokens; only with `labels`.
        predicted_depth: (B, H, W) float32 metres, at the size of the depth tokenizer; sky is the largest depth.
    """

    loss: Tensor | None = None
    predicted_depth: Tensor | None = None


class FourMForDepthEstimation(FourMForAnyToAny):
    """The same weights as an ordinary depth model: RGB to metres in one step, with soft decoding."""

    main_input_name = "pixel_values"
    input_modalities = ("image",)  # type: ignore[assignment]

    def __init__(self, config: FourMConfig):
        super().__init__(config)
        self.rgb_name, self.depth_name = depth_path(config)

    def forward(  # type: ignore[override]
        self, pixel_values: Tensor, labels: Tensor | None = None, return_dict: bool | None = None
    ) -> FourMDepthOutput | tuple[Any, ...]:
        """Predicts metres.

        Args:
            pixel_values: (B, 3, H, W), normalised, of the size of the model's RGB.
            labels: (B, H, W) metres at the size of the depth tokenizer, inf sky, NaN unknown; the loss is that of their
                tokens, where anything in them is known.
            return_dict: False returns a tuple of what is there, `loss` first.

        Raises:
            ValueError: another size.
        """
        inputs, loss = {self.rgb_name: pixel_values}, None
        if labels is not None:
            targets = self.tokenize({self.depth_name: labels})
            found: Any = FourMTransformer.forward(self, inputs, None, targets, return_dict=True)
            loss = found.loss
        tokenizer: Any = self.tokenizers[self.depth_name]
        made = self.generate(inputs, [self.depth_name], require_finite=False)[self.depth_name].values
        assert made is not None  # depth has a tokenizer
        output = FourMDepthOutput(loss, made.clamp(max=tokenizer.config.max_depth))
        return_dict = self.config.return_dict if return_dict is None else return_dict
        return output if return_dict else output.to_tuple()


def depth_path(config: FourMConfig) -> tuple[str, str]:
    """Returns names of the modalities that an image and its depth are, or ValueError where the model lacks one."""
    rgb = [each.name for each in config.modality_list if each.kind == "pixels" and each.is_input]
    if config.encoder_config is not None:
        rgb = [each.name for each in config.modality_list if each.kind == "features"]
    depth = [each.name for each in config.modality_list if (each.tokenizer or {}).get("modality") == "depth"]
    if not rgb or not depth:
        raise ValueError(
            "this 4M has no RGB input or no depth with a tokenizer, and is no depth model; load it with AutoModel."
        )
    return rgb[0], depth[0]


def known_patches(tokenizer: ModalityTokenizer, values: Tensor) -> Tensor:
    """Returns (B, h, w) true for patches of which any pixel is known."""
    kind, patch = tokenizer.config.modality, tokenizer.config.patch_size
    if kind == "semantic":
        known = values >= 0
    elif kind == "depth":
        known = ~values.isnan()
    else:
        known = values.isfinite().all(1)
    return nn.functional.max_pool2d(known[:, None].float(), patch)[:, 0] > 0


def _fields(config: Any) -> dict[str, Any] | None:
    return None if config is None else config.to_dict()


__all__ = ["FourMDepthOutput", "FourMForAnyToAny", "FourMForDepthEstimation", "FourMOutput"]
