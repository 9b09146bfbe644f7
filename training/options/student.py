"""Options of `semidepth train student`."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from semidepth.common.option_checks import check_at_least, check_share
from semidepth.common.options import option
from semidepth.data.source_spec import Source, parse_source
from semidepth.training.options.run import BUILT_IN_SCENES, CameraEffect, RelativeOptions, check_effects
from semidepth.training.options.teacher import TeacherKind

if TYPE_CHECKING:
    from semidepth.training.augmentation.strong import StrongAugmentation


@dataclass(frozen=True, kw_only=True)
class StudentOptions(RelativeOptions):
    """Options of `semidepth train student`; strengths of the perturbation are assumptions (the paper is silent)."""

    output_dir: str = option("outputs/student", help="Folder for weights, checkpoints and logs.")
    epochs: float = option(1.0, help="Passes over the unlabeled set, unless --steps is given.")
    batch_size: int = option(16, help="Labeled images per process and micro-batch; without --labeled, unlabeled ones.")
    labeled: tuple[str, ...] = option(
        (),
        help="Sources with depth labels: SOURCE[?option=value&...]. Optional with --teacher or --pseudo_labels, which "
        "then teach alone. Built-in scenes where neither these, nor a teacher, nor unlabeled images are named.",
    )
    unlabeled: tuple[str, ...] = option(
        (), help="Sources of images without labels: SOURCE[?option=value&...], such as a folder of photos."
    )
    unlabeled_per_labeled: int = option(2, help="Unlabeled images for each labeled one in a batch.")
    pseudo_labels: tuple[str, ...] = option(
        (),
        help="Sets that semidepth pseudo-label wrote, or any others with ?kind=: instead of --unlabeled. Several "
        "sets from the same sources, or folders of maps of the same photos (?images=), are fused: their median is "
        "taken.",
    )
    agreement: float = option(
        0.8,
        help="Pixels of fused labels count from this agreement on: 1 / (1 + mean distance from the median, in mean "
        "absolute deviations of the map); 0: all (assumption).",
    )
    check_direction: bool = option(
        True, help="Compare the direction of other tools' maps with a model's prediction of a few photos first."
    )
    select_reliable: float = option(
        0.0,
        help="ST++: train first on this share of each unlabeled source, where the teacher's checkpoints agree "
        "most; label the rest with that student; then train on all. 0: no.",
    )
    teacher: str | None = option(
        None, help="Any depth-estimation model: Hub id or folder. Default: train one first, into --teacher_dir."
    )
    teacher_kind: TeacherKind = option(
        "auto", help="Output of the teacher: disparity (inverse depth) or depth; auto: by its class."
    )
    teacher_dir: str = option("outputs/teacher", help="Folder of a teacher that is trained first.")
    teacher_steps: int | None = option(
        None, help="Number of updates of a teacher that is trained first; default: 20 epochs."
    )
    color_distortion: bool = option(True, help="Distort the student's unlabeled images.")
    jitter_strength: float = option(0.5, help="Brightness, contrast and saturation jitter; hue gets half of it.")
    blur_sigma_px: float = option(2.0, help="Largest sigma of the Gaussian blur, pixels.")
    cutmix_probability: float = option(0.5, help="Share of unlabeled images that are cut together.")
    camera_effects: tuple[CameraEffect, ...] = option(
        (),
        help="Effects on the student's unlabeled images, each on half of them: depth_of_field (by the teacher's "
        "depth), shot_noise, blur, jpeg.",
    )
    smallest_crop: float = option(
        1.0, help="Smallest crop of unlabeled images, like --labeled_smallest_crop; the teacher sees the same crop."
    )
    feature_alignment: bool = option(
        True, help="Feature alignment loss: keeps the student's features near the frozen encoder's."
    )
    feature_tolerance: float = option(0.85, help="Tokens whose cosine already exceeds this are left alone (alpha).")
    drop_fraction: float = option(
        0.0, help="Share of the largest pseudo-label losses left out (0.1 in Depth Anything V2)."
    )

    def __post_init__(self) -> None:
        """Checks every value; see [`RelativeOptions`]."""
        if not (self.labeled or self.unlabeled or self.pseudo_labels or self.teacher):
            object.__setattr__(self, "labeled", BUILT_IN_SCENES)  # frozen, but not yet handed out
            object.__setattr__(self, "unlabeled", BUILT_IN_SCENES)
        super().__post_init__()
        check_at_least(self, "unlabeled_per_labeled", 1)
        check_at_least(self, "teacher_steps", 1)
        if not 0 < self.feature_tolerance <= 1:
            raise ValueError(f"--feature_tolerance is {self.feature_tolerance}; give a cosine above 0, at most 1.")
        if not 0 <= self.drop_fraction < 1:
            raise ValueError(f"--drop_fraction is {self.drop_fraction}; give a share of at least 0, below 1.")
        check_share(self, "smallest_crop", least=0.1)
        check_share(self, "agreement", least=0)
        check_effects(self, "camera_effects")
        if not 0 <= self.select_reliable < 1:
            raise ValueError(f"--select_reliable is {self.select_reliable}; give a share below 1, such as 0.5, or 0.")
        self._check_data()
        _ = self.augmentation  # which checks its strengths

    def _check_data(self) -> None:
        """Raises ValueError unless there are images to learn from and something that labels them."""
        if self.select_reliable and self.pseudo_labels:
            raise ValueError("--select_reliable makes its own pseudo labels; leave out --pseudo_labels.")
        if self.pseudo_labels and self.teacher is not None:
            raise ValueError("--pseudo_labels are a teacher's labels already; leave out --teacher, or the labels.")
        for spec in self.pseudo_labels:
            parse_source(spec)
        for spec in self.unlabeled:
            if parse_source(spec).endless and self.select_reliable:
                raise ValueError(f"--select_reliable needs unlabeled sources with an end; give {spec!r} a ?count=N.")
        if not (self.unlabeled or self.pseudo_labels):
            raise ValueError(
                "--unlabeled is missing; name images for the student, such as a folder of photos, or --pseudo_labels; "
                "from labels alone semidepth train teacher learns."
            )
        if not (self.labeled or self.pseudo_labels or self.teacher):
            raise ValueError(
                "--unlabeled images need something that labels them; name a --teacher, or --labeled sources on which "
                "one is trained first."
            )

    @property
    def unlabeled_batch_size(self) -> int:
        """Images without ground truth per process and micro-batch."""
        return self.batch_size * (self.unlabeled_per_labeled if self.labeled else 1)

    def unlabeled_sources(self) -> list[Source]:
        """The images that the student learns from without ground truth, pseudo-labeled already or not.

        Raises:
            ValueError: a set of pseudo labels does not say which way its maps run.
        """
        if not self.pseudo_labels:
            return [parse_source(spec) for spec in self.unlabeled]
        return [pseudo_labeled_source(spec) for spec in self.pseudo_labels]

    @cached_property
    def augmentation(self) -> "StrongAugmentation":
        """The perturbation of unlabeled images; raises ValueError for strengths out of range."""
        from semidepth.training.augmentation.strong import StrongAugmentation  # takes seconds

        strength = self.jitter_strength if self.color_distortion else 0.0
        return StrongAugmentation(
            brightness=strength,
            contrast=strength,
            saturation=strength,
            hue=strength / 2,
            blur_sigma_px=(min(0.1, self.blur_sigma_px), self.blur_sigma_px),
            grayscale_probability=0.2 if self.color_distortion else 0.0,
            blur_probability=0.5 if self.color_distortion else 0.0,
            cutmix_probability=self.cutmix_probability,
        )


def pseudo_labeled_source(spec: str) -> Source:
    """One parsed set of pseudo labels, with its direction: as written, else known from the record that we write.

    Raises:
        ValueError: neither; a map read the wrong way round is learned upside down without a sign of it.
    """
    from semidepth.data.pseudo_labels import is_pseudo_label_set  # opens files, and options are parsed without

    source = parse_source(spec)
    if source.format == "scenes" or source.kind is not None:
        return source
    if not is_pseudo_label_set(source):
        raise ValueError(
            f"--pseudo_labels {spec!r} was not made by semidepth and does not say which way its maps run; "
            "add ?kind=disparity (larger is nearer) or ?kind=depth (larger is farther)."
        )
    return dataclasses.replace(source, kind="disparity")
