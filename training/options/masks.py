"""Options of `semidepth train masks`."""

from dataclasses import dataclass

from semidepth.common.option_checks import check_at_least, check_positive, check_share
from semidepth.common.options import option
from semidepth.training.options.run import BUILT_IN_SCENES, SquareOptions


@dataclass(frozen=True, kw_only=True)
class MaskOptions(SquareOptions):
    """Options of `semidepth train masks`; defaults are Segment Anything's where it has them (arXiv 2304.02643)."""

    output_dir: str = option("outputs/masks", help="Folder for weights, checkpoints and logs.")
    student: str | None = option(
        None,
        help="Depth model under the masks (Hub id or folder of a semidepth student or stock Depth Anything), or a mask "
        "model of ours to go on from. Default: a student trained first on the built-in scenes, in --student_dir.",
    )
    student_dir: str = option("outputs/student", help="Folder of the student that is trained first without --student.")
    train: tuple[str, ...] = option(
        BUILT_IN_SCENES, help="Sources with masks: SOURCE[?option=value&...], such as 'photos/?masks=instances.json'."
    )
    validation: tuple[str, ...] = option(
        (), help="Sources with masks that are scored by clicks. Default: no validation, which is logged."
    )
    freeze_core: bool = option(
        True, help="Leave the depth model as it is; false trains it, too, and its depth changes."
    )
    core_lr_factor: float = option(
        0.1, help="Ratio of the depth model's learning rate to the rest's, if it is trained."
    )
    cached_images: int = option(
        0,
        help="Training images per process whose core features are computed once and kept: steps then cost the mask "
        "decoder alone. They are fixed crops, of all that --train has as many as this. Only with --freeze_core. 0: "
        "every step computes them anew, on new crops.",
    )
    cache_dir: str | None = option(None, help="Folder of cached features. Default: features/ in --output_dir.")
    hidden_size: int = option(256, help="Width of a new mask decoder.")
    click_map: bool = option(
        False, help="Also draw the prompts into the mask prompt of a new decoder; learning from scratch needs it."
    )
    box_prior: bool = option(False, help="Let a new decoder's answers to boxes start from the filled box.")
    mask_loss: str = option("focal", help="Loss beside dice of a new decoder: focal (20 : 1) or bce (1 : 1).")
    rounds: int = option(11, help="Rounds of prompts in a step; each answers the errors of the one before.")
    random_rounds: bool = option(False, help="Draw the number of rounds of each step, from 1 to --rounds.")
    rounds_without_point: int = option(2, help="Of these rounds, how many bring no new point: the last and others.")
    objects: int = option(64, help="Objects per process and micro-batch, at most; more are drawn from.")
    min_area: float = option(0.002, help="Least share of the image that a trained object has.")
    box_share: float = option(0.5, help="Share of steps that begin with a box; the others begin with a point.")
    box_noise: float = option(0.1, help="Noise on boxes: deviation as a share of the box's side.")
    box_noise_px: float = option(20.0, help="Largest noise on boxes, in pixels.")
    from_mask_share: float = option(
        0.0, help="Share of later points drawn from the object, not the error (SAM 2: 0.1)."
    )
    learning_rate: float = option(8e-4, help="Peak learning rate of prompt encoder and mask decoder.")
    weight_decay: float = option(0.1, help="Weight decay of AdamW, on matrices and kernels only.")

    def __post_init__(self) -> None:
        """Checks every value; see [`RunOptions`]."""
        super().__post_init__()
        for name, least in (("cached_images", 0), ("rounds", 1), ("objects", 1), ("box_noise", 0), ("box_noise_px", 0),
                            ("rounds_without_point", 0), ("hidden_size", 8)):  # fmt: skip
            check_at_least(self, name, least)
        for name in ("box_share", "from_mask_share", "min_area"):
            check_share(self, name, least=0)
        check_positive(self, "core_lr_factor")
        if self.mask_loss not in ("focal", "bce"):
            raise ValueError(f"--mask_loss is {self.mask_loss!r}; give focal or bce.")
        if self.rounds_without_point and self.rounds_without_point >= self.rounds:
            raise ValueError(
                f"--rounds_without_point is {self.rounds_without_point} of --rounds {self.rounds}; give fewer, since "
                "the first round always brings a prompt."
            )
        if self.cached_images and not self.freeze_core:
            raise ValueError(
                f"--cached_images is {self.cached_images} and --freeze_core is off: features of a core that learns "
                "change at every step; leave out one of the two."
            )
        if 0 < self.cached_images < self.batch_size:
            raise ValueError(f"--cached_images is {self.cached_images}, less than --batch_size; give more images.")
        if self.student is not None and not self.student.strip():
            raise ValueError("--student is empty; give a Hub id or a folder, or leave it out.")
