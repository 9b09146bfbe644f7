"""Options of `semidepth label-masks`, the command that cuts unlabeled photos into masks."""

from dataclasses import dataclass

from semidepth.common.files import check_folder
from semidepth.common.option_checks import check_at_least, check_share
from semidepth.common.options import check_choices, option
from semidepth.training.options.pseudo_label import check_finite_photos


@dataclass(frozen=True, kw_only=True)
class LabelMasksOptions:
    """Options of the command that cuts unlabeled photos into masks."""

    teacher: str = option(
        "semidepth-small", help="Depth student of ours whose features and depth decide: Hub id or folder."
    )
    unlabeled: tuple[str, ...] = option(help="Finite sources of images: SOURCE[?option=value&...].")
    output: str = option(
        "outputs/mask_labels",
        help="Folder for the masks, or an address that fsspec can write: hf://datasets/org/name, s3://bucket/name.",
    )
    json: bool = option(False, help="Also write images/NAME.json beside a copy of each picture, as SA-1B has it.")
    size: int | None = option(None, help="Shorter side at which photos are seen, pixels. Default: the model's.")
    depth_weight: float = option(2.0, help="Cost of a depth jump against that of unlike features.")
    color_weight: float = option(0.3, help="Cost of a difference in colour.")
    min_area: float = option(0.002, help="Least share of the photo that a mask has.")
    max_area: float = option(0.7, help="Largest share of the photo that a mask has.")
    min_stability: float = option(
        0.3, help="Least stability: the share of a mask's contrast with its surroundings that it has not inside."
    )
    masks_per_image: int = option(24, help="Masks of a photo, at most: those that stand out most.")
    part_size: int = option(100, help="Most images in one parquet file; a stopped run is resumed at the next file.")
    batch_size: int = option(4, help="Images in a forward pass, all of one size.")
    num_workers: int = option(2, help="Processes that group, beside the one that runs the model; 0: none.")
    private: bool = option(True, help="Make a new dataset on the Hub private.")
    cpu: bool = option(False, help="Use the CPU even if there is a GPU.")

    def __post_init__(self) -> None:
        """Raises ValueError for a value that cannot work."""
        check_choices(self)
        for name in ("part_size", "batch_size", "masks_per_image"):
            check_at_least(self, name, 1)
        for name in ("num_workers", "depth_weight", "color_weight"):
            check_at_least(self, name, 0)
        for name in ("min_area", "max_area", "min_stability"):
            check_share(self, name, least=0)
        if self.min_area >= self.max_area:
            raise ValueError(f"--min_area is {self.min_area} and --max_area {self.max_area}; give a smaller one first.")
        if "://" not in self.output:
            check_folder("output", self.output)
        check_finite_photos(self.unlabeled)
