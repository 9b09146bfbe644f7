"""Options of training/teacher.py; here, since a student may have to train its teacher first."""

from dataclasses import dataclass, field

from semidepth.training.engine.arguments import TrainingArguments


@dataclass
class TeacherArguments(TrainingArguments):
    """Options of training/teacher.py."""

    output_dir: str = field(default="outputs/teacher", metadata={"help": "Folder for weights, checkpoints and logs."})
