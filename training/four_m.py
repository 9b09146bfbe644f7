"""Train a 4M model: pictures, depth, normals, classes and captions, each from any other or a part of it.

    semidepth train four-m                                                      # built-in scenes, tokenizers first
    semidepth train four-m --tokenizers outputs/tokenizers --train 'rooms/*.parquet?depth_scale=0.001&fov_deg=63'
    semidepth train four-m --tokenizers outputs/tokenizers --modalities tok_depth --only_from_rgb   # one task alone

The method is 4M's (arXiv 2312.06647): one encoder and decoder over tokens, of which a step sees some and predicts
others; see training/recipes/four_m/training.py.
"""

import sys
from collections.abc import Mapping
from typing import Any

from semidepth.common.commands import Command
from semidepth.training.options.four_m import FourMOptions
from semidepth.training.options.presets import scenes_preset

_ON_SCENES = scenes_preset("four_m_scenes", FourMOptions, unless=("train",))


def _preset(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the preset of the scenes, also where a model is gone on from: --start is no warm start of a student."""
    return _ON_SCENES({name: value for name, value in given.items() if name != "start"})


def train_four_m(options: FourMOptions) -> dict[str, Any]:
    """Trains and saves a 4M model; returns final losses and scores.

    Raises:
        NothingToDo: the run is finished already.
        ValueError: in one sentence, for options that do not fit the data or the tokenizers.
    """
    from semidepth.training.recipes.four_m import training  # takes seconds

    return training.train_four_m(options)


COMMAND = Command("semidepth train four-m", FourMOptions, train_four_m, __doc__, _preset)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
