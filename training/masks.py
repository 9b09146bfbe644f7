"""Train a promptable mask model on a depth model: click on a thing, or draw a box, and get its mask.

    semidepth train masks                                                    # built-in scenes
    semidepth train masks --student semidepth-small --train 'photos/?masks=instances.json' --mixed_precision bf16
    semidepth train masks --student semidepth-small --cached_images 2000 --cpu     # the core's features once, then fast

The method is Segment Anything's (arXiv 2304.02643), whose training code was never released; a step is described in
training/recipes/masks/training.py.
"""

import sys
from typing import Any

from semidepth.common.commands import Command
from semidepth.training.options.masks import MaskOptions
from semidepth.training.options.presets import scenes_preset

PRESET = scenes_preset("masks_scenes", MaskOptions, unless=("train",))


def train_masks(options: MaskOptions) -> dict[str, Any]:
    """Trains and saves a mask model; returns final losses and scores.

    Raises:
        NothingToDo: the run is finished already.
        ValueError: in one sentence, for options that do not fit the data or the model.
    """
    from semidepth.training.recipes.masks import training  # takes seconds

    return training.train_masks(options)


COMMAND = Command("semidepth train masks", MaskOptions, train_masks, __doc__, PRESET)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
