"""Training of tokenizers. In each step

1. every tokenizer sees the maps of its kind, as tokens and back, and is compared with them;
2. of a share of the depth maps it sees scattered pixels or a map with holes, and is compared with all that is known:
   so sparse depth has tokens that mean what is around it;
3. the sum of their losses makes one backward pass: they share no weights.
"""

import logging
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import set_seed
from torch import Tensor, nn
from transformers import get_cosine_schedule_with_warmup

from semidepth.common.files import sync
from semidepth.data.modalities.loading import ModalityBatch, ModalityLoader, modality_samples, with_modalities
from semidepth.data.modalities.words import train_words
from semidepth.data.scenes.layout import SEMANTIC_CLASSES
from semidepth.data.source_spec import Source
from semidepth.data.streaming.plan import StreamPlan
from semidepth.evaluation.any_to_any.round_trip import round_trip
from semidepth.evaluation.data import source_fingerprint
from semidepth.modeling import ModalityTokenizer, ModalityTokenizerConfig
from semidepth.publishing.pusher import open_pusher
from semidepth.training.engine.loop import Hooks, train
from semidepth.training.engine.loss_window import Losses
from semidepth.training.engine.optimization import parameter_groups
from semidepth.training.engine.resuming import check_resume
from semidepth.training.engine.saving import save_results
from semidepth.training.engine.setup import announce, check_sources, make_accelerator, run_generator, warn_unvalidated
from semidepth.training.engine.step_data import Batch, StepData
from semidepth.training.engine.trained_model import OptimizerAndSchedule
from semidepth.training.options.tokenizers import ModalityOptions, TokenizerOptions
from semidepth.training.recipes.four_m.cache import CachedPictures, pack, part_of_batch, unpack
from semidepth.training.recipes.four_m.sparse import thin_out
from semidepth.training.recipes.prepared import Part, Prepared, images_there, prepare_once

logger = logging.getLogger(__name__)

WORDS = "caption"  # folder of the word tokenizer


class Tokenizers(nn.Module):
    """Tokenizers of several kinds of maps, trained side by side."""

    def __init__(self, options: TokenizerOptions, classes: tuple[str, ...]) -> None:
        super().__init__()
        shared: dict[str, Any] = {
            "image_size": options.size, "patch_size": options.patch_size, "hidden_size": options.hidden_size,
            "num_hidden_layers": options.layers, "levels": list(options.levels),
        }  # fmt: skip
        self.kinds = nn.ModuleDict({
            kind: ModalityTokenizer(
                ModalityTokenizerConfig(modality=kind, classes=list(classes) if kind == "semantic" else [], **shared)
            )
            for kind in options.modalities
        })  # fmt: skip

    def forward(self, values: dict[str, Tensor], seen_depth: Tensor | None) -> dict[str, Tensor]:
        """Returns the loss of each kind; of depth the tokenizer sees `seen_depth`."""
        return {
            kind: model(seen_depth if kind == "depth" else values[kind], labels=values[kind]).loss
            for kind, model in self.kinds.items()
        }


def train_tokenizers(options: TokenizerOptions) -> dict[str, Any]:
    """Trains and saves tokenizers; returns the final losses and validation scores.

    Raises:
        ValueError: if the options do not fit the data.
    """
    state = PartialState(cpu=options.cpu)
    pusher = open_pusher(options, options.output_dir, main_process=state.is_main_process)
    sources, validation = with_modalities(options.train_sources()), with_modalities(options.validation_sources())
    check_sources((*sources, *validation))
    classes = _classes(options, sources)
    warn_unvalidated(validation)
    steps = resolve_steps(options, sources, state.num_processes)
    check_resume(options, steps)
    accelerator = make_accelerator(options)
    set_seed(options.seed)
    model = Tokenizers(options, classes)
    announce(options, accelerator, "tokenizers")
    generator = run_generator(options, accelerator)
    counted = len(classes) if "semantic" in options.modalities else None
    kept = prepared_pictures(options, accelerator, sources, pack, {"kind": "values"}, classes=counted)
    if accelerator.is_main_process:
        _save_words(options, kept)
    data = StepData({"pictures": pictures_of(options, accelerator, kept)}, generator)
    results = train(
        options, name="tokenizers", steps=steps, accelerator=accelerator, model=model, data=data,
        make_optimizer=partial(adamw, options=options),
        compute_losses=partial(_losses, options=options, generator=generator),
        hooks=_hooks(options, accelerator, validation), pusher=pusher,
    )  # fmt: skip
    if accelerator.is_main_process:
        save_results(Path(options.output_dir), {"steps": steps} | results)
        logger.info("saved tokenizers of %s in %s", ", ".join(options.modalities), options.output_dir)
        pusher.finish()
    return results


def prepared_pictures(
    options: ModalityOptions,
    accelerator: Accelerator,
    sources: tuple[Source, ...],
    prepare: Callable[[ModalityBatch], dict[str, Tensor]],
    made_of: dict[str, Any],
    *,
    classes: int | None,
) -> Prepared:
    """Returns this process's prepared pictures, which are made unless they are there.

    Args:
        options: the command's options; --size is set.
        accelerator: the run's accelerator.
        sources: with modalities.
        prepare: a batch -> tensors with a row for each picture.
        made_of: what decides the result beside the pictures.
        classes: number of classes that the column semantic may have; None where it is not taken.

    Raises:
        ValueError: a picture has a class beyond these.
    """
    assert options.size is not None

    def part(batch: ModalityBatch, most: int) -> Part:
        if classes is not None and (largest := int(batch["semantic"].max())) >= classes:
            raise ValueError(
                f"the column semantic has the class {largest}, and there are {classes}, counted from 0; name all of "
                "them with --classes of the tokenizers."
            )
        return part_of_batch(batch, prepare(batch), most)

    plan = StreamPlan(
        sources, labeled=True, size=options.size, seed=options.pictures_seed, shuffle_buffer=options.shuffle_buffer,
        repeat=True, rank=accelerator.process_index, world_size=accelerator.num_processes,
        smallest_crop=options.smallest_crop, flip_probability=options.flip_probability,
    )  # fmt: skip
    loader: Any = ModalityLoader(plan, batch_size=options.batch_size, num_workers=options.num_workers)
    folder = Path(options.cache_dir or Path(options.output_dir) / "cache") / f"{accelerator.process_index}"
    made_of = made_of | {
        "train": list(options.train), "files": [source_fingerprint(source) for source in sources],
        "size": options.size, "seed": options.pictures_seed,
        "flip": options.flip_probability, "processes": accelerator.num_processes,
        "smallest_crop": options.smallest_crop, "batch_size": options.batch_size, "workers": options.num_workers,
    }  # fmt: skip
    prepare_once(
        folder, loader, part, images=_pictures_there(options, sources, accelerator.num_processes), made_of=made_of,
        what="pictures", option="images", tell=accelerator.is_main_process,
    )  # fmt: skip
    accelerator.wait_for_everyone()
    return Prepared(folder)


def _pictures_there(options: ModalityOptions, sources: tuple[Source, ...], world: int) -> int:
    return images_there(
        sources, options.images, labeled=True, world=world, batch_size=options.batch_size, option="images"
    )


def adamw(model: nn.Module, steps: int, *, options: ModalityOptions) -> OptimizerAndSchedule:
    """Returns AdamW with 4M's betas, linear warm-up and a cosine down to 0."""
    groups = parameter_groups(model, {"model": ("", options.learning_rate)}, weight_decay=options.weight_decay)
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95))
    return optimizer, get_cosine_schedule_with_warmup(optimizer, min(options.warmup_steps, steps // 2), steps)


def _classes(options: TokenizerOptions, sources: tuple[Source, ...]) -> tuple[str, ...]:
    """Returns names of the classes; those of the scenes, unless others are given for other sources."""
    scenes = [source.spec for source in sources if source.format == "scenes"]
    if options.classes and scenes:
        raise ValueError(f"--classes names other classes than those of {scenes[0]}; leave out one of the two.")
    if not options.classes and not scenes and "semantic" in options.modalities:
        raise ValueError(
            "--classes is missing: name the classes of the column semantic, or leave semantic out of --modalities."
        )
    return options.classes or tuple(SEMANTIC_CLASSES)


def resolve_steps(options: ModalityOptions, sources: tuple[Source, ...], world: int) -> int:
    """Returns the number of updates: --steps, or --epochs over the prepared pictures."""
    if options.steps is not None:
        return options.steps
    updates = _pictures_there(options, sources, world) * options.epochs / options.batch_size
    return max(1, round(updates / options.gradient_accumulation_steps))


def pictures_of(options: ModalityOptions, accelerator: Accelerator, kept: Prepared) -> Any:
    """Returns endless batches of this process's pictures."""
    seed = options.seed * 100_003 + accelerator.process_index
    return CachedPictures(kept, batch_size=options.batch_size, seed=seed)


def _losses(model: nn.Module, batch: Batch, *, options: TokenizerOptions, generator: torch.Generator) -> Losses:
    """Returns the sum of the losses of all tokenizers."""
    values = unpack(batch)
    seen = thin_out(values["depth"], options.sparse_share, generator) if "depth" in options.modalities else None
    found = model(values, seen)
    total = torch.stack(list(found.values())).sum()
    finite = total.detach().isfinite().expand(len(batch["origin"]))
    return Losses(total, found, finite, batch["origin"], len(batch["origin"]))


def _save_words(options: TokenizerOptions, kept: Prepared) -> None:
    """Saves a word tokenizer made of the captions that there are, if there are any."""
    captions = [text for text in kept.about[WORDS] if text]
    if captions:
        train_words(captions, vocab_size=options.vocab_size).save_pretrained(Path(options.output_dir) / WORDS)


def _hooks(options: TokenizerOptions, accelerator: Accelerator, validation: tuple[Source, ...]) -> Hooks:
    """Returns validation by round trips of the first process, and saving."""

    def validate(model: Any) -> dict[str, float]:
        scores: dict[str, float] = {}
        for source in validation if accelerator.is_main_process else ():
            assert options.size is not None
            samples = modality_samples([source], options.size, options.validation_images)
            for kind, found in round_trip(model.kinds, samples, accelerator.device).items():
                scores |= {f"{source.spec}/{kind}_{name}": value for name, value in found.means().items()}
        return scores

    def save(model: Any, folder: Path) -> None:
        for kind, tokenizer in model.kinds.items():
            partial_folder = folder / f"{kind}.unfinished"
            shutil.rmtree(partial_folder, ignore_errors=True)
            tokenizer.save_pretrained(partial_folder)
            for path in partial_folder.iterdir():
                sync(path)
            shutil.rmtree(folder / kind, ignore_errors=True)
            partial_folder.rename(folder / kind)

    return Hooks(validate=validate, preview=lambda model, tracking, step: None, save=save)
