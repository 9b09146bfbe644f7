"""Train a teacher: a relative depth model on labeled images alone.

    semidepth train teacher                                                  # built-in scenes, minutes on a CPU
    semidepth train teacher --encoder facebook/dinov2-large \\
        --labeled 'rooms/*.parquet?depth_scale=0.001' --mixed_precision bf16 # your own

Depth Anything (arXiv 2401.10891), section 3.1: a pretrained encoder and a fresh DPT decoder learn inverse depth from
labeled images with the affine-invariant loss; images stay clean but for a horizontal flip; the decoder learns ten times
as fast as the encoder. The teacher then labels the images that training/student.py learns from.
"""

import sys
from collections.abc import Sequence

from semidepth.common.console import run_command, set_up_logging
from semidepth.common.options import parse_options
from semidepth.training.options.presets import scenes_preset
from semidepth.training.options.teacher import TeacherOptions
from semidepth.training.recipes.teacher import train_teacher

PRESET = scenes_preset("teacher_scenes", TeacherOptions)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the top of the file. Returns the exit status."""
    set_up_logging()
    return run_command(
        lambda: train_teacher(
            parse_options(TeacherOptions, argv, prog="semidepth train teacher", description=__doc__, preset=PRESET)
        )
    )


if __name__ == "__main__":
    sys.exit(main())
