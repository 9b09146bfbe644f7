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

from semidepth.common.commands import Command
from semidepth.training.options.encoder import EncoderOptions


def run(options: EncoderOptions) -> None:
    """Trains and saves the encoder."""
    from semidepth.training.recipes.encoder import pretrain_encoder  # takes seconds

    pretrain_encoder(options)


COMMAND = Command("python training/encoder.py", EncoderOptions, run, __doc__)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
