"""Train a teacher: a relative depth model on labeled images alone.

    semidepth train teacher                                                  # built-in scenes, minutes on a CPU
    semidepth train teacher --encoder facebook/dinov2-large \\
        --labeled 'rooms/*.parquet?depth_scale=0.001' --mixed_precision bf16 # your own

Depth Anything (arXiv 2401.10891), section 3.1: a pretrained encoder and a fresh DPT decoder learn inverse depth from
labeled images with the affine-invariant loss; images stay clean but for a horizontal flip; the decoder learns ten times
as fast as the encoder. The teacher then labels the images that training/student.py learns from.
"""

import sys
from typing import Any

from semidepth.common.commands import Command
from semidepth.training.options.presets import scenes_preset
from semidepth.training.options.teacher import TeacherOptions

PRESET = scenes_preset("teacher_scenes", TeacherOptions)


def train_teacher(options: TeacherOptions) -> dict[str, Any]:
    """Trains and saves a teacher; returns final losses and scores.

    Raises:
        NothingToDo: the run is finished already.
        ValueError: in one sentence, for options that do not fit the data or the encoder.
    """
    from semidepth.training.recipes import teacher  # takes seconds

    return teacher.train_teacher(options)


COMMAND = Command("semidepth train teacher", TeacherOptions, train_teacher, __doc__, PRESET)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
