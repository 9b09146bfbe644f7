"""What the Space makes of models whose numbers depend on how they are configured."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from serving import resize
from transformers import DepthProConfig
from transformers.models.depth_pro.image_processing_depth_pro import DepthProImageProcessor


@pytest.fixture
def predictor(space_on_path):
    import predictor

    return predictor


def test_depth_pro_is_metric_with_its_field_of_view_alone(predictor):
    assert predictor.kind_of(DepthProConfig(use_fov_model=True)) == "depth"
    assert predictor.kind_of(DepthProConfig(use_fov_model=False)) == "disparity"
    assert predictor.kind_of(SimpleNamespace(model_type="depth_pro")) == "disparity"


def test_depth_pro_without_a_field_of_view_stays_inverse_depth(predictor):
    """Its processor would make of it depth without a unit, and near would be dark."""
    near = torch.linspace(0.5, 4, 12).reshape(1, 3, 4)
    output = SimpleNamespace(predicted_depth=near, field_of_view=None)
    found = predictor.full_size(output, DepthProImageProcessor(), [(6, 9)])[0]
    np.testing.assert_allclose(found.numpy(), resize(near[0].numpy(), 6, 9), rtol=1e-5)
    focal_px = 0.5 * 9 / np.tan(np.radians(30))
    scaled = SimpleNamespace(predicted_depth=torch.full((1, 3, 4), 2.0), field_of_view=torch.tensor([60.0]))
    metres = predictor.full_size(scaled, DepthProImageProcessor(), [(6, 9)])[0]
    np.testing.assert_allclose(metres.numpy(), 1 / (2 * 9 / focal_px), rtol=1e-5)
