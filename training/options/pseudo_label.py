"""Options of `semidepth pseudo-label`, the command that labels unlabeled images."""

from collections.abc import Sequence
from dataclasses import dataclass

from semidepth.common.files import check_folder
from semidepth.common.option_checks import check_at_least
from semidepth.common.options import check_choices, option
from semidepth.data.source_spec import parse_source
from semidepth.training.options.run import MixedPrecision
from semidepth.training.options.teacher import TeacherKind


def check_finite_photos(unlabeled: Sequence[str]) -> None:
    """Raises ValueError where --unlabeled is empty, no source, or one without an end."""
    if not unlabeled:
        raise ValueError("--unlabeled is empty; give at least one source of images, such as a folder of photos.")
    for spec in unlabeled:
        if parse_source(spec).endless:
            raise ValueError(f"--unlabeled {spec!r} never ends; limit it with ?count=N.")


@dataclass(frozen=True, kw_only=True)
class PseudoLabelOptions:
    """Options of the command that labels unlabeled images."""

    teacher: str = option(help="Teacher: Hub id or folder of any depth-estimation model.")
    unlabeled: tuple[str, ...] = option(help="Finite sources of images to label: SOURCE[?option=value&...].")
    output: str = option(
        "outputs/pseudo_labels",
        help="Folder for the labels, or an address that fsspec can write: hf://datasets/org/name, s3://bucket/name.",
    )
    teacher_kind: TeacherKind = option(
        "auto", help="Output of the teacher: inverse depth (disparity) or metres (depth). auto: by its model class."
    )
    reliability: bool = option(
        True, help="Save each label's reliability: its stability over the teacher's earlier checkpoints, if any."
    )
    batch_size: int = option(16, help="Images in a forward pass, all of one size.")
    part_size: int = option(500, help="Most images in one parquet file; they stay in memory until it is written.")
    mixed_precision: MixedPrecision = option(
        "no",
        help="Number format of the forward pass. auto: bf16 where it is faster than float32. fp16: CUDA only.",
    )
    num_threads: int = option(4, help="Threads for decoding images, and as many more for encoding labels.")
    private: bool = option(True, help="Make a new dataset on the Hub private.")
    cpu: bool = option(False, help="Use the CPU even if there is a GPU.")

    def __post_init__(self) -> None:
        """Raises ValueError for a value that cannot work."""
        check_choices(self)
        for name in ("batch_size", "part_size", "num_threads"):
            check_at_least(self, name, 1)
        if "://" not in self.output:
            check_folder("output", self.output)
        check_finite_photos(self.unlabeled)
