"""Images with objects to score on, or to tune baselines on."""

from collections.abc import Iterator, Sequence

from semidepth.data.samples import to_array
from semidepth.data.source_spec import Source
from semidepth.data.streaming.mask_loading import MaskChoice, mask_samples
from semidepth.evaluation.masks.scoring import ImageWithObjects


def images_with_objects(
    sources: Sequence[Source], *, scene_size: int | None, limit: int | None = None, min_area: float = 0.0
) -> Iterator[ImageWithObjects]:
    """Yields each image of the sources once, in order, with its objects.

    Args:
        sources: with masks.
        scene_size: side of scenes where their source gives none, in pixels; photos keep their own size.
        limit: stop after so many images of each source.
        min_area: least share of the image that an object has.

    Raises:
        ValueError: a source has no masks, or has no end and there is no limit.
    """
    choice = MaskChoice(min_area=min_area, max_area=1.0, masks_per_image=1000)
    for source in sources:
        size = (source.size or scene_size) if source.format == "scenes" else None
        for sample in mask_samples([source], size=size, choice=choice, limit=limit):
            yield ImageWithObjects(to_array(sample.image), sample.masks.numpy(), sample.origin)
