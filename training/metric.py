"""Train metric depth: a head for each domain on a relative student, and a router that picks the head for each image.

    semidepth train metric                                                   # built-in scenes, minutes on a CPU
    semidepth train metric --student depth-anything/Depth-Anything-V2-Small-hf \\
        --train 'indoor=rooms/*.parquet?depth_scale=0.001' outdoor=drives/ --mixed_precision bf16     # your own
    semidepth train metric --student depth-anything/Depth-Anything-V2-Small-hf \\
        --train indoor=rooms/ --metric_head stock            # Depth Anything V2's own head, loads anywhere it does

ZoeDepth (arXiv 2302.12288), with the learning rates of Depth Anything's metric models. In each step

1. a batch mixes the domains, each drawn by its weight; images are turned a little and their light changed;
2. each image goes through the head of its own domain, and the router says which domain it takes it for;
3. SILog compares metres with the labels, domain by domain; cross-entropy compares the router's answer;
4. heads learn fast, the pretrained core slowly (or not at all: --freeze_core), on a one-cycle schedule.
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
    """Command line; see the top of the file. Returns the exit status."""
    set_up_logging()
    return run_command(
        lambda: train_metric(
            parse_options(MetricOptions, argv, prog="semidepth train metric", description=__doc__, preset=PRESET)
        )
    )


if __name__ == "__main__":
    sys.exit(main())
