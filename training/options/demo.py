"""Options of training/demo.py."""

from dataclasses import dataclass

from semidepth.common.options import check_choices, option
from semidepth.prediction.inputs import find_inputs
from semidepth.training.options.run import BUILT_IN_ENCODER


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Options of the demo."""

    output_dir: str = option("outputs/demo", help="Folder for models, scores and pictures.")
    seeds: tuple[int, ...] = option(
        (0,), help="One run for each: weights, order, augmentation; encoder and scenes stay."
    )
    photos: tuple[str, ...] = option(
        (), help="Photos to predict: files, folders, globs. Default: the ones that gradio carries."
    )
    encoder: str = option(BUILT_IN_ENCODER, help="Pretrained encoder; 'scenes' pre-trains the built-in stand-in.")
    size: int | None = option(None, help="Side of the scenes in pixels. Default: the encoder's own image_size.")
    labeled_scenes: int = option(64, help="Labeled rooms, and as many labeled streets.")
    encoder_steps: int = option(700, help="Updates of the built-in encoder.")
    teacher_steps: int = option(300, help="Updates of the teacher.")
    student_steps: int = option(500, help="Updates of the student and of the labeled-only one.")
    metric_steps: int = option(300, help="Updates of each metric model; 0: none.")
    batch_size: int = option(8, help="Labeled images per step; the student sees twice as many more.")
    test_scenes: int = option(96, help="Held-out scenes for each domain and style.")
    cpu: bool = option(False, help="Use the CPU even where there is a GPU.")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        check_choices(self)
        for name in (
            "labeled_scenes", "encoder_steps", "teacher_steps", "student_steps", "batch_size", "test_scenes"
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} is {getattr(self, name)}; give at least 1.")
        if self.metric_steps < 0:
            raise ValueError(f"--metric_steps is {self.metric_steps}; give at least 0.")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"--seeds is {self.seeds}; give one or more different numbers, at least 0.")
        if self.photos:
            find_inputs(self.photos, videos=False)
