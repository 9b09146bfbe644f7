"""Train a 4M model: pictures, depth, normals, classes and captions, each from any other or a part of it.

    semidepth train four-m                                                      # built-in scenes, tokenizers first
    semidepth train four-m --tokenizers outputs/tokenizers --train 'rooms/*.parquet?depth_scale=0.001&fov_deg=63'
    semidepth train four-m --tokenizers outputs/tokenizers --modalities tok_depth --only_from_rgb   # one task alone

The method is 4M's (arXiv 2312.06647): one encoder and decoder over tokens, of which a step sees some and predicts
others; see training/recipes/four_m/training.py.
"""

import sys
from typing import Any

from semidepth.common.commands import Command
from semidepth.training.options.four_m import FourMOptions
from semidepth.training.options.presets import scenes_preset

PRESET = scenes_preset("four_m_scenes", FourMOptions, unless=("train",))


def train_four_m(options: FourMOptions) -> dict[str, Any]:
    """Trains and saves a 4M model; returns final losses and scores.

    Raises:
        NothingToDo: the run is finished already.
        ValueError: in one sentence, for options that do not fit the data or the tokenizers.
    """
    from semidepth.training.recipes.four_m import training  # takes seconds

    return training.train_four_m(options)


COMMAND = Command("semidepth train four-m", FourMOptions, train_four_m, __doc__, PRESET)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
