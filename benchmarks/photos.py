"""Draw photos and their depth by the model that comes with semidepth: the pictures of README.

python benchmarks/photos.py
python benchmarks/photos.py --photos my_photos/*.jpg --output outputs/photos.png
"""

import argparse
from pathlib import Path

from semidepth.evaluation.photos import EXAMPLES, draw_photos

SHOWN = ("bear", "jockey", "palace", "classroom")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", default=[EXAMPLES / f"{name}.jpg" for name in SHOWN])
    parser.add_argument("--output", type=Path, default=Path("docs/photos.png"))
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    print(draw_photos(args.photos, args.output, args.device))


if __name__ == "__main__":
    main()
