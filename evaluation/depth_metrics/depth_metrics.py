"""The `evaluate` metric "depth_metrics": scores of depth maps, in metres or up to scale and shift.

Each image is scored when it is added and only its scores are kept, so maps never pass through Arrow, which needs 3 GB
for 64 images.
"""

import logging
import math
from typing import Any

import datasets
import evaluate

from .boundary_metrics import BOUNDARY_NAMES
from .formulas import SCORE_NAMES
from .image_scores import NAMES, score_image, split_batch
from .ordinal_metrics import ORDINAL_NAMES
from .protocols import PROTOCOLS
from .scoring_options import OPTIONS, Options, check_agreement, check_names, settle

logger = logging.getLogger(__name__)

_CITATION = """\
@inproceedings{eigen2014depth,
  title={Depth Map Prediction from a Single Image using a Multi-Scale Deep Network},
  author={Eigen, David and Puhrsch, Christian and Fergus, Rob},
  booktitle={Advances in Neural Information Processing Systems},
  year={2014}
}
"""

_DESCRIPTION = f"""\
Scores of monocular depth: {", ".join(SCORE_NAMES)}, in metres or after alignment, with the crops and caps of published
protocols. The configuration "boundary" scores the sharpness of boundaries (Depth Pro), "boundary_mask" the same against
masks, "ordinal" which of two points is nearer (DA-2K).
"""

_KWARGS_DESCRIPTION = f"""
Args:
    predictions: a list of maps (H, W) of any sizes, or an array or tensor (B, H, W). Metres, larger is farther
        (mode="metric"), or inverse depth, larger is nearer (mode="relative"). A prediction of another size than its
        reference is resized to it, bilinearly with corners aligned.
    references: as many maps in metres; NaN, 0 or inf where unknown, or masked by numpy. For "boundary_mask": masks
        (True or > 0.1 on the object). For "ordinal": pairs of points (N, 2, 2), row and column of the nearer point,
        then of the farther one.
    mode: "metric" (the default) or "relative".
    align: "none" (the default for metres), "least_squares" (scale and shift; of disparity for mode="relative", where
        it is the default, of depth for mode="metric") or "median" (scale, from the medians of depth).
    space: compare in "depth" (the default, metres) or in "disparity" (1/m). It changes only abs_rel and rmse.
    protocol: {", ".join(PROTOCOLS)} ("none" is the default): crop and depth range.
    min_depth_m, max_depth_m: range of the scored labels in metres, to which predictions are clamped; default: the
        protocol's. Without a cap, relative depth is capped at each image's own largest label.

Give options to evaluate.load, or to the first add, add_batch or compute; later calls with other options are refused.
In several processes the first one gets the scores and the others None, on which evaluate.combine fails: call compute
of one metric after the other there.

Returns:
    Name to float: means of per-image values. An image without a scored pixel is left out of them; if every image is,
    they are NaN. {", ".join(SCORE_NAMES)}; for "boundary" {", ".join(BOUNDARY_NAMES)};
    for "ordinal" {", ".join(ORDINAL_NAMES)}, the fraction of all pairs. abs_rel and delta are fractions, rmse is in
    metres (or 1/m), silog is 100 * the standard deviation of the log error.

Examples:
    >>> depth_metrics = evaluate.load("evaluation/depth_metrics")  # in the checkout, or a Space's id
    >>> scores = depth_metrics.compute(predictions=[[[1.0, 3.0]]], references=[[[1.0, 2.0]]])
    >>> scores["abs_rel"], scores["delta1"]
    (0.25, 0.5)
"""

# Kept of each image: its scores under `predictions`, its options under `references`.
_KEPT = datasets.Features(
    {"predictions": datasets.Sequence(datasets.Value("float64")), "references": datasets.Value("string")}
)


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class DepthMetrics(evaluate.Metric):
    """Depth scores as an `evaluate` metric; arguments and options are those of `compute`."""

    def __init__(self, config_name: str | None = None, **kwargs: Any) -> None:
        self._check_config(config_name)
        config = config_name or "default"
        # Every name that is not one of the library's is an option, so that a misspelt one is an error.
        own = {"keep_in_memory", "cache_dir", "num_process", "process_id", "seed", "experiment_id", "hash"}
        own |= {"max_concurrent_cache_files", "timeout"}
        self._at_load = {name: value for name, value in kwargs.items() if name not in own and value is not None}
        check_names(self._at_load, config)
        settle(self._at_load)
        self._in_use: Options | None = None
        super().__init__(config_name, **{name: value for name, value in kwargs.items() if name in own})

    def _info(self) -> evaluate.MetricInfo:
        depth_map = datasets.Sequence(datasets.Sequence(datasets.Value("float32")))
        pairs = datasets.Sequence(datasets.Sequence(datasets.Sequence(datasets.Value("int32"))))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {"predictions": depth_map, "references": pairs if self.config_name == "ordinal" else depth_map}
            ),
            reference_urls=["https://arxiv.org/abs/1406.2283", "https://arxiv.org/abs/2410.02073"],
        )

    def add_batch(self, *, predictions: Any = None, references: Any = None, **options: Any) -> None:
        """Scores a batch of images and keeps the scores; if one image cannot be scored, none of the batch is kept."""
        settled = self._settle(options)
        maps, labels = split_batch(predictions, "predictions"), split_batch(references, "references")
        if len(maps) != len(labels):
            raise ValueError(f"{len(maps)} predictions came with {len(labels)} references; expected one for each.")
        pairs = enumerate(zip(maps, labels, strict=True))
        rows = [score_image(self.config_name, ours, theirs, settled, number) for number, (ours, theirs) in pairs]
        if rows:
            super().add_batch(predictions=rows, references=[settled.text()] * len(rows))
            self._in_use = settled

    def add(self, *, prediction: Any = None, reference: Any = None, **options: Any) -> None:
        """Scores one image and keeps its scores."""
        # `evaluate.combine` passes a single image under the plural names.
        prediction, reference = options.pop("predictions", prediction), options.pop("references", reference)
        self.add_batch(predictions=[prediction], references=[reference], **options)

    def compute(self, *, predictions: Any = None, references: Any = None, **options: Any) -> dict[str, float] | None:
        """Means over all images, those given here included; None in all but the first of several processes."""
        self._settle(options)
        if predictions is not None or references is not None:
            self.add_batch(predictions=predictions, references=references, **options)
        if len(self) == 0 and self.num_process == 1:
            raise ValueError("there is no image to score; give predictions and references, or add some first.")
        if self.writer is None:  # one of several processes, without any image; the others wait for its file
            self.selected_feature_format = _KEPT
            self._init_writer()
        kept = super().compute()
        self._in_use = None
        return None if kept is None else self._means(kept["rows"], kept["options"])

    def _compute(self, *, predictions: Any = None, references: Any = None, **_: Any) -> dict[str, Any]:
        """Kept scores and options; `compute` checks them after the library has closed its files."""
        return {"rows": list(predictions), "options": set(references)}

    def _infer_feature_from_batch(self, batch: Any) -> datasets.Features:
        return _KEPT

    def _settle(self, options: dict[str, Any]) -> Options:
        """The options in use, or new ones where no image was scored yet."""
        check_names(options, self.config_name)
        check_agreement(options, self._at_load, "the metric was loaded")
        settled = settle({**self._at_load, **{name: value for name, value in options.items() if value is not None}})
        if self._in_use is None:
            return settled
        check_agreement(options, vars(self._in_use), f"{len(self)} images were already scored")
        return self._in_use

    def _means(self, rows: list[list[float]], options: set[str]) -> dict[str, float]:
        if not rows:
            raise ValueError("there is no image to score in any of the processes; add some before compute.")
        if len(options) > 1:
            raise ValueError(
                f"the processes scored with different options, {' and '.join(sorted(options))}; give all the same ones."
            )
        if self.config_name == "ordinal":
            hits, number = (sum(column) for column in zip(*rows, strict=True))
            return {ORDINAL_NAMES[0]: hits / number if number else math.nan}
        empty = sum(math.isnan(row[0]) for row in rows)
        if empty:
            logger.warning("%d of %d images had no pixel to score and are left out of the means.", empty, len(rows))
        known = [row for row in rows if not math.isnan(row[0])]
        columns = zip(*known, strict=True) if known else [()] * len(NAMES[self.config_name])
        means = [math.fsum(column) / len(known) if known else math.nan for column in columns]
        return dict(zip(NAMES[self.config_name], means, strict=True))

    @staticmethod
    def _check_config(name: str | None) -> None:
        if name is not None and name not in OPTIONS:
            raise ValueError(f"the configuration {name!r} is not known; choose one of {', '.join(OPTIONS)}.")
