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

import sys
from collections.abc import Sequence

from semidepth.common.console import run_command, set_up_logging
from semidepth.common.options import parse_options
from semidepth.training.options.pseudo_label import PseudoLabelOptions
from semidepth.training.recipes.pseudo_label import pseudo_label


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the top of the file. Returns the exit status."""
    set_up_logging()
    return run_command(lambda: pseudo_label(parse_options(PseudoLabelOptions, argv, description=__doc__)))


if __name__ == "__main__":
    sys.exit(main())
