"""Making of a set of pseudo labels: any number of processes share the work, and a stopped run is resumed."""

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import PartialState
from huggingface_hub import HfApi
from safetensors.torch import load_file
from tqdm.auto import tqdm

from semidepth.common.console import bar_interval_s
from semidepth.common.retrying import describe
from semidepth.data.pseudo_labels import LabelFolder, LabelRecord, parts_to_make
from semidepth.data.public_names import fingerprint, public_source
from semidepth.data.reading.sources import count_samples, open_source
from semidepth.data.source_spec import parse_sources
from semidepth.prediction.checkpoints import revision_of
from semidepth.prediction.models import DepthModel, load_depth_model
from semidepth.training.engine.checkpoints import list_checkpoints
from semidepth.training.engine.precision import resolve_precision
from semidepth.training.engine.setup import check_sources
from semidepth.training.options.pseudo_label import PseudoLabelOptions
from semidepth.training.options.teacher import kind_given
from semidepth.training.recipes.labeling import Labeler

logger = logging.getLogger(__name__)

Folder = TypeVar("Folder", bound=LabelFolder)

PRECISIONS = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def pseudo_label(options: PseudoLabelOptions) -> str:
    """Labels all images of all sources with a teacher and returns the folder.

    Raises:
        ValueError: if the options do not fit the teacher, the sources or the labels that the folder already has.
    """
    # Each process labels whole files, so at the end one may wait long for another.
    state = PartialState(cpu=options.cpu, timeout=timedelta(days=1))
    precision = PRECISIONS[resolve_precision(options.mixed_precision, state)]
    sources = parse_sources(options.unlabeled)
    check_sources(sources, labeled=False)
    teacher = load_depth_model(options.teacher, device=state.device, kind=kind_given(options.teacher_kind))
    checkpoints = earlier_checkpoints(options.teacher) if options.reliability else []
    record = LabelRecord(
        teacher=public_source(options.teacher),
        teacher_revision=revision_of(options.teacher),
        reliability_from=[checkpoint.name for checkpoint in checkpoints],
        sources=[public_source(source) for source in options.unlabeled],
        made_from=fingerprint([options.teacher, *options.unlabeled]),
        shards=[open_source(source, labeled=False).num_shards for source in sources],
        images=[count_samples(source) for source in sources],
        part_size=options.part_size,
        label_size=teacher.preprocessing.size,
    )
    folder = open_folder(LabelFolder(options.output), record, state, private=options.private)
    finished = folder.finished()
    if not checkpoints and options.reliability:
        logger.info("%s has no earlier checkpoints: the labels have no reliability", options.teacher)
    labeler = Labeler(
        teacher,
        load_earlier(teacher, checkpoints),
        device=state.device,
        batch_size=options.batch_size,
        threads=options.num_threads,
        precision=precision,
        identity={"teacher": record.teacher, "teacher_revision": record.teacher_revision},
    )
    parts = parts_to_make(
        sources,
        options.part_size,
        process=state.process_index,
        processes=state.num_processes,
        finished=finished,
    )
    with released(folder):
        with progress(record.images, len(finished) * options.part_size, state) as bar:
            labeled = labeler.label(parts, folder.write_part, bar.update)
        state.wait_for_everyone()
    logger.info(
        "this process labeled %d images and skipped %d; %d files are in %s",
        labeled, labeler.skipped, len(folder.finished()), options.output,
    )  # fmt: skip
    return options.output


def open_folder(folder: Folder, record: LabelRecord, state: PartialState, *, private: bool) -> Folder:
    """Returns the set of labels, opened; the main process creates it if it does not exist, on the Hub as `private`.

    Raises:
        ValueError: if it has labels of another teacher or other sources, or cannot be written.
    """
    try:
        if folder.location.startswith("hf://") and state.is_main_process:
            repo = "/".join(folder.location.removeprefix("hf://datasets/").split("/")[:2])
            HfApi().create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        folder.check(record)
    except ValueError:
        raise
    except Exception as error:  # Hub, object stores and missing packages each raise errors of their own types
        raise ValueError(
            f"--output {folder.location} cannot be written ({describe(error)}); check its name and your access rights."
        ) from error
    state.wait_for_everyone()
    if state.is_main_process:
        folder.begin(record)
    state.wait_for_everyone()
    return folder


@contextmanager
def released(folder: LabelFolder) -> Iterator[None]:
    """Lets go of a set at the end of the block, and says after Ctrl-C how its making is resumed."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"run the same command again to resume, finished parts are in {folder.location}."
        ) from None
    finally:
        folder.release()


def progress(counts: list[int | None], finished: int, state: PartialState, desc: str = "pseudo labels") -> tqdm:
    """Returns a progress bar over this process's share of the images; only the main process shows it.

    Args:
        counts: number of images in each source; None where unknown.
        finished: approximate number of images that are labeled already.
        state: accelerate's process state.
        desc: of the bar.
    """
    total = None if None in counts else sum(count for count in counts if count)
    share = None if total is None else -(-max(0, total - finished) // state.num_processes)
    return tqdm(
        total=share,
        desc=desc,
        unit="img",
        dynamic_ncols=True,
        disable=not state.is_main_process,
        mininterval=bar_interval_s(),
    )


def earlier_checkpoints(name: str) -> list[Path]:
    """Returns a teacher's checkpoints without the newest (the teacher itself), oldest first; none for a Hub id."""
    return list_checkpoints(Path(name))[:-1] if Path(name).is_dir() else []


def load_earlier(teacher: DepthModel, checkpoints: list[Path]) -> list[DepthModel]:
    """Returns copies of the teacher with the weights of each checkpoint, on the teacher's device."""
    models = []
    for checkpoint in checkpoints:
        model = copy.deepcopy(teacher.model)
        model.load_state_dict(load_file(checkpoint / "model.safetensors"))
        models.append(DepthModel(model, teacher.preprocessing, teacher.kind, teacher.processor))
    return models
