"""Options of the demo, training/demo.py."""

from dataclasses import dataclass

from semidepth.common.option_checks import check_at_least
from semidepth.common.options import check_choices, option
from semidepth.prediction.inputs import find_inputs
from semidepth.training.options.run import BUILT_IN_ENCODER

# Value of --encoder: the best one that can be had.
AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Options of the demo."""

    output_dir: str = option("outputs/demo", help="Folder for models, scores and pictures.")
    seeds: tuple[int, ...] = option(
        (0,),
        help="Random seeds for weights, data order and augmentation, one run for each; all share encoder and scenes.",
    )
    photos: tuple[str, ...] = option(
        (), help="Photos to predict: files, folders or globs. Default: the example photos of the page."
    )
    encoder: str = option(
        AUTO,
        help="Pretrained encoder: Hub id or folder. 'auto': facebook/dinov2-small from the cache or the Hub, else that "
        f"of the model that comes with semidepth. '{BUILT_IN_ENCODER}': the built-in stand-in for DINOv2, which is "
        "pre-trained first and needs less time and no weights.",
    )
    size: int | None = option(None, help="Side of the scenes in pixels. Default: by the encoder, like all steps below.")
    labeled_scenes: int = option(64, help="Number of labeled rooms, and of labeled streets.")
    encoder_steps: int = option(700, help="Updates of the built-in encoder.")
    teacher_steps: int | None = option(None, help="Updates of the teacher.")
    student_steps: int | None = option(None, help="Updates of the student, and of the labeled-only model.")
    metric_steps: int | None = option(None, help="Updates of each metric model; 0 for no metric models.")
    batch_size: int | None = option(None, help="Labeled images per step; the student has unlabeled ones besides.")
    test_scenes: int = option(48, help="Held-out scenes for each domain and style.")
    cpu: bool = option(False, help="Use the CPU even if there is a GPU.")

    def __post_init__(self) -> None:
        """Raises ValueError for a value that cannot work."""
        check_choices(self)
        for name in (
            "labeled_scenes", "encoder_steps", "teacher_steps", "student_steps", "batch_size", "test_scenes"
        ):  # fmt: skip
            check_at_least(self, name, 1)
        check_at_least(self, "metric_steps", 0)
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"--seeds is {self.seeds}; give one or more different numbers, at least 0.")
        if self.photos:
            find_inputs(self.photos, videos=False)
