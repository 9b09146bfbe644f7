"""Train a student on images that a teacher labels, and on ground truth where there is some.

    semidepth train student                                                   # built-in scenes, minutes on a CPU
    semidepth train student --encoder facebook/dinov2-small \\
        --teacher depth-anything/Depth-Anything-V2-Large-hf --unlabeled my_photos/ \\
        --mixed_precision bf16                                                # your photos and a teacher
    … --labeled 'rooms/*.parquet?depth_scale=0.001'     # and ground truth, where you have some
    … --start outputs/teacher                           # go on from a whole model instead of --encoder
    … --pseudo_labels outputs/pseudo_labels       # with labels that semidepth pseudo-label made before
    … --unlabeled my_photos/ --select_reliable 0.5      # reliable labels first, as ST++ does, in one command
    accelerate launch training/student.py …             # the same on several GPUs, see docs/scale.md

Depth Anything (arXiv 2401.10891), section 3. A batch is one part labeled to two parts unlabeled. In each step

1. the frozen teacher labels the clean unlabeled images;
2. the student gets these images with strong colour distortion and CutMix, and the labeled ones clean;
3. three losses: labeled (ground truth), unlabeled (pseudo labels, both sides of a CutMix border apart), and feature
   alignment (the student's tokens stay near those of the frozen encoder that it started from);
4. their plain mean is minimised.

Without --labeled the labeled loss is left out, and a batch is of unlabeled images alone. The student starts from the
pretrained encoder, never from the teacher's weights, or it would only repeat the teacher; --start goes on from a model.
The losses are `student_losses` in training/recipes/student.py.
"""

import sys
from typing import Any

from semidepth.common.commands import Command
from semidepth.training.options.presets import scenes_preset
from semidepth.training.options.student import StudentOptions

PRESET = scenes_preset("student_scenes", StudentOptions)


def train_student(options: StudentOptions) -> dict[str, Any]:
    """Trains and saves a student, in steps where `select_reliable` asks for it; returns final losses and scores.

    Raises:
        NothingToDo: the run is finished already.
        ValueError: in one sentence, for options that do not fit the data, the encoder or the teacher.
    """
    from semidepth.training.recipes.selection import train_with_selection  # takes seconds
    from semidepth.training.recipes.student import train_on_all

    return train_with_selection(options) if options.select_reliable else train_on_all(options)


COMMAND = Command("semidepth train student", StudentOptions, train_student, __doc__, PRESET)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
