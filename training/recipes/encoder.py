"""Pre-training of the built-in encoder: a small DINOv2 trained on rendered scenes, for use without a network."""

import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import Dinov2Config, Dinov2Model, get_cosine_schedule_with_warmup, set_seed

from semidepth.common.console import bar_interval_s
from semidepth.common.locks import folder_held
from semidepth.data.scenes.render import SEMANTIC_CLASSES, render_scenes
from semidepth.modeling.configuration_depth_student import as_pair
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.training.engine.loss_window import NonFiniteLossError
from semidepth.training.engine.optimization import choose_attention
from semidepth.training.engine.precision import resolve_precision
from semidepth.training.options.encoder import EncoderOptions
from semidepth.training.options.run import BUILT_IN_ENCODER, RelativeOptions

logger = logging.getLogger(__name__)

# Index of the first scene, far from the scenes of the labeled sources and of the held-out sets.
FIRST_SCENE = 2**30


def cell_class_shares(semantic: Tensor, patch_size: int, cells: int, classes: int) -> Tensor:
    """Returns the share of each class in each cell of each patch.

    Args:
        semantic: (B, H, W) class index per pixel.
        patch_size: pixels per patch side.
        cells: cells per patch side.
        classes: number of classes.

    Returns:
        (B, N, cells**2, classes) float32, each cell sums to 1; patches and the cells within each are in row order.
    """
    one_hot = F.one_hot(semantic, classes).permute(0, 3, 1, 2).float()  # (B, H, W) -> (B, classes, H, W)
    shares = F.avg_pool2d(one_hot, patch_size // cells)  # (B, classes, h * cells, w * cells)
    shares = F.unfold(shares, cells, stride=cells)  # (B, classes * cells**2, N)
    return shares.unflatten(1, (classes, cells**2)).permute(0, 3, 2, 1)


def patch_pixels(pixels: Tensor, patch_size: int) -> Tensor:
    """Returns the pixels of each patch, with mean 0 and standard deviation 1 in each patch (as in MAE).

    (B, 3, H, W) -> (B, N, 3 * patch_size**2)
    """
    patches = F.unfold(pixels, patch_size, stride=patch_size).transpose(1, 2)
    return (patches - patches.mean(-1, keepdim=True)) / (patches.std(-1, keepdim=True) + 1e-3)


def pretraining_loss(
    encoder: Dinov2Model, head: nn.Linear, image: Tensor, semantic: Tensor, masked_share: float | None
) -> Tensor:
    """Returns the pre-training loss of one batch: semantic or masked.

    Args:
        encoder: the model.
        head: linear layer from the encoder's width to the classes of each cell, or to the pixels of a patch.
        image: (B, 3, H, W) uint8.
        semantic: (B, H, W) class index per pixel.
        masked_share: None for the semantic loss, cross-entropy against the class shares of each cell. A number for the
            masked loss: this share of patches is hidden and their pixels are predicted (mean squared error).

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


def scene_batches(options: EncoderOptions, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields batches of new scenes of all styles, half of them rooms and half streets.

    Each batch has images (B, 3, S, S) uint8 and class indices (B, S, S).
    """
    half = (options.batch_size + 1) // 2
    first = FIRST_SCENE
    while True:
        parts = [
            render_scenes(
                domain, range(first, first + half), seed=options.seed, height=options.size, width=options.size,
                device=device,
            )
            for domain in ("indoor", "outdoor")
        ]  # fmt: skip
        first += half
        yield torch.cat([part.image for part in parts]), torch.cat([part.semantic for part in parts])


def pretrain_encoder(options: EncoderOptions) -> Path:
    """Trains the built-in encoder and saves it with its image processor.

    Args:
        options: checked options.

    Returns:
        The folder, which can be given to `AutoBackbone.from_pretrained` and to --encoder.

    Raises:
        NonFiniteLossError: if the loss is not finite.
        ValueError: another run writes into the folder.
    """
    with folder_held("output_dir", Path(options.output_dir)):
        return _pretrain(options)


def _pretrain(options: EncoderOptions) -> Path:
    """Trains, saves, and returns the folder."""
    state = PartialState(cpu=options.cpu)
    device, precision = state.device, resolve_precision("auto", state)
    set_seed(options.seed)
    config = Dinov2Config(
        hidden_size=options.hidden_size,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        image_size=options.size,
        patch_size=options.patch_size,
    )
    encoder = Dinov2Model(config).to(device=device).train()  # type: ignore[call-arg]
    choose_attention(encoder, (options.size // options.patch_size) ** 2, device)
    masked = options.objective == "masked"
    outputs = 3 * options.patch_size**2 if masked else options.cells**2 * len(SEMANTIC_CLASSES)
    head = nn.Linear(options.hidden_size, outputs).to(device)
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=options.learning_rate, weight_decay=options.weight_decay)
    scheduler = get_cosine_schedule_with_warmup(optimizer, options.steps // 10, options.steps)
    batches = scene_batches(options, device)
    began = time.perf_counter()
    bar = tqdm(range(options.steps), desc="encoder", unit="step", dynamic_ncols=True, mininterval=bar_interval_s())
    for step in bar:
        image, semantic = next(batches)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = pretraining_loss(encoder, head, image, semantic, options.masked_share if masked else None)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        if step % 10 == 0 or step + 1 == options.steps:
            value = loss.item()
            if not torch.isfinite(loss):
                raise NonFiniteLossError(
                    f"step {step + 1}: the pre-training loss is {value}, not a finite number; lower --learning_rate."
                )
            bar.set_postfix_str(f"loss {value:.3f}")
    folder = Path(options.output_dir)
    encoder.eval().save_pretrained(folder)
    preprocessing = Preprocessing(size=options.size, multiple=options.patch_size)
    preprocessing.to_image_processor().save_pretrained(folder)
    logger.info(
        "saved the built-in encoder, a stand-in for DINOv2, in %s after %.0f s", folder, time.perf_counter() - began
    )
    return folder


def resolve_encoder(options: RelativeOptions, accelerator: Accelerator) -> str:
    """Returns the encoder to start from: --encoder, or the built-in one, which is pre-trained first if missing.

    Args:
        options: the command's options.
        accelerator: the run's accelerator; the main process pre-trains while the others wait.

    Returns:
        A Hub id or a folder.
    """
    if options.encoder not in (None, BUILT_IN_ENCODER):
        return options.encoder
    folder = Path(options.encoder_dir)
    # The image processor is written last, so where its file exists the encoder is complete.
    if accelerator.is_main_process and not (folder / "preprocessor_config.json").is_file():
        logger.info("no --encoder given: pre-training the built-in stand-in for DINOv2 into %s", folder)
        pretrain_encoder(EncoderOptions(output_dir=str(folder), seed=options.seed, cpu=options.cpu))
    accelerator.wait_for_everyone()
    set_seed(options.seed)  # the run draws the same random numbers with or without pre-training
    return str(folder)
