"""The rows of the ablation: what each changes, what it is called, and what the paper has for it."""

from typing import Any, get_args

from semidepth.training.options.run import CameraEffect

TEACHER, LABELED_ONLY = "teacher", "labeled_only"
EFFECTS = list(get_args(CameraEffect))
# What each student row changes in the options of the one above it.
CHANGES: dict[str, dict[str, Any]] = {
    "unlabeled": {"color_distortion": False, "cutmix_probability": 0.0, "feature_alignment": False},
    "perturbation": {"color_distortion": True, "cutmix_probability": 0.5},
    "feature_alignment": {"feature_alignment": True},
    "gradient_matching": {"losses": "v2"},
}
# Rate of the warm start on the built-in encoder, where the others have 3e-4.
WARM_RATE = 1e-4
# What each of these changes in the last of those above.
VARIANTS: dict[str, dict[str, Any]] = {
    "local": {"losses": "local"},
    "edge": {"losses": "v2+edge"},
    "normal": {"losses": "v2+normal"},
    "sky": {"losses": "v2+sky"},
    "crops": {"smallest_crop": 0.5, "labeled_smallest_crop": 0.5},
    "camera": {"camera_effects": EFFECTS},
    "labeled_camera": {"labeled_camera_effects": EFFECTS},
    "label_free": {"labeled": ()},
    "warm_start": {"start": TEACHER, "encoder": None},  # of the same seed
    "select_reliable": {"select_reliable": 0.5},
}
TITLES = {
    TEACHER: "(teacher)",
    LABELED_ONLY: "labeled only",
    "unlabeled": "+ unlabeled",
    "perturbation": "+ perturbation",
    "feature_alignment": "+ feature alignment",
    "gradient_matching": "+ gradient matching (V2)",
    "local": "… + local alignment",
    "edge": "… + edges",
    "normal": "… + normals",
    "sky": "… + sky as a class",
    "crops": "… + smaller fields of view",
    "camera": "… + camera effects, unlabeled",
    "labeled_camera": "… + camera effects, labeled",
    "label_free": "… without labels",
    "warm_start": "… from the teacher instead of the encoder",
    "select_reliable": "… + selection (ST++)",
}
ROWS = [LABELED_ONLY, *CHANGES, *VARIANTS]
# AbsRel of ViT-L on KITTI, NYU, Sintel, DDAD, ETH3D and DIODE in the paper's ablation.
PAPER = {
    LABELED_ONLY: (0.085, 0.053, 0.492, 0.245, 0.134, 0.070),
    "unlabeled": (0.085, 0.054, 0.481, 0.242, 0.138, 0.073),
    "perturbation": (0.081, 0.048, 0.469, 0.235, 0.134, 0.068),
    "feature_alignment": (0.076, 0.043, 0.458, 0.230, 0.127, 0.066),
}
METRICS = {"abs_rel": "AbsRel ↓", "delta1": "δ1 ↑"}
SCENES_MEAN = "mean of scenes"
