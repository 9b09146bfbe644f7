"""One undecoded row of a source, and how it is decoded to a sample."""

from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import torch
from torch import Tensor

from semidepth.common.http_files import fetch
from semidepth.common.redaction import redact
from semidepth.common.retrying import describe
from semidepth.data.decoding import BrokenSampleError, decode_turned
from semidepth.data.depth_decoding import decode_depth, match_depth_to_image
from semidepth.data.depth_files import turns_itself
from semidepth.data.masks.layers import read_masks
from semidepth.data.modalities.cells import read_beside
from semidepth.data.orientation import LabelFrame, turn_with_image
from semidepth.data.samples import Sample
from semidepth.data.source_spec import Source


class Row(TypedDict):
    """One undecoded sample.

    `image` and `depth` are file content, a local path, a URL (as text) or an array; `image` may also be what is wrong
    with the sample. `depth` is None where it was not
    asked for, `depth_scale` where the set does not say, and `depth_shift` except for pseudo labels. `origin` names the
    sample. `masks` are undecoded, as `read_masks` takes them; only sources with the option have them. `beside` are
    further modalities, undecoded, of sources that are asked for them.
    """

    image: bytes | Path | str | Tensor | np.ndarray | BrokenSampleError | None
    depth: bytes | Path | str | Tensor | np.ndarray | None
    depth_scale: float | None
    depth_shift: float | None
    domain: str
    origin: str
    masks: NotRequired[Any]
    beside: NotRequired[dict[str, Any]]


def decode_row(row: Row, source: Source, labeled: bool, at_least: int | None = None) -> Sample:
    """Decode one row.

    Args:
        row: from a shard of the source.
        source: its options say how depth is stored.
        labeled: whether to decode depth.
        at_least: an image that is unlabeled or large may be decoded smaller, its shorter side no less than this, in
            pixels.

    Returns:
        The sample; depth has the image's height and width.

    Raises:
        BrokenSampleError: image or depth is missing or cannot be used.
    """
    origin = row["origin"]
    content = content_of(row["image"], "image", origin)
    masked = source.masks is not None and not labeled
    at_least = None if masked else at_least  # masks have the image's full size
    image, orientation = decode_turned(
        content, name=origin, at_least=None if labeled else at_least, large_at_least=at_least
    )
    depth = None
    if labeled:
        label = content_of(row["depth"], "depth", origin)
        depth = decode_depth(
            label,
            source.coding(row["depth_scale"], row["depth_shift"]),
            name=f"{origin} (depth)",
            key=source.key,
        )
        if torch.isnan(depth).all():
            raise BrokenSampleError(f"{origin} has no pixel of known depth")
        # A pseudo label was predicted from the upright image and covers it by construction, at the teacher's size:
        # multiples of its patch.
        pseudo = row["depth_shift"] is not None
        if orientation != 1:
            frame = source.label_frame or ("upright" if pseudo or turns_itself(label) else None)
            # Maps apart from their photos come from other tools, most of which turn what they read.
            usual: LabelFrame = "stored" if source.maps is None else "upright"
            depth = turn_with_image(depth, image, orientation, frame, usual=usual)
        depth = match_depth_to_image(depth, image, origin, stretch=source.stretch or pseudo)
    sample = Sample(image=image, depth=depth, domain=row["domain"], origin=origin, labels=source.labels)
    if source.modalities and labeled:
        sample["beside"] = read_beside(row.get("beside") or {}, origin, image, orientation, source.label_frame)
        sample["fov_deg"] = source.fov_deg
    if masked:
        height, width = image.shape[-2:]
        sample["masks"] = read_masks(row.get("masks"), origin, (height, width), orientation, source.label_frame)
    return sample


def content_of(value: Any, what: str, origin: str) -> Any:
    """The image or depth of a row; fetched if it is a URL.

    Args:
        value: a row's `image` or `depth`.
        what: that word, for the error.
        origin: name of the sample.

    Raises:
        BrokenSampleError: the value is missing or cannot be fetched.
    """
    if isinstance(value, BrokenSampleError):
        raise BrokenSampleError(f"{origin} {value}")
    if value is None:
        raise BrokenSampleError(f"{origin} has no {what}")
    if isinstance(value, str):
        try:
            return fetch(value)
        except Exception as error:  # each file system has its own kinds
            raise BrokenSampleError(f"{origin} cannot be fetched from {redact(value)} ({describe(error)})") from error
    return value
