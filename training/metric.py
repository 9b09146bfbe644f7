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
from collections.abc import Sequence

from semidepth.common.console import run_command, set_up_logging
from semidepth.common.options import parse_options
from semidepth.training.options.metric import MetricOptions
from semidepth.training.options.presets import scenes_preset
from semidepth.training.recipes.metric.training import train_metric

PRESET = scenes_preset("metric_scenes", MetricOptions, unless=("student", "train"))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line (see the top of the file) and returns its exit status."""
    set_up_logging()
    return run_command(
        lambda: train_metric(
            parse_options(MetricOptions, argv, prog="semidepth train metric", description=__doc__, preset=PRESET)
        )
    )


if __name__ == "__main__":
    sys.exit(main())
