"""Options of training/pseudo_label.py."""

from dataclasses import dataclass, field

from semidepth.common.files import check_folder
from semidepth.data.source_spec import parse_source
from semidepth.training.arguments.run import MIXED_PRECISION, check_at_least
from semidepth.training.arguments.student import TEACHER_KINDS


@dataclass
class PseudoLabelArguments:
    """Options of training/pseudo_label.py."""

    teacher: str = field(metadata={"help": "Any depth-estimation model: Hub id or folder."})
    unlabeled: list[str] = field(metadata={"help": "Sources of images, with an end: SOURCE[?option=value&...]."})
    output: str = field(
        default="outputs/pseudo_labels",
        metadata={"help": "Folder, or where fsspec can write: hf://datasets/org/name, s3://bucket/name."},
    )
    teacher_kind: str = field(
        default="auto", metadata={"help": "What the teacher predicts: disparity, depth, or auto (looked up)."}
    )
    reliability: bool = field(
        default=True, metadata={"help": "Score stability over the teacher's earlier checkpoints, if it has any."}
    )
    batch_size: int = field(default=16, metadata={"help": "Images of one size in a forward pass."})
    part_size: int = field(default=500, metadata={"help": "Images in a file, at most; held in memory till then."})
    mixed_precision: str = field(default="no", metadata={"help": "no, bf16 or fp16 (CUDA only)."})
    num_threads: int = field(default=4, metadata={"help": "Threads that decode, and as many that encode."})
    private: bool = field(default=True, metadata={"help": "Whether a new dataset on the Hub is private."})
    cpu: bool = field(default=False, metadata={"help": "Use the CPU even where there is a GPU."})

    def validate(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        for name in ("batch_size", "part_size", "num_threads"):
            check_at_least(self, name, 1)
        for name, allowed in (("mixed_precision", MIXED_PRECISION), ("teacher_kind", TEACHER_KINDS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"--{name} is {getattr(self, name)!r}; choose one of {', '.join(allowed)}.")
        if "://" not in self.output:
            check_folder("output", self.output)
        if not self.unlabeled:
            raise ValueError("--unlabeled is empty; name at least one source of images, such as a folder of photos.")
        for spec in self.unlabeled:
            if parse_source(spec).endless:
                raise ValueError(f"--unlabeled {spec!r} never ends; give it an end with ?count=N.")
