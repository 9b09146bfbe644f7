"""Prompts of masks: points, boxes, earlier masks and text, checked, and as tokens and dense maps for the decoder.

The function is stock SAM's, and so are the parameter names, so that weights go back and forth. What is our own:

- images of any shape, and a mask prompt for each object (stock: a square, and one mask for an image);
- padding is masked out: an object's answer does not depend on how many points its neighbours have. Stock leaves zero
  tokens in the attention;
- positions are computed in float32, also in a half-precision model;
- the click map: points and boxes drawn into the dense prompt.
"""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from .configuration_prompted_mask import PromptedMaskConfig
from .mask_layers import NO_MASK_SCALE, POINT_SCALE, MaskEmbedding, PositionalEmbedding, start_with

ON, OFF, NOT_A_POINT, PADDING = 1, 0, -1, -10
# A drawn click is this logit at its middle, as a mask's own logits are where it is sure; a box is sure of what is
# outside of it, and hardly of what is inside.
CLICK_LOGIT = 4.0
INSIDE_BOX, OUTSIDE_BOX = 1.0, -4.0


@dataclass
class Prompts:
    """Prompts of O objects; None where no object has one of the kind.

    Args:
        points: (O, N, 2) x, y in pixels of the image.
        labels: (O, N), see `PromptedMaskForMaskGeneration.forward`.
        boxes: (O, 4) x1, y1, x2, y2 in pixels; a NaN row: no box.
        masks: (O, 4h, 4w) logits; a mask with NaN: none.
        text: (O, T, D) embeddings; a NaN row: padding.
    """

    points: Tensor | None = None
    labels: Tensor | None = None
    boxes: Tensor | None = None
    masks: Tensor | None = None
    text: Tensor | None = None

    def objects(self) -> int | None:
        """The number O of objects; None without any prompt."""
        parts = (self.points, self.boxes, self.masks, self.text)
        return next((len(part) for part in parts if part is not None), None)

    def rows(self, start: int, stop: int) -> "Prompts":
        """The prompts of some of the objects."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return Prompts(**{name: None if part is None else part[start:stop] for name, part in parts.items()})

    def check_values(self, height: int, width: int) -> None:
        """Raises ValueError for a point outside the image, an unknown label, or a box without area.

        Reads values, so on an accelerator it waits for them.
        """
        if self.points is not None and self.labels is not None:
            known = torch.isin(self.labels, self.labels.new_tensor([ON, OFF, NOT_A_POINT, PADDING]))
            if not known.all():
                raise ValueError(
                    f"input_labels hold {self.labels[~known][0].item():g}; give 1 on the object, 0 off it, -1 for not "
                    "a point, or -10 for padding."
                )
            points = self.points[(self.labels == ON) | (self.labels == OFF)]
            outside = points[~_within(points, height, width).all(-1)]
            if len(outside):
                x, y = outside[0].tolist()
                raise ValueError(
                    f"a point is at x {x:g}, y {y:g} and the image is {width} pixels wide and {height} high; give "
                    "points inside the image that the model sees, x first."
                )
        if self.boxes is not None:
            boxes = self.boxes[~self.boxes.isnan().all(-1)]
            good = _within(boxes.reshape(-1, 2, 2), height, width).flatten(1).all(-1)
            good &= (boxes[:, 2:] > boxes[:, :2]).all(-1)
            if not good.all():
                box = ", ".join(f"{value:g}" for value in boxes[~good][0].tolist())
                raise ValueError(
                    f"a box is ({box}) in an image {width} pixels wide and {height} high; give x1, y1, x2, y2 inside "
                    "the image with x1 < x2 and y1 < y2 (a row of NaN: no box)."
                )


def _within(points: Tensor, height: int, width: int) -> Tensor:
    return (points >= 0) & (points <= points.new_tensor([width, height]))  # NaN is not


def check_embeddings(config: PromptedMaskConfig, embeddings: Tensor, fine: list[Tensor] | None) -> None:
    """Raises ValueError for an image's embeddings that are not of a model of this configuration, or not all of them."""
    if embeddings.ndim != 4 or embeddings.shape[1] != config.hidden_size:
        raise ValueError(
            f"image_embeddings are {tuple(embeddings.shape)}; give (images, {config.hidden_size}, h, w) from "
            "get_image_embeddings of this model."
        )
    if config.fine_features and fine is None:
        raise ValueError(
            "image_embeddings came without intermediate_embeddings; give both, as get_image_embeddings returns them."
        )
    if fine is not None and not config.fine_features:
        raise ValueError("this model has no fine features; give image_embeddings without intermediate_embeddings.")


def check_labels(labels: Tensor, images: int, prompted: int | None) -> None:
    """Raises ValueError for labels that are not one mask for each of the prompted objects of each image."""
    if prompted is None:
        raise ValueError("labels came without prompts; give points, boxes, masks or text of the labeled objects.")
    objects = prompted // images
    if labels.ndim != 4 or labels.shape[:2] != (images, objects) or not labels[0, 0].numel():
        raise ValueError(
            f"labels are {tuple(labels.shape)} for {images} images with {objects} prompted objects each; give one mask "
            "per object, (images, objects, height, width)."
        )


def gather_prompts(images: int, mask_size: tuple[int, int], text_width: int | None, **given: Any) -> Prompts:
    """The prompts of all objects of all images in one row, image by image, after a check of their shapes.

    Args:
        images: B.
        mask_size: (4h, 4w).
        text_width: size of text embeddings; None if the model takes none.
        given: `points`, `labels`, `boxes`, `masks`, `text` as `PromptedMaskForMaskGeneration.forward` takes them.

    Raises:
        ValueError: for shapes that do not fit each other.
    """
    points, labels, masks = given["points"], given["labels"], given["masks"]
    if labels is not None and points is None:
        raise ValueError("input_labels came without input_points; give both.")
    if given["text"] is not None and text_width is None:
        raise ValueError("this model takes no text; give points or boxes, or make one with text_hidden_size.")
    shapes = {"points": ("N", 2), "boxes": (4,), "masks": mask_size, "text": ("T", text_width)}
    for name, shape in shapes.items():
        value = given[name]
        argument = "text_embeds" if name == "text" else f"input_{name}"
        fits = value is None or (
            value.ndim == 2 + len(shape)
            and value.shape[0] == images
            and all(isinstance(size, str) or value.shape[2 + axis] == size for axis, size in enumerate(shape))
        )
        if not fits:
            raise ValueError(
                f"{argument} are {tuple(value.shape)}; give ({images}, objects, {', '.join(map(str, shape))})."
            )
    if points is not None and labels is None:
        labels = torch.full(points.shape[:3], ON, device=points.device)
    if points is not None and labels.shape != points.shape[:3]:
        raise ValueError(f"input_labels are {tuple(labels.shape)}; give one per point, {tuple(points.shape[:3])}.")
    counts = {name: given[name].shape[1] for name in shapes if given[name] is not None}
    if 0 in counts.values():
        raise ValueError("the prompts are of no object; give at least one, or no prompts.")
    objects = max(counts.values(), default=0)
    if masks is not None and counts["masks"] == 1 < objects:  # as stock: one for all objects of an image
        masks = masks.expand(-1, objects, -1, -1)
        counts["masks"] = objects
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} for {name}" for name, count in counts.items())
        raise ValueError(f"the prompts are of different numbers of objects ({told}); give each object its own.")
    parts = {"points": points, "labels": labels, "boxes": given["boxes"], "masks": masks, "text": given["text"]}
    return Prompts(**{name: None if part is None else part.flatten(0, 1) for name, part in parts.items()})


class PromptEncoder(nn.Module):
    """Tokens and dense maps of prompts."""

    def __init__(self, config: PromptedMaskConfig):
        super().__init__()
        width = config.hidden_size
        self.shared_embedding = PositionalEmbedding(width, config.positional_scale)
        self.mask_embed = MaskEmbedding(config.mask_input_channels, width)
        self.no_mask_embed = start_with(nn.Embedding(1, width), NO_MASK_SCALE)
        # Off the object, on it, and two corners of a box.
        self.point_embed = nn.ModuleList(start_with(nn.Embedding(1, width), POINT_SCALE) for _ in range(4))
        self.not_a_point_embed = start_with(nn.Embedding(1, width), POINT_SCALE)
        self.text_proj = None if config.text_hidden_size is None else nn.Linear(config.text_hidden_size, width)
        self.click_sigma = config.click_sigma if config.click_map else None

    def forward(self, prompts: Prompts, grid: tuple[int, int], size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Encodes the prompts of O objects.

        Args:
            prompts: of images of one size.
            grid: rows and columns of the image embedding.
            size: height and width of the image in pixels.

        Returns:
            (O, T, C) tokens; (O, T) bool, False for padding; and the dense prompt, (O, C, h, w) or (1, C, 1, 1).
        """
        tokens, known = [], []
        if prompts.points is not None and prompts.labels is not None:
            tokens.append(self._points(prompts.points, prompts.labels, size))
            known.append(prompts.labels != PADDING)
        boxed = None if prompts.boxes is None else ~prompts.boxes.isnan().any(-1)
        if known:  # stock's closing "not a point", where points come without a box
            clicked = known[0].any(-1)
            closing = self.not_a_point_embed.weight.expand(len(clicked), 1, -1)
            tokens.append(closing)
            known.append((clicked if boxed is None else clicked & ~boxed)[:, None])
        if prompts.boxes is not None and boxed is not None:
            corners = prompts.boxes.nan_to_num(0.0).unflatten(1, (2, 2))
            kinds = torch.cat([self._point_kind(2), self._point_kind(3)])
            tokens.append(self._positions(corners, size) + kinds)
            known.append(boxed[:, None].expand(-1, 2))
        if prompts.text is not None and self.text_proj is not None:
            known.append(~prompts.text.isnan().any(-1))
            tokens.append(self.text_proj(prompts.text.nan_to_num(0.0).to(self.text_proj.weight.dtype)))
        if not tokens:
            assert prompts.masks is not None  # there is a prompt of some kind
            empty = self.no_mask_embed.weight.new_zeros(len(prompts.masks), 0, self.no_mask_embed.weight.shape[1])
            return empty, empty[..., 0].bool(), self._dense(prompts, grid, size)
        return torch.cat(tokens, 1), torch.cat(known, 1), self._dense(prompts, grid, size)

    def _positions(self, points: Tensor, size: tuple[int, int]) -> Tensor:
        return self.shared_embedding((points.float() + 0.5) / points.new_tensor(size[::-1], dtype=torch.float32))

    def _point_kind(self, index: int) -> Tensor:
        weight = self.point_embed[index].weight
        assert isinstance(weight, Tensor)
        return weight

    def _points(self, points: Tensor, labels: Tensor, size: tuple[int, int]) -> Tensor:
        labels = labels[..., None]
        positions = self._positions(torch.where(labels < 0, 0.0, points), size)
        kind = torch.where(labels == ON, self._point_kind(1), self._point_kind(0))
        return torch.where(labels == NOT_A_POINT, self.not_a_point_embed.weight, positions + kind)

    def _dense(self, prompts: Prompts, grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
        nothing = self.no_mask_embed.weight[:, :, None, None]
        logits, given = prompts.masks, None
        if logits is not None:
            given = ~logits.isnan().flatten(1).any(1)
            logits = torch.where(given[:, None, None], logits.float().nan_to_num(0.0), 0.0)
        if self.click_sigma is not None and (prompts.points is not None or prompts.boxes is not None):
            drawn, has_some = click_map(prompts, grid, size, self.click_sigma)
            logits = drawn if logits is None else logits + drawn
            given = has_some if given is None else given | has_some
        if logits is None or given is None:
            return nothing
        dense = self.mask_embed(logits.to(self.no_mask_embed.weight.dtype))
        return torch.where(given[:, None, None, None], dense, nothing)


@torch.no_grad()
def click_map(prompts: Prompts, grid: tuple[int, int], size: tuple[int, int], sigma: float) -> tuple[Tensor, Tensor]:
    """Draws points and boxes as mask logits: a hill for each point on the object, a hollow for each one off it.

    Args:
        prompts: points, boxes or both.
        grid: rows and columns of the image embedding; the map has four times as many.
        size: height and width of the image in pixels.
        sigma: of a point, as a share of the image's side (root of its area).

    Returns:
        (O, 4h, 4w) float32 logits, and (O,) bool: whether anything is drawn.
    """
    (rows, columns), (height, width) = grid, size
    some = prompts.points if prompts.points is not None else prompts.boxes
    assert some is not None
    y = (torch.arange(4 * rows, device=some.device) + 0.5) * (height / (4 * rows))
    x = (torch.arange(4 * columns, device=some.device) + 0.5) * (width / (4 * columns))
    drawn = some.new_zeros(len(some), len(y), len(x), dtype=torch.float32)
    given = torch.zeros(len(some), dtype=torch.bool, device=some.device)
    if prompts.points is not None and prompts.labels is not None:
        clicked = (prompts.labels == ON) | (prompts.labels == OFF)
        sign = torch.where(clicked, torch.where(prompts.labels == ON, CLICK_LOGIT, -CLICK_LOGIT), 0.0)
        points = torch.where(clicked[..., None], prompts.points.float() + 0.5, 0.0)
        spread = 2 * sigma**2 * height * width
        across = torch.exp(-(x - points[..., :1]).square() / spread)
        down = sign[..., None] * torch.exp(-(y - points[..., 1:]).square() / spread)
        with torch.autocast(some.device.type, enabled=False):
            drawn = drawn + torch.bmm(down.transpose(1, 2), across).clamp(-CLICK_LOGIT, CLICK_LOGIT)
        given = given | clicked.any(-1)
    if prompts.boxes is not None:
        boxed = ~prompts.boxes.isnan().any(-1)
        left, top, right, bottom = (prompts.boxes.float() + 0.5)[..., None].unbind(1)
        inside = ((y > top) & (y < bottom))[:, :, None] & ((x > left) & (x < right))[:, None]
        drawn = drawn + torch.where(boxed[:, None, None], torch.where(inside, INSIDE_BOX, OUTSIDE_BOX), 0.0)
        given = given | boxed
    return drawn, given


__all__ = ["PromptEncoder", "Prompts", "check_embeddings", "check_labels", "click_map", "gather_prompts"]
