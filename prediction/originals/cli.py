"""Convert original weights of Depth Anything V1, V2 or ZoeDepth to a folder that every command here loads.

    semidepth convert-checkpoint depth_anything_v2_vits.pth models/v2-small
    semidepth convert-checkpoint depth_anything_v2_metric_hypersim_vitl.pth models/indoor
    semidepth convert-checkpoint ZoeD_M12_NK.pt models/zoedepth
    semidepth predict photo.jpg --model models/v2-small

The folder holds a stock model of transformers: config.json, model.safetensors and preprocessor_config.json. The file is
read without running code from it (`torch.load(weights_only=True)`). Prefixes such as `module.` and training checkpoints
that hold the weights under "model" or "state_dict" are understood. Sizes are read from the weights; nothing is
downloaded.
"""

import sys

from semidepth.common.commands import Command
from semidepth.prediction.originals.options import ConvertOptions


def run(options: ConvertOptions) -> None:
    """Converts the file and prints one line about the model."""
    from semidepth.prediction.originals.convert import convert  # takes seconds

    print(convert(options.file, options.output, version=options.version, max_depth_m=options.max_depth_m))


COMMAND = Command("semidepth convert-checkpoint", ConvertOptions, run, __doc__)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
