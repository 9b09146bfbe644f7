"""`semidepth score --masks`: mask models and the baselines on the same objects at the same clicks, in one table."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import torch
from tqdm.auto import tqdm

from semidepth.common.console import bar_interval_s
from semidepth.common.files import write_whole
from semidepth.common.locks import folder_held
from semidepth.data.source_spec import Source, parse_source, parse_sources
from semidepth.data.streaming.mask_loading import with_masks
from semidepth.evaluation.masks.baselines import (
    FLOOD_SETTINGS,
    SUPERPIXEL_SETTINGS,
    FilledBox,
    FloodFill,
    Segmenter,
    Superpixels,
    Tuned,
    tune,
)
from semidepth.evaluation.masks.data import images_with_objects
from semidepth.evaluation.masks.scoring import score_objects
from semidepth.evaluation.masks.segmenter import MaskModel
from semidepth.evaluation.masks.tables import describe_baseline, entries, to_markdown, to_parquet
from semidepth.evaluation.options import ScoreOptions
from semidepth.evaluation.source_report.report import tell_sources
from semidepth.prediction.masks.loading import load_mask_model

RESULTS, TABLE, PER_OBJECT = "results.json", "table.md", "per_object.parquet"
# Objects that baselines are tuned on are at least this share of their image.
TUNED_AREA = 0.002


def score_masks(options: ScoreOptions) -> dict[str, Any]:
    """Scores mask models and baselines on the objects of every source.

    Args:
        options: of `semidepth score`, with `masks`.

    Returns:
        `command`; `clicks`, the limit; `scores`, see [`entries`]; `baselines`, their settings; `table` (Markdown).

    Raises:
        ValueError: in one sentence, for anything that the user can correct.
    """
    if find_spec("skimage") is None:
        raise ValueError(
            "the superpixel baseline needs the package scikit-image, which is missing; pip install 'semidepth[masks]'."
        )
    if options.output is not None and (options.output / RESULTS).exists() and not options.overwrite:
        raise ValueError(f"--output {options.output} has results already; add --overwrite, or give another folder.")
    with nullcontext() if options.output is None else folder_held("output", options.output):
        return _score_held(options)


def _score_held(options: ScoreOptions) -> dict[str, Any]:
    """Scores and writes the results, where nobody else does."""
    sources = with_masks(_limited(spec, options.limit) for spec in dict.fromkeys(options.data))
    tuned_on = parse_sources(options.tuned_on)
    tell_sources((*sources, *with_masks(tuned_on)), labeled=False)
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    models = [
        MaskModel(name, *load_mask_model(name, device), device, zoom=options.zoom)
        for name in dict.fromkeys(options.model)
    ]
    size = models[0].size
    baselines = _tune(tuned_on, options, size)
    segmenters: list[Segmenter] = [*models, *(baseline.segmenter for baseline in baselines), FilledBox()]
    scored = {}
    for source in sources:
        images = images_with_objects([source], scene_size=size, min_area=options.min_area)
        scored[source.spec] = score_objects(segmenters, _shown(images, source.spec), limit=options.clicks)
        if not any(scored[source.spec].values()):
            raise ValueError(f"{source.spec!r} has no object to score; look at its masks with `semidepth data`.")
    rows = [row for spec, found in scored.items() for row in entries(spec, found, limit=options.clicks)]
    told = [describe_baseline(baseline, options.tuned_on) for baseline in baselines]
    table = "\n\n".join([to_markdown(rows, options.clicks), *told])
    settings = [{"model": each.segmenter.name, "settings": each.settings, "iou": each.iou} for each in baselines]
    results = {"command": options.command, "clicks": options.clicks, "scores": rows, "baselines": settings}
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        write_whole(options.output / PER_OBJECT, to_parquet(scored))
        write_whole(options.output / TABLE, f"{table}\n".encode())
        write_whole(options.output / RESULTS, (json.dumps(results, indent=2, allow_nan=False) + "\n").encode())
    return results | {"table": table}


def _limited(spec: str, limit: int | None) -> Source:
    """Returns a source of which at most `limit` images are used; raises ValueError for one without end."""
    source = parse_source(spec)
    if source.endless and limit is None:
        raise ValueError(f"{spec!r} never ends; add count=96 to it, or give --limit.")
    return source if limit is None else replace(source, count=min(limit, source.count or limit))


def _tune(sources: Sequence[Source], options: ScoreOptions, size: int) -> list[Tuned]:
    """Returns the baselines that have settings, each with the best ones on the sources of --tuned_on."""
    found = images_with_objects(sources, scene_size=size, limit=options.tuned_images, min_area=TUNED_AREA)
    images = [(item.image, item.targets) for item in found]
    return [
        tune(Superpixels, SUPERPIXEL_SETTINGS, _shown(images, "tuning superpixels"), side=size),
        tune(FloodFill, FLOOD_SETTINGS, _shown(images, "tuning flood fill"), side=size),
    ]


def _shown(images: Iterable[Any], name: str) -> Iterator[Any]:
    """Yields images with a progress bar."""
    yield from tqdm(images, desc=name, unit="img", dynamic_ncols=True, mininterval=bar_interval_s())
