"""Pre-train the built-in encoder: a small DINOv2 that stands in for the real one where nothing can be downloaded.

    python training/encoder.py                             # a minute or two on 2 CPU cores, into outputs/encoder
    python training/encoder.py --objective masked --output_dir outputs/encoder_masked

The student of Depth Anything starts from an encoder that has seen all kinds of images, and is held close to it. Offline
there is none, so this one learns from rendered scenes of every style, without any depth: either which kinds of surface
each part of a patch shows (`semantic`: the renderer knows for free) or what hidden patches look like (`masked`).
It is a stand-in; with a network or a local copy use `--encoder facebook/dinov2-small` in the other commands.
"""

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import Dinov2Config, Dinov2Model, get_cosine_schedule_with_warmup, set_seed

from semidepth.common.console import bar_interval_s, set_up_logging
from semidepth.common.files import check_folder
from semidepth.data.scenes.render import SEMANTIC_CLASSES, render_scenes
from semidepth.modeling.configuration_depth_student import as_pair
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.training.arguments.run import BUILT_IN_ENCODER, TrainingArguments, parse_arguments
from semidepth.training.engine.optimization import choose_attention

logger = logging.getLogger(__name__)

OBJECTIVES = ("semantic", "masked")
# Index of the first scene; far from those that the labeled sources and the held-out sets use.
FIRST_SCENE = 2**30


@dataclass
class EncoderArguments:
    """Options of the encoder's pre-training."""

    output_dir: str = field(default="outputs/encoder", metadata={"help": "Folder for the encoder."})
    objective: str = field(default="semantic", metadata={"help": "semantic or masked; see above."})
    steps: int = field(default=700, metadata={"help": "Updates."})
    batch_size: int = field(default=32, metadata={"help": "Scenes per step."})
    learning_rate: float = field(default=1e-3, metadata={"help": "Peak rate, cosine schedule."})
    weight_decay: float = field(default=0.05, metadata={"help": "AdamW's."})
    size: int = field(default=96, metadata={"help": "Side of the scenes in pixels."})
    patch_size: int = field(default=8, metadata={"help": "Pixels per patch side."})
    hidden_size: int = field(default=128, metadata={"help": "Width."})
    layers: int = field(default=4, metadata={"help": "Transformer layers."})
    heads: int = field(default=4, metadata={"help": "Attention heads."})
    cells: int = field(default=4, metadata={"help": "Cells per patch side that get a label each; only with semantic."})
    masked_share: float = field(default=0.5, metadata={"help": "Share of patches hidden; only with masked."})
    seed: int = field(default=0, metadata={"help": "Of weights and scenes."})
    cpu: bool = field(default=False, metadata={"help": "Train on the CPU even where there is a GPU."})

    def validate(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        if self.objective not in OBJECTIVES:
            raise ValueError(f"--objective is {self.objective!r}; choose one of {', '.join(OBJECTIVES)}.")
        for name in ("steps", "batch_size", "size", "patch_size", "hidden_size", "layers", "heads", "cells"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} is {getattr(self, name)}; give at least 1.")
        if self.layers < 4 or self.size < 8:
            raise ValueError(f"--layers is {self.layers} and --size {self.size}; the decoder needs 4, the renderer 8.")
        check_folder("output_dir", self.output_dir)
        if self.size % self.patch_size or self.hidden_size % self.heads:
            raise ValueError(
                f"--size {self.size} must be a multiple of --patch_size {self.patch_size}, and --hidden_size "
                f"{self.hidden_size} of --heads {self.heads}."
            )
        if self.objective == "semantic" and self.patch_size % self.cells:
            raise ValueError(f"--patch_size {self.patch_size} must be a multiple of --cells {self.cells}.")
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"--learning_rate is {self.learning_rate}; give a number between 0 and 1, such as 1e-3.")
        if not 0 < self.masked_share < 1:
            raise ValueError(f"--masked_share is {self.masked_share}; give a share between 0 and 1.")


def cell_class_shares(semantic: Tensor, patch_size: int, cells: int, classes: int) -> Tensor:
    """How much of each cell of each patch shows each class.

    Args:
        semantic: (B, H, W) class index per pixel.
        patch_size: pixels per patch side.
        cells: cells per patch side.
        classes: number of classes.

    Returns:
        (B, N, cells**2, classes) float32, each cell summing to 1; patches row by row, and the cells within each too.
    """
    one_hot = F.one_hot(semantic, classes).permute(0, 3, 1, 2).float()  # (B, H, W) -> (B, classes, H, W)
    shares = F.avg_pool2d(one_hot, patch_size // cells)  # (B, classes, h * cells, w * cells)
    shares = F.unfold(shares, cells, stride=cells)  # (B, classes * cells**2, N)
    return shares.unflatten(1, (classes, cells**2)).permute(0, 3, 2, 1)


def patch_pixels(pixels: Tensor, patch_size: int) -> Tensor:
    """(B, 3, H, W) -> (B, N, 3 * patch_size**2), each patch with mean 0 and standard deviation 1 (as in MAE)."""
    patches = F.unfold(pixels, patch_size, stride=patch_size).transpose(1, 2)
    return (patches - patches.mean(-1, keepdim=True)) / (patches.std(-1, keepdim=True) + 1e-3)


def pretraining_loss(
    encoder: Dinov2Model, head: nn.Linear, image: Tensor, semantic: Tensor, masked_share: float | None
) -> Tensor:
    """The loss of one batch.

    Args:
        encoder: the model.
        head: from its width to classes, or to a patch's pixels.
        image: (B, 3, H, W) uint8.
        semantic: (B, H, W) class index per pixel.
        masked_share: None: cross-entropy against the class shares of each cell; else the share of patches to hide,
            whose pixels are then predicted (mean squared error).

    Returns:
        Scalar float32.
    """
    patch_size, _ = as_pair(encoder.config.patch_size)
    pixels = Preprocessing(size=image.shape[-1], multiple=patch_size).normalize(image)
    if masked_share is None:
        tokens = encoder(pixels).last_hidden_state[:, 1:]
        cells = math.isqrt(head.out_features // len(SEMANTIC_CLASSES))
        shares = cell_class_shares(semantic, patch_size, cells, len(SEMANTIC_CLASSES))
        logits = head(tokens).float().unflatten(-1, shares.shape[2:])
        return F.cross_entropy(logits.flatten(0, 2), shares.flatten(0, 2))
    patches = patch_pixels(pixels, patch_size)
    hidden = torch.rand(patches.shape[:2], device=pixels.device) < masked_share  # (B, N)
    tokens = encoder(pixels, bool_masked_pos=hidden).last_hidden_state[:, 1:]
    error = (head(tokens).float() - patches).square().mean(-1)
    return (error * hidden).sum() / hidden.sum().clamp(min=1)


def scene_batches(arguments: EncoderArguments, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Fresh rooms and streets of all styles, half and half: images (B, 3, S, S) uint8 and classes (B, S, S)."""
    half = (arguments.batch_size + 1) // 2
    first = FIRST_SCENE
    while True:
        parts = [
            render_scenes(
                domain, range(first, first + half), seed=arguments.seed, height=arguments.size, width=arguments.size,
                device=device,
            )
            for domain in ("indoor", "outdoor")
        ]  # fmt: skip
        first += half
        yield torch.cat([part.image for part in parts]), torch.cat([part.semantic for part in parts])


def pretrain_encoder(arguments: EncoderArguments) -> Path:
    """Trains the built-in encoder and saves it with its image processor.

    Args:
        arguments: checked options.

    Returns:
        The folder, which `AutoBackbone.from_pretrained` and the commands' `--encoder` take.
    """
    device = torch.device("cuda" if torch.cuda.is_available() and not arguments.cpu else "cpu")
    set_seed(arguments.seed)
    config = Dinov2Config(
        hidden_size=arguments.hidden_size,
        num_hidden_layers=arguments.layers,
        num_attention_heads=arguments.heads,
        image_size=arguments.size,
        patch_size=arguments.patch_size,
    )
    encoder = Dinov2Model(config).to(device=device).train()  # type: ignore[call-arg]
    choose_attention(encoder, (arguments.size // arguments.patch_size) ** 2, device)
    masked = arguments.objective == "masked"
    outputs = 3 * arguments.patch_size**2 if masked else arguments.cells**2 * len(SEMANTIC_CLASSES)
    head = nn.Linear(arguments.hidden_size, outputs).to(device)
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=arguments.learning_rate, weight_decay=arguments.weight_decay)
    scheduler = get_cosine_schedule_with_warmup(optimizer, arguments.steps // 10, arguments.steps)
    batches = scene_batches(arguments, device)
    began = time.perf_counter()
    bar = tqdm(range(arguments.steps), desc="encoder", unit="step", dynamic_ncols=True, mininterval=bar_interval_s())
    for step in bar:
        image, semantic = next(batches)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = pretraining_loss(encoder, head, image, semantic, arguments.masked_share if masked else None)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        if step % 10 == 0 or step + 1 == arguments.steps:
            value = loss.item()
            if not torch.isfinite(loss):
                raise RuntimeError(f"step {step + 1}: the pre-training loss is {value}; lower --learning_rate.")
            bar.set_postfix_str(f"loss {value:.3f}")
    folder = Path(arguments.output_dir)
    encoder.eval().save_pretrained(folder)
    preprocessing = Preprocessing(size=arguments.size, multiple=arguments.patch_size)
    preprocessing.to_image_processor().save_pretrained(folder)
    logger.info("built-in encoder in %s after %.0f s (a stand-in for DINOv2)", folder, time.perf_counter() - began)
    return folder


def resolve_encoder(arguments: TrainingArguments, accelerator: Accelerator) -> str:
    """The encoder to start from: the one named, or the built-in one, which is pre-trained first where it is missing.

    Args:
        arguments: of a training command.
        accelerator: its; the main process pre-trains while the others wait.

    Returns:
        A Hub id or a folder.
    """
    if arguments.encoder != BUILT_IN_ENCODER:
        return arguments.encoder
    folder = Path(arguments.encoder_dir)
    # The image processor is written last, so its file says that the encoder is whole.
    if accelerator.is_main_process and not (folder / "preprocessor_config.json").is_file():
        logger.info("no --encoder given: pre-training the built-in stand-in for DINOv2 into %s", folder)
        pretrain_encoder(EncoderArguments(output_dir=str(folder), seed=arguments.seed, cpu=arguments.cpu))
    accelerator.wait_for_everyone()
    set_seed(arguments.seed)  # so that a run draws the same whether it had to pre-train or not
    return str(folder)


def main(argv: list[str] | None = None) -> None:
    """Command line; see the top of the file."""
    arguments = parse_arguments(EncoderArguments, argv, description=__doc__ or "")
    set_up_logging()
    pretrain_encoder(arguments)


if __name__ == "__main__":
    main()
