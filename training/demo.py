"""Show the depth of photos; then train and score all models on rendered scenes: encoder, teacher, student, metres.

    make demo                                              # one seed, minutes on 2 CPU cores, no network needed
    python training/demo.py --seeds 0 1 2                  # mean and spread over seeds
    python training/demo.py --encoder facebook/dinov2-small --photos my_photos/
    python training/demo.py --encoder scenes               # no pretrained weights: a small encoder learns first

First, within a minute, OUTPUT/photos.png shows photos and their depth by the model that comes with semidepth.

Then the training: a few rooms and streets of one style have labels. The teacher is trained on them, and so is a
labeled-only model, for as many steps as the student. The student also sees unlabeled scenes of every style. All three
are scored on held-out scenes of the labeled style and of another style, which only the student has seen (and the
built-in encoder). Then two metric models are trained on the student, one with a routed head for each domain and one
with a single head for both, and scored in metres.

All start from a real encoder where one can be had: DINOv2-small from the cache or the Hub, else the one inside
semidepth-small, which has learned depth before. The report says which.
"""

import sys

from semidepth.common.commands import Command
from semidepth.training.options.demo import DemoOptions


def run(options: DemoOptions) -> None:
    """Runs everything and prints the scores and what to do next."""
    from semidepth.training.recipes.demo.run import run_demo  # takes seconds

    print(run_demo(options))


COMMAND = Command("python training/demo.py", DemoOptions, run, __doc__)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
