"""Label unlabeled images once, so that students of several sizes can train from the labels.

    accelerate launch training/pseudo_label.py --teacher outputs/teacher \\
        --unlabeled 'scenes:indoor?count=500' --output outputs/pseudo_labels             # minutes on a CPU
    accelerate launch training/pseudo_label.py --teacher depth-anything/Depth-Anything-V2-Large-hf \\
        --unlabeled my_photos/ 'shards/*.tar' --output outputs/pseudo_labels --mixed_precision bf16
    accelerate launch training/student.py --pseudo_labels outputs/pseudo_labels          # trains from them

The set is parquet files of at most --part_size images with their bytes untouched, and beside each its inverse depth as
a 16-bit PNG with scale and shift, the teacher's id and revision, and a reliability: how stable the prediction was over
the checkpoints that the teacher kept while it was trained (ST++, arXiv 2106.05095). Any number of processes shares the
work; the same command goes on with what an earlier run left, and does nothing where all is there.
"""

import logging
import sys
from datetime import timedelta

import torch
from accelerate import PartialState
from huggingface_hub import HfApi
from tqdm.auto import tqdm

from semidepth.common.console import bar_interval_s, run_command, set_up_logging
from semidepth.common.retrying import describe
from semidepth.data.pseudo_labels import LabelFolder, Record, parts_to_make
from semidepth.data.public_names import fingerprint, public_source
from semidepth.data.reading.sources import count_samples, open_source
from semidepth.data.source_spec import parse_sources
from semidepth.prediction.checkpoints import revision_of
from semidepth.prediction.models import load_depth_model
from semidepth.training.arguments.pseudo_label import PseudoLabelArguments
from semidepth.training.arguments.run import parse_arguments
from semidepth.training.engine.setup import check_sources
from semidepth.training.recipes.labeling import Labeler
from semidepth.training.recipes.own_teacher import kind_given
from semidepth.training.recipes.selection import earlier_checkpoints, load_earlier

logger = logging.getLogger(__name__)

PRECISIONS = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def pseudo_label(arguments: PseudoLabelArguments) -> str:
    """Labels all images of all sources; returns the folder.

    Raises:
        ValueError: in one sentence, for options that do not fit the teacher, the sources or what is there already.
    """
    # Whole files go to processes: one may wait long for another at the end.
    state = PartialState(cpu=arguments.cpu, timeout=timedelta(days=1))
    if arguments.mixed_precision == "fp16" and state.device.type != "cuda":
        raise ValueError("--mixed_precision fp16 needs a CUDA device and there is none in use; take bf16 or no.")
    sources = parse_sources(arguments.unlabeled)
    check_sources(sources, labeled=False)
    kind = kind_given(arguments.teacher_kind)
    teacher = load_depth_model(arguments.teacher, device=state.device, kind=kind)
    checkpoints = earlier_checkpoints(arguments.teacher) if arguments.reliability else []
    record = Record(
        teacher=public_source(arguments.teacher),
        teacher_revision=revision_of(arguments.teacher),
        reliability_from=[checkpoint.name for checkpoint in checkpoints],
        sources=[public_source(source) for source in arguments.unlabeled],
        made_from=fingerprint([arguments.teacher, *arguments.unlabeled]),
        shards=[open_source(source, labeled=False).num_shards for source in sources],
        images=[count_samples(source) for source in sources],
        part_size=arguments.part_size,
        label_size=teacher.preprocessing.size,
    )
    folder = open_folder(arguments, record, state)
    finished = folder.finished()
    if not checkpoints and arguments.reliability:
        logger.info("%s has no earlier checkpoints: reliability is not known", arguments.teacher)
    labeler = Labeler(
        teacher,
        load_earlier(arguments.teacher, checkpoints, device=state.device, kind=kind),
        device=state.device,
        batch_size=arguments.batch_size,
        threads=arguments.num_threads,
        precision=PRECISIONS[arguments.mixed_precision],
        identity={"teacher": record.teacher, "teacher_revision": record.teacher_revision},
    )
    parts = parts_to_make(
        sources,
        arguments.part_size,
        process=state.process_index,
        processes=state.num_processes,
        finished=finished,
    )
    with progress(record.images, len(finished) * arguments.part_size, state) as bar:
        labeled = labeler.label(parts, folder.write_part, bar.update)
    state.wait_for_everyone()
    logger.info(
        "%d images labeled by this process, %d skipped; %d files in %s",
        labeled, labeler.skipped, len(folder.finished()), arguments.output,
    )  # fmt: skip
    return arguments.output


def open_folder(arguments: PseudoLabelArguments, record: Record, state: PartialState) -> LabelFolder:
    """The set, begun by the main process where it is not there yet.

    Raises:
        ValueError: it was made by another teacher or of other sources, or cannot be written.
    """
    try:
        if arguments.output.startswith("hf://") and state.is_main_process:
            repo = "/".join(arguments.output.removeprefix("hf://datasets/").split("/")[:2])
            HfApi().create_repo(repo, repo_type="dataset", private=arguments.private, exist_ok=True)
        folder = LabelFolder(arguments.output)
        folder.check(record)
    except ValueError:
        raise
    except Exception as error:  # the Hub, a store, a missing package: each has its own kinds
        raise ValueError(f"--output cannot be written ({describe(error)}); check its name and your rights.") from error
    state.wait_for_everyone()
    if state.is_main_process:
        folder.begin(record)
    state.wait_for_everyone()
    return folder


def progress(counts: list[int | None], finished: int, state: PartialState) -> tqdm:
    """A bar with images per second and time left, of this process's share, in the main process.

    Args:
        counts: images in each source, where known.
        finished: about how many of them are labeled already.
        state: of the processes.
    """
    total = None if None in counts else sum(count for count in counts if count)
    share = None if total is None else -(-max(0, total - finished) // state.num_processes)
    return tqdm(
        total=share,
        desc="pseudo labels",
        unit="img",
        dynamic_ncols=True,
        disable=not state.is_main_process,
        mininterval=bar_interval_s(),
    )


def main(argv: list[str] | None = None) -> int:
    """Command line; see the top of the file. Returns the exit status."""
    arguments = parse_arguments(PseudoLabelArguments, argv, description=__doc__ or "")
    set_up_logging()
    return run_command(lambda: pseudo_label(arguments))


if __name__ == "__main__":
    sys.exit(main())
