"""Make any modality of any other in one line of Python.

import semidepth
made = semidepth.convert("photo.jpg", ["depth", "normals", "caption"], "outputs/four_m")
made.depth, made.normals, made.caption   # (H, W) metres, (H, W, 3), "a room with …"
semidepth.convert(depth=metres, to=["semantics"], model="outputs/four_m").semantics
semidepth.convert("photo.jpg", ["depth"], "outputs/four_m", depth=with_holes).depth   # known pixels stay
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from semidepth.prediction.any_to_any.filling import bend_to_known
from semidepth.prediction.any_to_any.model import KINDS, SOURCE, WORDS, AnyToAny, load_any_to_any
from semidepth.prediction.any_to_any.options import TARGETS
from semidepth.prediction.depth_maps import ImageLike, to_pixels


@dataclass(frozen=True)
class Converted:
    """What was made, at the size of the picture that was given; None where it was not asked for.

    Args:
        depth: (H, W) float32 metres, inf sky.
        normals: (H, W, 3) float32 unit vectors, x right, y up, z towards the camera.
        semantics: (H, W) int64 numbers of classes.
        classes: their names.
        caption: a sentence.
        rgb: (H, W, 3) uint8; structure and colours, no photo.
    """

    depth: np.ndarray | None = None
    normals: np.ndarray | None = None
    semantics: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    caption: str | None = None
    rgb: np.ndarray | None = None


def convert(
    image: ImageLike | None = None,
    to: Sequence[str] = ("depth",),
    model: str | Path | AnyToAny = "",
    *,
    depth: np.ndarray | None = None,
    normals: np.ndarray | None = None,
    semantics: np.ndarray | None = None,
    caption: str | None = None,
    steps: int = 1,
    chain: bool = False,
    temperature: float = 0.0,
    top_p: float = 0.0,
    guidance: float = 1.0,
    seed: int = 0,
    device: str | torch.device | None = None,
) -> Converted:
    """Makes modalities of others.

    Args:
        image: as [`semidepth.predict`] takes one.
        to: any of "depth", "normals", "semantics", "caption", "rgb". Depth may also be given, with unknown pixels:
            these are filled, bent so that they meet the known ones, which stay.
        model: folder of a 4M model, which each call loads; or the result of `load_any_to_any`.
        depth: (H, W) metres, NaN unknown, inf sky.
        normals: (H, W, 3) as in [`Converted`], NaN unknown.
        semantics: (H, W) numbers of the model's classes, negative unknown.
        caption: a sentence.
        steps: of each map.
        chain: each of `to` sees those made before it.
        temperature: 0: the likeliest tokens; above: drawn.
        top_p: see [`semidepth.modeling.four_m.four_m_generation.FourMGeneration.generate`], as all of these.
        guidance: above 1: further from what the model says without any input.
        seed: of what is drawn.
        device: for a model that is loaded here; None: a GPU if there is one.

    Raises:
        ValueError: nothing is given, the model lacks a modality, or what is given does not fit.
    """
    if not isinstance(model, AnyToAny):
        model = load_any_to_any(model, device or ("cuda" if torch.cuda.is_available() else "cpu"))
    check_names(model, to)
    given = _given(model, image, depth, normals, semantics, caption)
    inputs, size = _inputs(model, given)
    if "depth" in to and depth is not None and not np.isnan(depth).any():
        raise ValueError("depth is given and every pixel of it is known; leave it out of what to make.")
    made = model.model.generate(
        inputs, [TARGETS[name] for name in to], steps=steps, chain=chain, temperature=temperature, top_p=top_p,
        guidance=guidance, soft=temperature == 0, generator=torch.Generator(model.device).manual_seed(seed),
    )  # fmt: skip
    found: dict[str, Any] = {}
    for name in to:
        if name == "caption":
            found[name] = model.sentences(made[WORDS].ids)[0]
        else:
            found[name] = _at_size(KINDS[TARGETS[name]], made[TARGETS[name]].values, size)
    if "depth" in found and depth is not None:
        partial = given["depth"][0]
        colors = given["image"][0].float() / 255 if "image" in given else None
        bent = bend_to_known(partial, torch.from_numpy(found["depth"]), colors).numpy()
        found["depth"] = np.where(np.isnan(partial.numpy()), bent, partial.numpy())
    classes = model.model.config.modality("tok_semantic").classes if "semantics" in to else None
    return Converted(**found, classes=tuple(classes or ()))


def check_names(model: AnyToAny, to: Sequence[str]) -> None:
    """Raises ValueError for names that the model cannot make."""
    there = [name for name, own in TARGETS.items() if own in model.model.decoder_embeddings]
    unknown = [name for name in to if name not in there]
    if unknown or not to:
        raise ValueError(f"this model cannot make {', '.join(unknown) or 'nothing'}; it makes {', '.join(there)}.")


def _given(
    model: AnyToAny, image: Any, depth: Any, normals: Any, semantics: Any, caption: str | None
) -> dict[str, Any]:
    """Returns what is given as a batch of one, all maps as large as the picture."""
    given: dict[str, Any] = {}
    if image is not None:
        given["image"] = to_pixels(image, "the image")[None]
    maps = {"depth": depth, "normal": normals, "semantic": semantics}
    for kind, values in maps.items():
        if values is None:
            continue
        if f"tok_{kind}" not in model.model.encoder_embeddings:
            raise ValueError(f"this model takes no {kind}; it takes {', '.join(model.model.encoder_embeddings)}.")
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        wanted = "(H, W, 3)" if kind == "normal" else "(H, W)"
        if tensor.ndim != (3 if kind == "normal" else 2) or (kind == "normal" and tensor.shape[2] != 3):
            raise ValueError(f"{kind} has the shape {tuple(tensor.shape)}; give {wanted}.")
        tensor = tensor.permute(2, 0, 1) if kind == "normal" else tensor
        given[kind] = (tensor.long() if kind == "semantic" else tensor.float())[None]
    if caption is not None:
        if WORDS not in model.model.encoder_embeddings or model.words is None:
            raise ValueError("this model takes no caption.")
        given["caption"] = [caption]
    if not given:
        raise ValueError("nothing is given; give an image, depth, normals, semantics or a caption.")
    return _as_large(given)


def _as_large(given: dict[str, Any]) -> dict[str, Any]:
    """The same with all maps at the size of the first, by the nearest pixel; raises ValueError for another shape."""
    pictures = [name for name in given if name != "caption"]
    for name in pictures[1:]:
        (height, width), (rows, columns) = given[pictures[0]].shape[-2:], given[name].shape[-2:]
        if abs(rows * width - columns * height) > max(rows, columns, height, width):
            raise ValueError(
                f"{name} is {columns} x {rows} and {pictures[0]} {width} x {height}; give two of the same view."
            )
        values = given[name] if given[name].ndim == 4 else given[name][:, None]
        large = F.interpolate(values.double(), size=(height, width), mode="nearest-exact").to(values.dtype)
        given[name] = large if given[name].ndim == 4 else large[:, 0]
    return given


def _inputs(model: AnyToAny, given: dict[str, Any]) -> tuple[dict[str, Tensor], tuple[int, int] | None]:
    """Returns the model's inputs, and the size of what was given; None of a sentence alone."""
    values = dict(given)
    size = next(((each.shape[-2], each.shape[-1]) for name, each in given.items() if name != "caption"), None)
    if "image" in values:
        side = model.model.config.modality(SOURCE).image_size
        assert side is not None  # the configuration fills it in
        values["image"] = F.interpolate(values["image"], size=(side, side), mode="bicubic", antialias=True)
    if "depth" in values:
        values["depth"] = gathered(values["depth"], model.tokenizers["tok_depth"].config.image_size)
    inputs = model.inputs_of(values)
    inputs.pop("tok_rgb", None)  # a picture is given as the model sees it in training: once
    return inputs, size


def gathered(depth: Tensor, side: int) -> Tensor:
    """(B, S, S) depth at a tokenizer's size that loses no known pixel: where the nearest is unknown, the least around.

    Args:
        depth: (B, H, W) metres, NaN unknown, inf sky.
        side: S.
    """
    near = torch.where(depth.isnan(), -1.0, 1 / depth)
    pooled = F.adaptive_max_pool2d(near[:, None], side)[:, 0]
    least = torch.where(pooled < 0, torch.nan, 1 / pooled)
    nearest = F.interpolate(depth[:, None], size=(side, side), mode="nearest-exact")[:, 0]
    return torch.where(nearest.isnan(), least, nearest)


def _at_size(kind: str, values: Tensor | None, size: tuple[int, int] | None) -> np.ndarray:
    """Returns a map of the model at the size of the picture."""
    assert values is not None  # its modality has a tokenizer
    values = values.float()
    if kind == "semantic":
        found = values if size is None else F.interpolate(values[:, None], size=size, mode="nearest-exact")[:, 0]
        return found[0].long().cpu().numpy()
    if kind == "depth":
        return _depth_at_size(values, size)[0].cpu().numpy()
    large = values if size is None else F.interpolate(values, size=size, mode="bicubic", align_corners=False)
    if kind == "normal":
        return F.normalize(large, dim=1)[0].permute(1, 2, 0).cpu().numpy()
    return (large.clamp(0, 1) * 255).round().byte()[0].permute(1, 2, 0).cpu().numpy()


def _depth_at_size(metres: Tensor, size: tuple[int, int] | None) -> Tensor:
    """Returns (B, H, W) of (B, h, w): bicubic within the range of what is no sky, sky by the nearest pixel."""
    if size is None:
        return metres
    sky = metres.isposinf()
    low, high = metres.amin((1, 2), keepdim=True), torch.where(sky, 0.0, metres).amax((1, 2), keepdim=True)
    finite = torch.minimum(metres, high)
    large = F.interpolate(finite[:, None], size=size, mode="bicubic", align_corners=False)[:, 0]
    above = F.interpolate(sky[:, None].float(), size=size, mode="nearest-exact")[:, 0] > 0
    return torch.maximum(torch.minimum(large, high), low).masked_fill(above, torch.inf)
