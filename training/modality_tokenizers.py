"""Train tokenizers of maps and of words: what a 4M model reads and writes.

    semidepth train tokenizers                                                      # built-in scenes
    semidepth train tokenizers --train 'rooms/*.parquet?depth_scale=0.001&fov_deg=63' --output_dir outputs/mine

Pictures, metric depth, normals and classes become grids of tokens by finite scalar quantisation (arXiv 2309.15505).
What they lose on the way to tokens and back is scored on --validation: no 4M model with these tokens can do better.
"""

import sys
from typing import Any

from semidepth.common.commands import Command
from semidepth.training.options.presets import scenes_preset
from semidepth.training.options.tokenizers import TokenizerOptions

PRESET = scenes_preset("tokenizers_scenes", TokenizerOptions, unless=("train",))


def train_tokenizers(options: TokenizerOptions) -> dict[str, Any]:
    """Trains and saves tokenizers; returns final losses and the errors of round trips.

    Raises:
        NothingToDo: the run is finished already.
        ValueError: in one sentence, for options that do not fit the data.
    """
    from semidepth.training.recipes.four_m import tokenizers  # takes seconds

    return tokenizers.train_tokenizers(options)


COMMAND = Command("semidepth train tokenizers", TokenizerOptions, train_tokenizers, __doc__, PRESET)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
