"""Scores by the conventions of published evaluation code, each in numpy from its definition."""

from collections.abc import Callable

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]  # inverse depth without unit and metres, (H, W) float64
Scores = dict[str, float]
NEAREST_M = 1e-3


def errors(x: np.ndarray, y: np.ndarray) -> Scores:
    """The metrics of positive values."""
    ratio, log = np.maximum(x / y, y / x), np.log(x) - np.log(y)
    return {
        "abs_rel": float(np.mean(np.abs(x - y) / y)),
        "delta1": float(np.mean(ratio < 1.25)),
        "rmse": float(np.sqrt(np.mean((x - y) ** 2))),
        "silog": float(100 * np.std(log)),
    }


def known(depth: np.ndarray, cap: float) -> np.ndarray:
    return np.isfinite(depth) & (depth >= NEAREST_M) & (depth <= cap)


def fitted(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least squares of the pixels p (N,) onto y."""
    return np.stack([p, np.ones_like(p)], 1) @ np.linalg.lstsq(np.stack([p, np.ones_like(p)], 1), y, rcond=None)[0]


def ours(pair: Pair, cap: float, inside: np.ndarray | bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Metres after least squares in disparity and clamping, and the label; (N,) of the scored pixels."""
    valid = known(pair[1], cap) & inside
    p, y = pair[0][valid], pair[1][valid]
    return 1 / np.clip(fitted(p, 1 / y), 1 / cap, 1 / NEAREST_M), y


def in_disparity(pair: Pair, cap: float) -> Scores:
    x, y = ours(pair, cap)
    return errors(1 / x, 1 / y)


def own_cap(pair: Pair, cap: float) -> Scores:
    return errors(*ours(pair, float(pair[1][known(pair[1], cap)].max())))


def midas(pair: Pair, cap: float) -> Scores:
    """MiDaS: float32 normal equations, labels strictly between 0 and the cap, the far end clamped alone."""
    valid = np.isfinite(pair[1]) & (pair[1] > 0) & (pair[1] < cap)
    p, y = pair[0][valid].astype(np.float32), pair[1][valid].astype(np.float32)
    matrix = np.array([[np.sum(p * p), np.sum(p)], [np.sum(p), np.float32(len(p))]], np.float32)
    scale, shift = np.linalg.solve(matrix, np.array([np.sum(p / y), np.sum(1 / y)], np.float32))
    x = 1 / np.maximum(scale * p + shift, np.float32(1 / cap))
    scores = errors(x, y)
    bad = np.mean(np.maximum(x / y, y / x) > 1.25)
    return scores | {"bad_per_cent": float(100 * bad)}


def dropped(pair: Pair, cap: float) -> Scores:
    """Pixels that align to beyond the cap are left out instead of clamped."""
    valid = known(pair[1], cap)
    p, y = pair[0][valid], pair[1][valid]
    x = fitted(p, 1 / y)
    kept = (x >= 1 / cap) & (x <= 1 / NEAREST_M)
    return errors(1 / x[kept], y[kept])


def in_depth_space(pair: Pair, cap: float) -> Scores:
    """Marigold's alignment, of affine-invariant depth, put on the inverse of the prediction."""
    valid = known(pair[1], cap)
    y = pair[1][valid]
    return errors(np.clip(fitted(1 / np.maximum(pair[0][valid], 1e-3), y), NEAREST_M, cap), y)


def by_medians(pair: Pair, cap: float) -> Scores:
    """Monodepth2: one scale, from the medians of depth."""
    valid = known(pair[1], cap)
    y = pair[1][valid]
    x = 1 / np.maximum(pair[0][valid], 1e-9)
    return errors(np.clip(x * np.median(y) / np.median(x), NEAREST_M, cap), y)


def by_deviation(pair: Pair, cap: float) -> Scores:
    """The alignment of the affine-invariant loss: median and mean absolute deviation of disparity."""
    valid = known(pair[1], cap)
    p, y = pair[0][valid], 1 / pair[1][valid]
    spread = np.mean(np.abs(y - np.median(y))) / np.mean(np.abs(p - np.median(p)))
    aligned = (p - np.median(p)) * spread + np.median(y)
    return errors(1 / np.clip(aligned, 1 / cap, 1 / NEAREST_M), pair[1][valid])


def cropped(rows: tuple[float, float], columns: tuple[float, float]) -> Callable[[Pair, float], Scores]:
    """Only the pixels within these shares of the height and the width."""

    def score(pair: Pair, cap: float) -> Scores:
        height, width = pair[1].shape
        inside = np.zeros((height, width), bool)
        inside[int(rows[0] * height) : int(rows[1] * height), int(columns[0] * width) : int(columns[1] * width)] = True
        return errors(*ours(pair, cap, inside))

    return score


def metres(pair: Pair, cap: float, reach: float = 1.5) -> np.ndarray:
    """Returns a metric prediction (H, W) to score without alignment: 5 % too far, up to 1.5 times the cap before that.

    It is the prediction fitted to its label by scale and shift in disparity.
    """
    valid = known(pair[1], cap)
    p = pair[0]
    scale, shift = np.polyfit(p[valid], 1 / pair[1][valid], 1)
    return 1.05 / np.maximum(scale * p + shift, 1 / (reach * cap))


def metric_clamped(pair: Pair, cap: float) -> Scores:
    valid = known(pair[1], cap)
    return errors(np.clip(metres(pair, cap)[valid], NEAREST_M, cap), pair[1][valid])


def zoedepth(pair: Pair, cap: float) -> Scores:
    """ZoeDepth: clamped, labels strictly within the range."""
    valid = np.isfinite(pair[1]) & (pair[1] > NEAREST_M) & (pair[1] < cap)
    return errors(np.clip(metres(pair, cap)[valid], NEAREST_M, cap), pair[1][valid])


def depth_anything_v2(pair: Pair, cap: float) -> Scores:
    """Depth Anything V2's metric code: not clamped; silog with half of the squared mean, not times 100."""
    valid = known(pair[1], cap)
    x, y = metres(pair, cap)[valid], pair[1][valid]
    log = np.log(x) - np.log(y)
    return errors(x, y) | {"silog": float(np.sqrt(np.mean(log**2) - 0.5 * np.mean(log) ** 2))}


def metric_medians(pair: Pair, cap: float) -> Scores:
    valid = known(pair[1], cap)
    x, y = metres(pair, cap)[valid], pair[1][valid]
    return errors(np.clip(x * np.median(y) / np.median(x), NEAREST_M, cap), y)


def pooled(pairs: list[Pair], cap: float, score: Callable[[Pair, float], tuple[np.ndarray, np.ndarray]]) -> Scores:
    """Over the pixels of all images at once."""
    x, y = zip(*(score(pair, cap) for pair in pairs), strict=True)
    return errors(np.concatenate(x), np.concatenate(y))


RELATIVE: dict[str, Callable[[Pair, float], Scores]] = {
    "ours: least squares in disparity, clamped, compared in depth": lambda pair, cap: errors(*ours(pair, cap)),
    "MiDaS, DPT (float32, strict range)": midas,
    "compared in disparity": in_disparity,
    "no cap named: each image's own largest label": own_cap,
    "beyond the cap left out, not clamped": dropped,
    "least squares in depth (Marigold's)": in_depth_space,
    "median scaling (Monodepth2)": by_medians,
    "median and mean deviation (the loss's)": by_deviation,
    "Garg's crop": cropped((0.40810811, 0.99189189), (0.03594771, 0.96405229)),
    "Eigen's crop on KITTI": cropped((0.3324324, 0.91351351), (0.0359477, 0.96405229)),
}
METRIC: dict[str, Callable[[Pair, float], Scores]] = {
    "ours: clamped, no alignment": metric_clamped,
    "ZoeDepth (strict range)": zoedepth,
    "Depth Anything V2 (not clamped)": depth_anything_v2,
    "median scaling (Monodepth2)": metric_medians,
}
