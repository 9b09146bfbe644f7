"""Pre-trains the encoder that runs over several seeds start from, and takes means of their scores with errors."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from semidepth.training.options.encoder import EncoderOptions
from semidepth.training.options.run import BUILT_IN_ENCODER
from semidepth.training.recipes.encoder import pretrain_encoder


def find_encoder(encoder: str, output_dir: str, *, steps: int, cpu: bool) -> str:
    """Returns an encoder's Hub id or folder; the built-in one is pre-trained into `output_dir` where it is missing."""
    if encoder != BUILT_IN_ENCODER:
        return encoder
    folder = Path(output_dir) / "encoder"
    # The image processor is written last, so where its file exists the encoder is complete.
    if not (folder / "preprocessor_config.json").is_file():
        pretrain_encoder(EncoderOptions(output_dir=str(folder), steps=steps, cpu=cpu))
    return str(folder)


def with_error(values: Sequence[float], sign: str = "") -> str:
    """Returns the mean and, of several values, ± standard error of the mean."""
    mean = f"{statistics.fmean(values):{sign}.4f}"
    return f"{mean} ± {statistics.stdev(values) / len(values) ** 0.5:.4f}" if len(values) > 1 else mean
