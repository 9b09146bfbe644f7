"""Training of a 4M model (arXiv 2312.06647).

Once, every picture becomes what the model takes: features of the frozen encoder (or pixels), tokens of its maps, and
those of depth of which only a part is known. Then, in each step

1. budgets are drawn: how many tokens of each modality are seen and how many are predicted; a share of steps gives one
   whole modality, with part of another;
2. captions are masked in spans;
3. the mean over modalities of their mean cross-entropies makes one backward pass.
"""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState

from semidepth.data.modalities.loading import modality_samples, with_modalities
from semidepth.data.source_spec import Source
from semidepth.evaluation.any_to_any.matrix import all_inputs, score_direction
from semidepth.prediction.any_to_any.model import SOURCE, AnyToAny, load_tokenizers
from semidepth.prediction.checkpoints import revision_of
from semidepth.publishing.pusher import open_pusher
from semidepth.training.engine.loop import Hooks, train
from semidepth.training.engine.resuming import check_resume
from semidepth.training.engine.saving import save_model, save_results
from semidepth.training.engine.setup import announce, check_sources, make_accelerator, run_generator, warn_unvalidated
from semidepth.training.engine.step_data import StepData
from semidepth.training.options.four_m import FourMOptions
from semidepth.training.recipes.four_m.models import (
    check_encoder,
    load_start,
    make_any_to_any,
    prepare_pictures,
    resolve_tokenizers,
    weights_of_tokenizers,
)
from semidepth.training.recipes.four_m.steps import Steps, token_counts
from semidepth.training.recipes.four_m.tokenizers import adamw, pictures_of, prepared_pictures, resolve_steps

logger = logging.getLogger(__name__)


def train_four_m(options: FourMOptions) -> dict[str, Any]:
    """Trains and saves a 4M model; returns the final losses and validation scores.

    Raises:
        ValueError: if the options do not fit the data, the tokenizers or the encoder.
    """
    state = PartialState(cpu=options.cpu)
    pusher = open_pusher(options, options.output_dir, main_process=state.is_main_process)
    sources, validation = with_modalities(options.train_sources()), with_modalities(options.validation_sources())
    check_sources((*sources, *validation))
    warn_unvalidated(validation)
    steps = resolve_steps(options, sources, state.num_processes)
    check_resume(options, steps)
    made = None if options.start is None else load_start(options)
    preprocessing = check_encoder(options) if made is None else made.preprocessing
    folder = Path(options.start) if options.start is not None else resolve_tokenizers(options)
    accelerator = make_accelerator(options, find_unused_parameters=True)
    accelerator.wait_for_everyone()
    made = made or make_any_to_any(options, preprocessing, *load_tokenizers(folder))
    made.model.to(accelerator.device).eval()
    announce(options, accelerator, "four_m")
    generator = run_generator(options, accelerator)
    pixels = options.rgb == "pixels"
    thinned = torch.Generator().manual_seed(options.pictures_seed * 100_003 + accelerator.process_index)
    prepare = partial(prepare_pictures, made=made, generator=thinned, pixels=pixels, device=accelerator.device)
    made_of: dict[str, Any] = {
        "rgb": options.rgb,
        "modalities": sorted(made.tokenizers),
        "weights": weights_of_tokenizers(folder),
    }
    if options.start is None and not pixels:
        made_of |= {"encoder": revision_of(options.encoder)}
    semantic = made.tokenizers.get("tok_semantic")
    kept = prepared_pictures(
        options, accelerator, sources, prepare, made_of,
        classes=None if semantic is None else len(semantic.config.classes),
    )  # fmt: skip
    drawn = Steps(
        options, token_counts(made.model.config, made.tokenizers), made.words, generator,
        made.preprocessing.normalize if pixels else None,
    )  # fmt: skip
    results = train(
        options, name="four-m", steps=steps, accelerator=accelerator, model=made.model,
        make_optimizer=partial(adamw, options=options),
        data=StepData({"pictures": pictures_of(options, accelerator, kept)}, generator), compute_losses=drawn.losses,
        hooks=make_hooks(options, accelerator, made, validation), pusher=pusher,
    )  # fmt: skip
    if accelerator.is_main_process:
        save_results(Path(options.output_dir), {"steps": steps, "tokenizers": str(folder)} | results)
        logger.info("saved the 4M model in %s", options.output_dir)
        pusher.finish()
    return results


def make_hooks(
    options: FourMOptions, accelerator: Accelerator, made: AnyToAny, validation: tuple[Source, ...]
) -> Hooks:
    """Returns validation, from pictures to everything else in the first process, and saving.

    Args:
        options: the command's options.
        accelerator: the run's accelerator.
        made: the model, and what it comes with.
        validation: sources to score.
    """

    def validate(model: Any) -> dict[str, float]:
        scores: dict[str, float] = {}
        now = AnyToAny(model, made.words, made.preprocessing)
        for source in validation if accelerator.is_main_process else ():
            assert options.size is not None
            samples = list(modality_samples([source], options.size, options.validation_images))
            inputs = all_inputs(now, samples, [SOURCE])
            for target in now.tokenizers:
                if target != "tok_rgb":
                    found = score_direction(now, samples, SOURCE, target, inputs=inputs).means()
                    kind = target.removeprefix("tok_")
                    scores |= {f"{source.spec}/{kind}_{name}": value for name, value in found.items()}
        return scores

    def save(model: Any, output: Path) -> None:
        save_model(model, made.preprocessing, output)
        if made.words is not None:
            made.words.save_pretrained(output)

    return Hooks(validate=validate, preview=lambda model, tracking, step: None, save=save)
