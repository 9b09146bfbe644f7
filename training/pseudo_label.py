"""Label unlabeled images once, so that students of several sizes can train from the labels.

    semidepth pseudo-label --teacher outputs/teacher \\
        --unlabeled 'scenes:indoor?count=500' --output outputs/pseudo_labels             # takes minutes on a CPU
    semidepth pseudo-label --teacher depth-anything/Depth-Anything-V2-Large-hf \\
        --unlabeled my_photos/ 'shards/*.tar' --output outputs/pseudo_labels --mixed_precision bf16
    semidepth pseudo-label --num_processes 4 -- --teacher …                              # on several GPUs
    semidepth train student --pseudo_labels outputs/pseudo_labels                        # trains a student on them

What stands before a lone -- goes to `accelerate launch`; `accelerate launch training/pseudo_label.py` is the same.
The labels are parquet files of at most --part_size images. Each row has the image's original bytes, its inverse depth
as a 16-bit PNG with scale and shift, the teacher's id and revision, and a reliability: the stability of the prediction
over the checkpoints that the teacher saved in its training (ST++, arXiv 2106.05095). Any number of processes share the
work. Run the same command again to resume; it does nothing once all images are labeled.
"""

import sys

from semidepth.common.commands import Command
from semidepth.training.options.pseudo_label import PseudoLabelOptions


def run(options: PseudoLabelOptions) -> None:
    """Labels images and writes the set."""
    from semidepth.training.recipes.pseudo_label import pseudo_label  # takes seconds

    pseudo_label(options)


COMMAND = Command("semidepth pseudo-label", PseudoLabelOptions, run, __doc__)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
