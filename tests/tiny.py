"""Tiny real models for the tests: seconds on a CPU, nothing downloaded."""

from pathlib import Path

import torch
from torch import nn
from transformers import (
    BeitConfig,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    DepthProConfig,
    DepthProForDepthEstimation,
    DepthProImageProcessor,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    DINOv3ViTConfig,
    ZoeDepthConfig,
    ZoeDepthForDepthEstimation,
    set_seed,
)

from semidepth.prediction.preprocessing import Preprocessing

WIDTH, LAYERS, PATCH, SIZE = 32, 4, 8, 48
STANDARD = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}  # of stock image processors
DECODER = {"neck_hidden_sizes": [16, 16, 32, 32], "fusion_hidden_size": 16, "head_hidden_size": 8}
_SHAPE = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "image_size": SIZE,
    "patch_size": PATCH,
}


def encoder_config(kind: str = "dinov2", **changes):
    """A four-layer encoder's configuration: dinov2, dinov2_with_registers or dinov3_vit."""
    shape = _SHAPE | changes
    if kind == "dinov2":
        return Dinov2Config(**shape)
    if kind == "dinov2_with_registers":
        return Dinov2WithRegistersConfig(**shape, num_register_tokens=3)
    return DINOv3ViTConfig(**shape, intermediate_size=4 * WIDTH, num_register_tokens=3)


def save_encoder(folder, seed: int = 0, **changes) -> str:
    """A DINOv2 with random weights, saved as a stock encoder."""
    set_seed(seed)
    Dinov2Model(encoder_config(**changes)).save_pretrained(folder)
    return str(folder)


def save_model(model, folder) -> str:
    """A model of the tiny size saved with its image processor, as the commands leave it; returns the folder."""
    model.save_pretrained(folder)
    Preprocessing(size=SIZE, multiple=PATCH).to_image_processor().save_pretrained(folder)
    return str(folder)


def stock_config(**changes) -> DepthAnythingConfig:
    """A stock Depth Anything configuration of the tiny size."""
    backbone = Dinov2Config(**_SHAPE, out_indices=[1, 2, 3, 4], reshape_hidden_states=False)
    fields = {"backbone_config": backbone, "patch_size": PATCH, "reassemble_hidden_size": WIDTH} | DECODER
    return DepthAnythingConfig(**(fields | changes))


def stock_model(config: DepthAnythingConfig | None = None, seed: int = 0) -> DepthAnythingForDepthEstimation:
    """Stock Depth Anything whose output varies (its own initialisation gives an almost constant one)."""
    set_seed(seed)
    model = DepthAnythingForDepthEstimation(config or stock_config()).eval()
    make_lively(model.neck, model.head)
    nn.init.constant_(model.head.conv3.bias, 1.0)
    return model


def make_lively(*parts: nn.Module) -> None:
    """Gives parts weights whose maps vary: stock initialisation makes them almost constant."""
    for part in parts:
        for module in part.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def zoedepth_config(domains: int = 0, n_bins: int = 64, **changes) -> ZoeDepthConfig:
    """A stock ZoeDepth configuration: with one head or two as published, with 0 the class's own default head."""
    backbone = BeitConfig(
        image_size=64, patch_size=16, num_hidden_layers=4, hidden_size=32, intermediate_size=64, num_attention_heads=2,
        use_relative_position_bias=True, reshape_hidden_states=False, out_indices=[1, 2, 3, 4],
    )  # fmt: skip
    fields = {
        "backbone_config": backbone, "neck_hidden_sizes": [16, 16, 32, 32], "fusion_hidden_size": 16,
        "bottleneck_features": 16, "num_relative_features": 8, "bin_embedding_dim": 32,
    }  # fmt: skip
    if domains:
        heads = [
            {"name": "nyu", "n_bins": n_bins, "min_depth": 1e-3, "max_depth": 10.0},
            {"name": "kitti", "n_bins": n_bins, "min_depth": 1e-3, "max_depth": 80.0},
        ]
        fields |= {
            "bin_configurations": heads[:domains], "num_patch_transformer_layers": 4,
            "patch_transformer_hidden_size": 128, "patch_transformer_intermediate_size": 64,
            "patch_transformer_num_attention_heads": 4,
        }  # fmt: skip
    return ZoeDepthConfig(**(fields | changes))


def zoedepth(domains: int, **changes) -> ZoeDepthForDepthEstimation:
    """A tiny stock ZoeDepth whose maps vary."""
    set_seed(0)
    model = ZoeDepthForDepthEstimation(zoedepth_config(domains, **changes)).eval()
    make_lively(model.neck, model.relative_head, model.metric_head)
    return model


def lively(model: nn.Module) -> nn.Module:
    """Gives a model weights whose maps vary: any preparation of pixels would reproduce constant ones."""
    make_lively(model)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
            nn.init.constant_(module.bias, 0.1)
    return model.eval()


def depth_pro(fov: bool = True):
    """A tiny Depth Pro and its image processor."""
    encoder = {
        "model_type": "dinov2", "num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "patch_size": 4,
        "image_size": 16, "mlp_ratio": 2,
    }  # fmt: skip
    config = DepthProConfig(
        patch_size=16, fusion_hidden_size=8, intermediate_hook_ids=[1, 0], intermediate_feature_dims=[8, 8],
        scaled_images_ratios=[0.5, 1.0], scaled_images_overlap_ratios=[0.0, 0.2], scaled_images_feature_dims=[8, 8],
        use_fov_model=fov, image_model_config=encoder, patch_model_config=encoder, fov_model_config=encoder,
        num_fov_head_layers=0,
    )  # fmt: skip
    model = lively(DepthProForDepthEstimation(config))
    if fov:
        nn.init.constant_(model.fov_model.head.layers[-1].bias, 60.0)  # degrees; random ones may be negative
    return model, DepthProImageProcessor(size={"height": 32, "width": 32}, **STANDARD)


def pixels(batch: int = 2, height: int = SIZE, width: int = SIZE, seed: int = 0) -> torch.Tensor:
    """(B, 3, H, W) float32 noise."""
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def any_to_any(folder: Path) -> Path:
    """A folder with a tiny 4M model that nobody trained, as `semidepth train four-m` saves it; RGB is 64 px wide."""
    from semidepth.data.modalities.words import sentinel_ids, train_words
    from semidepth.modeling import FourMForAnyToAny, ModalityTokenizer, ModalityTokenizerConfig
    from semidepth.training.engine.saving import save_model

    torch.manual_seed(0)
    own = {"image_size": 32, "patch_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "levels": [4, 4]}
    classes = {"semantic": ["wall", "floor", "cup"]}
    tokenizers = {
        f"tok_{kind}": ModalityTokenizer(ModalityTokenizerConfig(modality=kind, classes=classes.get(kind, []), **own))
        for kind in ("rgb", "depth", "normal", "semantic")
    }
    words = train_words(["a room with two chairs", "a street with a red car"])
    caption = {"vocab_size": len(words), "start_id": sentinel_ids(words)[0], "end_id": words.eos_token_id}
    modalities = [
        {"name": "rgb", "kind": "pixels"},
        *({"name": name} for name in tokenizers),
        {"name": "caption", "kind": "sequence", "max_tokens": 24, **caption},
    ]
    sizes = {"hidden_size": 32, "encoder_layers": 1, "decoder_layers": 1, "num_attention_heads": 2, "image_size": 64}
    model = FourMForAnyToAny.from_tokenizers(modalities, tokenizers, **sizes).eval()
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "emb" in name and not name.startswith("tokenizers"):
                weights.normal_(std=0.3)
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model, Preprocessing(size=64, multiple=16), folder)
    words.save_pretrained(folder)
    return folder
