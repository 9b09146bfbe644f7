"""Cut a photo into masks without a single label: superpixels joined one by one, and what holds together for long kept.

Whole things and their parts come from one hierarchy, as in UnSAM (arXiv 2406.20081): superpixels (Felzenszwalb and
Huttenlocher 2004) give the outlines; two neighbours are joined where a depth model's features are alike and depth does
not jump at their common border. A region that takes shape early and is joined with others late is a mask.
"""

import heapq
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.ndimage import binary_fill_holes, label

# Pixels on both sides of a border between which depth is compared: predicted depth takes some to change.
DEPTH_STEP = 4
# Percentiles between which depth counts as 1.
DEPTH_RANGE = (2, 98)
# Regions this alike are one mask.
SAME_IOU = 0.8
# Of a region's holes those smaller than this share of it are filled.
SMALL_HOLE = 0.05


@dataclass(frozen=True)
class GroupingRules:
    """How superpixels are joined, and which of the regions are masks.

    Args:
        scale: of the superpixels; larger makes larger ones.
        sigma: of the blur before, pixels.
        smallest_superpixel: share of the image.
        depth_weight: cost of a depth jump over the whole range of an image, in units of 1 - cosine of the features.
        color_weight: the same for a difference of mean colour from black to white.
        size_power: the cost is also the smaller region's share of the image to this power, so that specks go first.
        min_area: least share of the image that a mask has.
        max_area: largest share of it.
        min_stability: least share of the cost of joining a region with others that lies above the cost of making it.
        most: masks of an image; those are kept whose making and joining costs differ most.
    """

    scale: float = 60.0
    sigma: float = 0.8
    smallest_superpixel: float = 0.0005
    depth_weight: float = 2.0
    color_weight: float = 0.3
    size_power: float = 0.4
    min_area: float = 0.002
    max_area: float = 0.7
    min_stability: float = 0.3
    most: int = 24


@dataclass(frozen=True)
class Region:
    """A region of the hierarchy: its mask (H, W) bool, and its stability in [0, 1]."""

    mask: np.ndarray
    stability: float


def group(image: np.ndarray, features: np.ndarray, disparity: np.ndarray, rules: GroupingRules) -> list[Region]:
    """Returns the masks of an image, those that stand out most first.

    Args:
        image: (H, W, 3) uint8 RGB.
        features: (C, h, w) float32 of a grid of patches that covers the image.
        disparity: (H, W) inverse depth.
        rules: see there.
    """
    from skimage.segmentation import felzenszwalb  # an extra, and takes a second

    pixels = image.shape[0] * image.shape[1]
    numbers = felzenszwalb(
        image, scale=rules.scale, sigma=rules.sigma, min_size=max(1, round(rules.smallest_superpixel * pixels))
    )
    count = int(numbers.max()) + 1
    areas = np.bincount(numbers.ravel(), minlength=count).astype(np.float64)
    colors = np.stack([np.bincount(numbers.ravel(), image[..., c].ravel(), count) for c in range(3)], 1)
    described = np.concatenate([
        _unit(_means(numbers, features)),
        np.sqrt(rules.color_weight) * colors / areas[:, None] / 255,
    ], 1)  # fmt: skip
    tree = _join(described, features.shape[0], areas, _borders(numbers, disparity), rules)
    return _choose(numbers, areas / pixels, tree, rules)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def _means(numbers: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Returns (R, C), the mean over each region's pixels of the features, centred and interpolated between patches."""
    height, width = numbers.shape
    grid = features.reshape(len(features), -1).T  # (h * w, C)
    grid = _unit(grid - grid.mean(0))
    rows, columns = (_between(size, cells) for size, cells in zip((height, width), features.shape[1:], strict=True))
    share = np.zeros(0)
    members, cells = [], []
    for row, down in rows:
        for column, across in columns:
            members.append(numbers.ravel())
            cells.append((row[:, None] * features.shape[2] + column).ravel())
            share = np.concatenate([share, (down[:, None] * across).ravel()])
    where = (np.concatenate(members), np.concatenate(cells))
    weights = sparse.csr_matrix((share, where), shape=(int(numbers.max()) + 1, len(grid)))
    return np.asarray(weights @ grid) / np.maximum(np.asarray(weights.sum(1)), 1e-9)


def _between(size: int, cells: int) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Returns for each pixel of a side the cell before and the cell after it, and their weights."""
    place = np.clip((np.arange(size) + 0.5) * cells / size - 0.5, 0, cells - 1)
    before = np.floor(place).astype(int)
    after = np.minimum(before + 1, cells - 1)
    return (before, 1 - (place - before)), (after, place - before)


def _borders(numbers: np.ndarray, disparity: np.ndarray) -> dict[tuple[int, int], tuple[float, float]]:
    """Returns for each pair of neighbouring regions the length of their border, and the sum of depth jumps on it."""
    low, high = np.percentile(disparity, DEPTH_RANGE)
    depth = np.clip((disparity - low) / max(float(high - low), 1e-6), 0, 1)
    keys, jumps = [], []
    count = int(numbers.max()) + 1
    for axis in (0, 1):
        size = numbers.shape[axis]
        first, second = (np.take(numbers, range(start, size - 1 + start), axis) for start in (0, 1))
        near = np.clip(np.arange(size - 1) - DEPTH_STEP + 1, 0, size - 1)
        far = np.clip(np.arange(size - 1) + DEPTH_STEP, 0, size - 1)
        jump = np.abs(np.take(depth, far, axis) - np.take(depth, near, axis))
        differ = first != second
        low_number, high_number = np.minimum(first, second)[differ], np.maximum(first, second)[differ]
        keys.append(low_number.astype(np.int64) * count + high_number)
        jumps.append(jump[differ])
    found, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    lengths = np.bincount(inverse, minlength=len(found))
    sums = np.bincount(inverse, np.concatenate(jumps), len(found))
    return {
        (int(key // count), int(key % count)): (float(length), float(total))
        for key, length, total in zip(found, lengths, sums, strict=True)
    }


@dataclass
class _Tree:
    """The hierarchy: for each node its two children (-1 of superpixels), the cost of making it, and that of its
    being joined with others."""

    children: np.ndarray
    made: np.ndarray
    joined: np.ndarray


def _join(
    described: np.ndarray, channels: int, areas: np.ndarray, borders: dict[tuple[int, int], tuple[float, float]],
    rules: GroupingRules,
) -> _Tree:  # fmt: skip
    """Joins the cheapest neighbours until one region is left.

    Args:
        described: (R, C + 3) features of length 1, then weighted colours.
        channels: C.
        areas: (R,) pixels.
        borders: length and sum of depth jumps, by pair.
        rules: see there.
    """
    count = len(areas)
    nodes, pixels = 2 * count - 1, areas.sum()
    sums = np.zeros((nodes, described.shape[1]))
    sums[:count] = described * areas[:, None]
    sizes = np.zeros(nodes)
    sizes[:count] = areas
    children, made, joined = np.full((nodes, 2), -1), np.zeros(nodes), np.ones(nodes)
    around: list[dict[int, tuple[float, float]]] = [{} for _ in range(nodes)]
    for (a, b), border in borders.items():
        around[a][b] = around[b][a] = border

    def cost(a: int, b: int) -> float:
        ours, theirs = sums[a] / sizes[a], sums[b] / sizes[b]
        f, g = ours[:channels], theirs[:channels]
        alike = float(f @ g) / max(1e-9, float(np.sqrt((f @ f) * (g @ g))))
        color = float(np.linalg.norm(ours[channels:] - theirs[channels:]))
        length, jump = around[a][b]
        size = min(sizes[a], sizes[b]) / pixels
        return ((1 - alike) / 2 + color**2 + rules.depth_weight * jump / length) * size**rules.size_power

    queue = [(cost(a, b), a, b) for a, b in borders]
    heapq.heapify(queue)
    alive, new = np.zeros(nodes, bool), count
    alive[:count] = True
    while queue:
        price, a, b = heapq.heappop(queue)
        if not (alive[a] and alive[b]):
            continue
        alive[[a, b]], alive[new] = False, True
        children[new] = a, b
        made[new] = max(price, made[a], made[b])
        joined[[a, b]] = made[new]
        sums[new], sizes[new] = sums[a] + sums[b], sizes[a] + sizes[b]
        for old in (a, b):
            for other, (length, jump) in around[old].items():
                if alive[other]:
                    before = around[new].get(other, (0.0, 0.0))
                    around[new][other] = around[other][new] = (before[0] + length, before[1] + jump)
            around[old] = {}
        for other in around[new]:
            heapq.heappush(queue, (cost(new, other), new, other))
        new += 1
    return _Tree(children[:new], made[:new], joined[:new])


def _choose(numbers: np.ndarray, shares: np.ndarray, tree: _Tree, rules: GroupingRules) -> list[Region]:
    """Returns the regions that are masks."""
    count = len(shares)
    members: list[np.ndarray] = [np.array([index]) for index in range(count)]
    members += [np.zeros(0, int)] * (len(tree.children) - count)
    for node in range(count, len(tree.children)):
        members[node] = np.concatenate([members[child] for child in tree.children[node]])
    area = np.array([shares[each].sum() for each in members])
    stability = 1 - tree.made / np.maximum(tree.joined, 1e-9)
    good = (area >= rules.min_area) & (area <= rules.max_area) & (stability >= rules.min_stability)
    good[:count] = False  # a superpixel is no thing for its being uniform
    kept: list[Region] = []
    for chosen in sorted(np.flatnonzero(good), key=lambda each: -(tree.joined[each] - tree.made[each])):
        inside = np.zeros(count, bool)
        inside[members[chosen]] = True
        mask = _without_small_holes(inside[numbers])
        if all((mask & other.mask).sum() < SAME_IOU * (mask | other.mask).sum() for other in kept):
            kept.append(Region(mask, float(stability[chosen])))
        if len(kept) == rules.most:
            break
    return kept


def _without_small_holes(mask: np.ndarray) -> np.ndarray:
    holes, _ = label(binary_fill_holes(mask) & ~mask)
    small = np.bincount(holes.ravel()) < SMALL_HOLE * mask.sum()
    small[0] = False
    return mask | small[holes]
