"""Train a metric model: a relative student with a head for each domain, and a router that picks the head.

    semidepth train metric                                                   # built-in scenes, minutes on a CPU
    semidepth train metric --student depth-anything/Depth-Anything-V2-Small-hf \\
        --train 'indoor=rooms/*.parquet?depth_scale=0.001' outdoor=drives/ --mixed_precision bf16     # your own
    semidepth train metric --student depth-anything/Depth-Anything-V2-Small-hf \\
        --train indoor=rooms/ --metric_head stock            # Depth Anything V2's head: no custom code to load it

The method is ZoeDepth's (arXiv 2302.12288), with the learning rates of Depth Anything's metric models; a step is
described in training/recipes/metric/training.py.
"""

import sys
from typing import Any

from semidepth.common.commands import Command
from semidepth.training.options.metric import MetricOptions
from semidepth.training.options.presets import scenes_preset

PRESET = scenes_preset("metric_scenes", MetricOptions, unless=("student", "train"))


def train_metric(options: MetricOptions) -> dict[str, Any]:
    """Trains and saves a metric model; returns final losses and scores.

    Raises:
        NothingToDo: the run is finished already.
        ValueError: in one sentence, for options that do not fit the data or the model.
    """
    from semidepth.training.recipes.metric import training  # takes seconds

    return training.train_metric(options)


COMMAND = Command("semidepth train metric", MetricOptions, train_metric, __doc__, PRESET)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
