"""Options of training/teacher.py."""

from dataclasses import dataclass
from typing import Literal

from semidepth.common.options import option
from semidepth.prediction.checkpoints import Kind
from semidepth.training.options.run import RelativeOptions

# Output of a teacher; auto: looked up by its class.
TeacherKind = Literal["auto", "disparity", "depth"]


@dataclass(frozen=True, kw_only=True)
class TeacherOptions(RelativeOptions):
    """Options of training/teacher.py."""

    output_dir: str = option("outputs/teacher", help="Folder for weights, checkpoints and logs.")

    def __post_init__(self) -> None:
        """Checks every value; see [`RelativeOptions`]."""
        super().__post_init__()
        if not self.labeled:
            raise ValueError("--labeled is empty; name at least one source with depth labels, such as scenes:indoor.")


def kind_given(teacher_kind: TeacherKind) -> Kind | None:
    """Returns what a teacher predicts if the option says so; None for auto."""
    return None if teacher_kind == "auto" else teacher_kind
