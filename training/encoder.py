"""Pre-train the built-in encoder: a small DINOv2 that stands in for the real one where nothing can be downloaded.

    python training/encoder.py                             # a minute or two on 2 CPU cores, into outputs/encoder
    python training/encoder.py --objective masked --output_dir outputs/encoder_masked

The student of Depth Anything starts from an encoder that has seen all kinds of images, and is held close to it. Offline
there is none, so this one learns from rendered scenes of every style, without any depth: either which kinds of surface
each part of a patch shows (`semantic`: the renderer knows for free) or what hidden patches look like (`masked`).
It is a stand-in; with a network or a local copy use `--encoder facebook/dinov2-small` in the other commands.
"""

import sys
from collections.abc import Sequence

from semidepth.common.console import run_command, set_up_logging
from semidepth.common.options import parse_options
from semidepth.training.options.encoder import EncoderOptions
from semidepth.training.recipes.encoder import pretrain_encoder


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the top of the file. Returns the exit status."""
    set_up_logging()
    return run_command(lambda: pretrain_encoder(parse_options(EncoderOptions, argv, description=__doc__)))


if __name__ == "__main__":
    sys.exit(main())
