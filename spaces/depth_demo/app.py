"""Depth from a picture, in 3D, or of a video, with any depth-estimation model of transformers.

    semidepth demo                              # the model that comes with semidepth, and those below outputs/
    semidepth demo --model outputs/demo/metric depth-anything/Depth-Anything-V2-Small-hf

`python spaces/depth_demo/app.py` is the same. It needs the packages of `pip install 'semidepth[space]'`. On a Hugging
Face Space this file runs without arguments; the variable MODELS (ids, with spaces between) names the models there.
"""

import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from app_options import AppOptions

from semidepth.common.commands import Command


def models_of_space(_: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the models that the variable MODELS names, as defaults of --model."""
    return {"model": tuple(os.environ.get("MODELS", "").split())}


def run(options: AppOptions) -> None:
    """Serves the page until the process is stopped; raises ValueError where it cannot start."""
    # SIGTERM is to stop this process as Ctrl-C does, so that uploads and results are removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from server import serve  # takes seconds

    try:
        serve(options)
    except OSError as error:
        raise ValueError(str(error)) from error


COMMAND = Command("semidepth demo", AppOptions, run, __doc__, models_of_space)

if __name__ == "__main__":
    sys.exit(COMMAND.main())
