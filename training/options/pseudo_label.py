"""Options of training/pseudo_label.py."""

from dataclasses import dataclass

from semidepth.common.files import check_folder
from semidepth.common.options import check_choices, option
from semidepth.data.source_spec import parse_source
from semidepth.training.options.run import MixedPrecision, check_at_least
from semidepth.training.options.teacher import TeacherKind


@dataclass(frozen=True, kw_only=True)
class PseudoLabelOptions:
    """Options of training/pseudo_label.py."""

    teacher: str = option(help="Any depth-estimation model: Hub id or folder.")
    unlabeled: tuple[str, ...] = option(help="Sources of images, with an end: SOURCE[?option=value&...].")
    output: str = option(
        "outputs/pseudo_labels", help="Folder, or where fsspec can write: hf://datasets/org/name, s3://bucket/name."
    )
    teacher_kind: TeacherKind = option("auto", help="What the teacher predicts; auto: looked up.")
    reliability: bool = option(True, help="Score stability over the teacher's earlier checkpoints, if it has any.")
    batch_size: int = option(16, help="Images of one size in a forward pass.")
    part_size: int = option(500, help="Images in a file, at most; held in memory till then.")
    mixed_precision: MixedPrecision = option(
        "no", help="Number format of the forward pass. auto: bf16 where it is faster than float32. fp16: CUDA only."
    )
    num_threads: int = option(4, help="Threads that decode, and as many that encode.")
    private: bool = option(True, help="Whether a new dataset on the Hub is private.")
    cpu: bool = option(False, help="Use the CPU even where there is a GPU.")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        check_choices(self)
        for name in ("batch_size", "part_size", "num_threads"):
            check_at_least(self, name, 1)
        if "://" not in self.output:
            check_folder("output", self.output)
        if not self.unlabeled:
            raise ValueError("--unlabeled is empty; name at least one source of images, such as a folder of photos.")
        for spec in self.unlabeled:
            if parse_source(spec).endless:
                raise ValueError(f"--unlabeled {spec!r} never ends; give it an end with ?count=N.")
