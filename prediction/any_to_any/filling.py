"""Filling in of depth of which some pixels are known, without learning: what completion has to beat."""

from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

AROUND = 16  # known pixels that a pixel looks at
COLOR_SIGMA = 0.1  # difference of RGB, 0 to 1, at which a known pixel counts for less
MOST_KNOWN = 4096  # of more, some are looked at: they are close to each other anyway
BEND_SIDE = 224
CHUNK = 4096  # pixels whose distances are computed at once


def choose_known(depth: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Returns a depth map with some pixels of surfaces left, evenly at random, and all others unknown.

    Args:
        depth: (H, W) metres; inf sky and NaN unknown are never chosen.
        count: pixels to keep, at most; all that there are if they are fewer.
        generator: on the CPU.
    """
    places = depth.isfinite().flatten().nonzero()[:, 0]
    chosen = places[torch.randperm(len(places), generator=generator)[:count]]
    found = torch.full_like(depth, torch.nan).flatten()
    found[chosen] = depth.flatten()[chosen]
    return found.reshape(depth.shape)


class Neighbours:
    """The known pixels that are nearest to each pixel of a map.

    Args:
        known: (H, W) true for known pixels; one at least.
        around: how many to look at, at most.

    Raises:
        ValueError: no pixel is known.
    """

    def __init__(self, known: Tensor, around: int = AROUND) -> None:
        self.shape = known.shape
        places = known.nonzero()  # (M, 2) row and column
        if len(places) > MOST_KNOWN:
            chosen = torch.randperm(len(places), generator=torch.Generator().manual_seed(0))[:MOST_KNOWN]
            places = places[chosen.to(places.device)]
        self.places = places
        if not len(self.places):
            raise ValueError("no pixel of the map is known; give one at least.")
        height, width = known.shape
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        every = torch.stack([rows, columns], -1).reshape(-1, 2).float()
        # (H W, K) each, nearest first
        self.distance, self.index = _nearest(every, self.places.float(), min(around, len(self.places)))

    def at_known(self, values: Tensor) -> Tensor:
        """Maps (..., H, W) to (..., M), at the known pixels."""
        return values[..., self.places[:, 0], self.places[:, 1]]

    def nearest(self, values: Tensor) -> Tensor:
        """Maps (M,) values of known pixels to (H, W), each pixel that of its nearest one."""
        return values[self.index[:, 0]].reshape(self.shape)

    def spread(self, values: Tensor, image: Tensor | None = None) -> Tensor:
        """Maps (M,) values of known pixels to (H, W): means by closeness and, with an image, by likeness of colour.

        Closeness is Gaussian with half the distance of the farthest neighbour, so it fits any density: a joint
        bilateral filter with scattered support.

        Args:
            values: of the known pixels.
            image: (3, H, W) RGB, 0 to 1.
        """
        sigma = (self.distance[:, -1:] / 2).clamp(min=0.5)
        weight = torch.exp(-0.5 * (self.distance / sigma) ** 2)
        if image is not None:
            apart = image.flatten(1).T[:, None] - self.at_known(image).T[self.index]  # (H W, K, 3)
            weight = weight * torch.exp(-0.5 * (apart**2).sum(-1) / COLOR_SIGMA**2)
        weight = weight + 1e-8 * torch.exp(-self.distance)  # where no colour is alike, the nearest counts
        mean = (weight * values[self.index]).sum(1) / weight.sum(1)
        return mean.reshape(self.shape)


def _nearest(every: Tensor, places: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Distances and numbers of the nearest places of every point; SciPy's tree, where it is there, is quicker."""
    if find_spec("scipy") is not None:
        from scipy.spatial import KDTree

        distance, index = KDTree(places.numpy()).query(every.numpy(), k=list(range(1, count + 1)))
        return torch.from_numpy(distance).float(), torch.from_numpy(index)
    parts = [torch.cdist(part, places).topk(count, dim=1, largest=False) for part in every.split(CHUNK)]
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def fill_nearest(around: Neighbours, known: Tensor) -> Tensor:
    """Returns (H, W) metres: of the nearest known pixel."""
    return around.nearest(around.at_known(known))


def fill_bilateral(around: Neighbours, known: Tensor, image: Tensor) -> Tensor:
    """Returns (H, W) metres: the mean log depth of known pixels that are near and of a like colour."""
    return around.spread(around.at_known(known).log(), image).exp()


def scale_to_known(around: Neighbours, known: Tensor, metres: Tensor) -> Tensor:
    """Returns a predicted map scaled by the median ratio of known to predicted depth."""
    return metres * (around.at_known(known) / around.at_known(metres)).median()


def bend_to_known(known: Tensor, metres: Tensor, image: Tensor | None, around: Neighbours | None = None) -> Tensor:
    """Returns a predicted map that goes through the known pixels: its log errors there are spread as depth would be.

    Errors are spread on a grid of at most `BEND_SIDE` cells a side, so that the cost is that of a small picture.

    Args:
        known: (H, W) metres; what is not finite is not known.
        metres: (H, W), the prediction; what is not finite in it, as sky, stays.
        image: (3, H, W) RGB, 0 to 1: errors spread among pixels of like colour; None: by closeness alone.
        around: neighbours of the known pixels of a map that is no larger than this grid, where they are there already.
    """
    both = known.isfinite() & metres.isfinite()
    if not both.any():
        return metres
    height, width = known.shape
    shrink = min(1.0, BEND_SIDE / max(height, width))
    cells = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    errors = torch.where(both, known.clamp(min=1e-6).log() - metres.clamp(min=1e-6).log(), 0.0)
    sums, share = F.adaptive_avg_pool2d(torch.stack([errors, both.float()])[None], cells)[0]
    if around is None or around.shape != cells or not torch.equal(share > 0, known.isfinite()):
        around = Neighbours(share > 0)
    small = None if image is None else F.adaptive_avg_pool2d(image[None], cells)[0]
    spread = around.spread(around.at_known(sums / share.clamp(min=1e-9)), small)
    bend = F.interpolate(spread[None, None], size=(height, width), mode="bilinear", align_corners=False)[0, 0]
    return metres * bend.exp()
