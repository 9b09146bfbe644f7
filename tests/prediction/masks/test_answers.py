"""Answers at the image's size: by a stand-in for the model that marks a disc round the last click, or fills the box."""

import numpy as np
import pytest
import torch

from semidepth.modeling.mask_decoder import PromptedMaskOutput
from semidepth.prediction.masks.answers import ImagePrompts, MaskPredictor
from semidepth.prediction.preprocessing import Preprocessing

SIZE, CELLS = 56, 16
RED = np.array([255, 0, 0], np.uint8)


class MarksRed:
    """Answers with the red pixels that it sees, whatever it is asked; counts what it looks at."""

    def __init__(self):
        self.looks = 0

    def get_image_embeddings(self, pixels):
        self.looks += len(pixels)
        return torch.nn.functional.interpolate(pixels, (CELLS // 4, CELLS // 4), mode="area"), [pixels]

    def __call__(self, *, image_embeddings, intermediate_embeddings, multimask_output, **prompts):
        red = intermediate_embeddings[0][:, 0] - intermediate_embeddings[0][:, 1]
        logits = torch.nn.functional.interpolate(red[:, None], (CELLS, CELLS), mode="area")[:, 0] - 0.5
        count = next(iter(prompts.values())).shape[1]
        masks = 3 if multimask_output else 1
        logits = logits[:, None, None].expand(-1, count, masks, -1, -1)
        self.prompts = prompts
        return PromptedMaskOutput(pred_masks=logits, iou_scores=torch.zeros(*logits.shape[:3]))


@pytest.fixture
def scene():
    """An image of 224 pixels with a red disc of 20 pixels across."""
    rows, columns = np.mgrid[:224, :224] + 0.5
    disc = (rows - 60) ** 2 + (columns - 150) ** 2 < 10**2
    image = np.where(disc[..., None], RED, np.uint8(0)).astype(np.uint8)
    return image, disc


def predictor(zoom):
    # Without normalisation, so that the stand-in sees plain colours.
    preprocessing = Preprocessing(size=SIZE, multiple=14, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return MaskPredictor(MarksRed(), preprocessing, torch.device("cpu"), zoom=zoom)


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("kind", ["point", "box"])
def test_a_small_thing_is_looked_at_again_larger(scene, kind):
    image, disc = scene
    if kind == "point":
        prompts = ImagePrompts(np.array([[[150.0, 60.0]]], np.float32), np.array([[True]]))
    else:
        prompts = ImagePrompts(boxes=np.array([[140.0, 50, 160, 70]], np.float32))
    found = {}
    for zoom in (False, True):
        asked = predictor(zoom)
        asked.look(image)
        found[zoom] = asked.answer(prompts, candidates=kind == "point")
        assert asked._model.looks == 1 + zoom
    assert found[True].masks.shape == found[False].masks.shape == (1, 3 if kind == "point" else 1, 224, 224)
    best = found[True].scores[0].argmax()
    assert iou(found[True].masks[0, best], disc) > max(0.85, iou(found[False].masks[0, best], disc) + 0.1)


def test_points_outside_of_the_crop_are_padding_there(scene):
    image, _ = scene
    asked = predictor(True)
    asked.look(image)
    points = np.array([[[150.0, 60.0], [10.0, 200.0]]], np.float32)
    asked.answer(ImagePrompts(points, np.array([[True, False]])), candidates=False)
    assert asked._model.prompts["input_labels"].tolist() == [[[1, -10]]]
    near = asked._model.prompts["input_points"][0, 0, 0]
    assert torch.allclose(near, torch.full((2,), SIZE / 2 - 0.5), atol=6)  # about the middle of its crop


def test_a_large_thing_is_not_looked_at_again(scene):
    asked = predictor(True)
    asked.look(np.full((224, 300, 3), RED, np.uint8))
    found = asked.answer(ImagePrompts(np.array([[[10.0, 10.0]]]), np.array([[True]])), candidates=True)
    assert asked._model.looks == 1
    assert found.masks.all()
