"""The metric loaded by `evaluate`, and maps to score."""

import evaluate
import numpy as np
import pytest
from metric_space import METRIC


@pytest.fixture
def load(tmp_path):
    return lambda *names, **options: evaluate.load(str(METRIC), *names, cache_dir=str(tmp_path), **options)


@pytest.fixture
def maps():
    return random_maps


def random_maps(seed: int = 0, sizes=((24, 32), (30, 20), (48, 64))) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Predictions in metres and references, with unknown pixels of every kind, some values beyond any range."""
    random = np.random.default_rng(seed)
    predictions, references = [], []
    for size in sizes:
        depth = random.uniform(0.5, 14, size).astype(np.float32)
        prediction = (depth * random.uniform(0.6, 1.5, size) + 0.3).astype(np.float32)
        depth[random.random(size) < 0.1] = random.choice([np.nan, 0.0, np.inf])
        predictions.append(prediction)
        references.append(depth)
    return predictions, references
