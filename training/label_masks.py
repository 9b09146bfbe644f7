"""Cut unlabeled photos into masks, so that a mask model can train on photos that nobody labeled.

    semidepth label-masks --unlabeled my_photos/ --output outputs/mask_labels
    semidepth label-masks --unlabeled my_photos/ --json true --output outputs/mask_labels   # SA-1B's json, too
    semidepth train masks --student semidepth-small --train 'outputs/mask_labels?masks=masks'

Superpixels are joined by what a depth student's patches and its depth say, and what stands out from its surroundings is
a mask: wholes and parts, without names (training/recipes/masks/grouping.py). What stands before a lone -- goes to
`accelerate launch`; any number of processes share the work. Run the same command again to resume. It needs
`pip install 'semidepth[masks]'`.
"""

import sys
from importlib.util import find_spec

from semidepth.common.commands import Command
from semidepth.training.options.label_masks import LabelMasksOptions


def run(options: LabelMasksOptions) -> None:
    """Cuts photos into masks and writes the set.

    Raises:
        ValueError: a package is missing, or the options do not fit the data or the model.
    """
    for module, package in (("skimage", "scikit-image"), ("pycocotools", "pycocotools")):
        if find_spec(module) is None:
            raise ValueError(f"label-masks needs {package}, which is missing; pip install 'semidepth[masks]'.")
    from semidepth.training.recipes.masks.labeling import label_masks  # takes seconds

    label_masks(options)


COMMAND = Command("semidepth label-masks", LabelMasksOptions, run, __doc__)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
