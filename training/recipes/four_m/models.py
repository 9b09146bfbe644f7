"""The 4M model that a training starts with, and what of pictures it keeps."""

import logging
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from torch import Tensor

from semidepth.data.modalities.loading import ModalityBatch
from semidepth.data.modalities.words import sentinel_ids
from semidepth.modeling import DepthStudentForDepthEstimation, FourMForAnyToAny
from semidepth.prediction.any_to_any.model import KINDS, SOURCE, WORDS, AnyToAny, fit_map, load_any_to_any
from semidepth.prediction.checkpoints import read_config, refuse_pickled, revision_of
from semidepth.prediction.preprocessing import Preprocessing, preprocessing_of
from semidepth.training.options.four_m import FourMOptions
from semidepth.training.options.presets import read_preset
from semidepth.training.options.tokenizers import TokenizerOptions
from semidepth.training.recipes.four_m.sparse import thin_out
from semidepth.training.recipes.four_m.steps import DEPTH, SPARSE
from semidepth.training.recipes.four_m.tokenizers import train_tokenizers
from semidepth.training.recipes.start import RELATIVE_TYPES, load_whole

logger = logging.getLogger(__name__)

SPARSE_KINDS = 3  # thinned out versions of each depth map that are kept
LONGEST_CAPTION = 96  # tokens, with those that stand for hidden spans


def resolve_tokenizers(options: FourMOptions) -> Path:
    """Returns the folder of the tokenizers: --tokenizers, or those in --tokenizers_dir, trained first if missing."""
    folder = Path(options.tokenizers or options.tokenizers_dir)
    if options.tokenizers is not None or (folder / "results.json").is_file():
        logger.info("tokenizers: those in %s", folder)
        return folder
    logger.info("no --tokenizers given: training some first, into %s", folder)
    own = {"output_dir": str(folder), "seed": options.seed, "cpu": options.cpu,
           "mixed_precision": options.mixed_precision}  # fmt: skip
    preset = read_preset("tokenizers_scenes", TokenizerOptions)
    given = {"train": options.train, "validation": options.validation}
    train_tokenizers(TokenizerOptions(**(preset | given | own)))
    return folder


def load_start(options: FourMOptions) -> AnyToAny:
    """Returns the model of --start.

    Raises:
        ValueError: it holds none, or one of another --size or another kind of RGB.
    """
    assert options.start is not None
    made = load_any_to_any(options.start)
    rgb = made.model.config.modality(SOURCE)
    if (rgb.image_size, rgb.kind) != (options.size, options.rgb):
        raise ValueError(
            f"--start {options.start!r} sees {rgb.kind} of pictures of {rgb.image_size} pixels; give --rgb {rgb.kind} "
            f"--size {rgb.image_size}."
        )
    set_seed(options.seed)
    return made


def check_encoder(options: FourMOptions) -> Preprocessing:
    """Returns the preprocessing of pictures, that of --encoder.

    Raises:
        ValueError: --encoder is no student, or --size is no multiple of its patch.
    """
    if options.rgb == "pixels":
        return Preprocessing(size=options.size or 224, multiple=1)
    refuse_pickled(options.encoder)
    config = read_config(options.encoder)
    if config.model_type not in RELATIVE_TYPES:
        raise ValueError(
            f"--encoder {options.encoder!r} is a {config.model_type} model; give a semidepth student or Depth Anything."
        )
    found = preprocessing_of(options.encoder, config)
    if (options.size or 0) % found.multiple:
        raise ValueError(f"--size is {options.size}; give a multiple of {found.multiple}, the patch of --encoder.")
    return Preprocessing(size=options.size or 224, multiple=found.multiple, mean=found.mean, std=found.std)


def make_any_to_any(
    options: FourMOptions, preprocessing: Preprocessing, tokenizers: dict[str, Any], words: Any
) -> AnyToAny:
    """Returns a fresh model with its tokenizers; its weights are drawn from torch's global generator.

    Args:
        options: the command's options.
        preprocessing: of [`check_encoder`].
        tokenizers: modality -> tokenizer, of all that there are.
        words: of captions, or None.
    """
    student = None
    if options.rgb == "features":
        student = load_whole(DepthStudentForDepthEstimation, options.encoder, "--encoder")
    kept: dict[str, Any] = {name: each for name, each in tokenizers.items() if name in options.modalities}
    modalities: list[dict[str, Any]] = [{"name": SOURCE, "kind": options.rgb}, *({"name": name} for name in kept)]
    if words is not None and WORDS in options.modalities:
        modalities.append({
            "name": WORDS, "kind": "sequence", "vocab_size": len(words), "max_tokens": LONGEST_CAPTION,
            "start_id": sentinel_ids(words)[0], "end_id": words.eos_token_id,
        })  # fmt: skip
    if len(modalities) == 1:
        raise ValueError(
            f"--modalities is {' '.join(options.modalities)}, and the tokenizers have none of these; they have "
            f"{', '.join(tokenizers)}."
        )
    set_seed(options.seed)
    model = FourMForAnyToAny.from_tokenizers(
        modalities, kept, student.backbone if student is not None else None, image_size=options.size,
        hidden_size=options.hidden_size, encoder_layers=options.encoder_layers,
        decoder_layers=options.decoder_layers, num_attention_heads=options.heads,
    )  # fmt: skip
    return AnyToAny(model, words, preprocessing)


def prepare_pictures(
    batch: ModalityBatch, made: AnyToAny, generator: torch.Generator, *, pixels: bool, device: torch.device
) -> dict[str, Tensor]:
    """Returns what training keeps of a batch: its tokens, those of thinned out depth, and features or pixels.

    Args:
        batch: of the training stream.
        made: model and tokenizers, on the device.
        generator: for what is left of depth.
        pixels: whether the model sees pixels.
        device: where to compute.
    """
    values: dict[str, Any] = {name: batch[name] for name in ("image", "depth", "normal", "semantic")}
    if pixels:
        found = {"image": values["image"]}
    else:
        # As they are kept: the encoder takes most of the time, and needs no more precision than that.
        with torch.autocast(device.type, torch.bfloat16):
            features = made.picture(values["image"])
        found = {"features": features.to(torch.bfloat16)}
    found |= {name: ids.to(torch.int32) for name, ids in made.tokens_of(values).items()}
    if DEPTH in made.tokenizers:
        tokenizer = made.tokenizers[DEPTH]
        depth = fit_map(batch["depth"], "depth", tokenizer.config.image_size)
        kinds = [
            made.model.tokenize({DEPTH: thin_out(depth, 1.0, generator).to(device)})[DEPTH] for _ in range(SPARSE_KINDS)
        ]
        found[SPARSE] = torch.stack(kinds, 1).to(torch.int32)
    return found


def weights_of_tokenizers(folder: Path) -> list[str]:
    """Returns digests of the tokenizers in a folder, or of the 4M model that has them: tokens depend on them."""
    places = [folder, *(folder / kind for kind in KINDS.values())]
    return [revision_of(str(place)) for place in places if any(place.glob("*.safetensors"))]
