"""Pre-train the built-in encoder: a small DINOv2 that stands in for the real one where nothing can be downloaded.

    python training/encoder.py                             # a minute or two on 2 CPU cores, into outputs/encoder
    python training/encoder.py --objective masked --output_dir outputs/encoder_masked

Depth Anything's student starts from a DINOv2 encoder pre-trained on many images, and its features are kept close to
that encoder's. Without a network there is none to load, so this command pre-trains a small one on rendered scenes of
every style, without depth labels. It learns to predict which surface classes each part of a patch shows (`semantic`;
the renderer gives these labels) or the pixels of hidden patches (`masked`). With a network or a local copy, use
`--encoder facebook/dinov2-small` in the other commands instead.
"""

import sys
from collections.abc import Sequence

from semidepth.common.console import run_command, set_up_logging
from semidepth.common.options import parse_options
from semidepth.training.options.encoder import EncoderOptions
from semidepth.training.recipes.encoder import pretrain_encoder


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line (see the top of the file) and returns its exit status."""
    set_up_logging()
    return run_command(lambda: pretrain_encoder(parse_options(EncoderOptions, argv, description=__doc__)))


if __name__ == "__main__":
    sys.exit(main())
