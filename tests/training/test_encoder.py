"""The built-in encoder: targets worked out by hand, learning, and what comes out is a stock DINOv2."""

import pytest
import torch
from processes import held_by_another
from transformers import AutoBackbone, AutoImageProcessor, Dinov2Model

from semidepth.training.encoder import main
from semidepth.training.options.demo import DemoOptions
from semidepth.training.options.encoder import EncoderOptions
from semidepth.training.recipes.demo.run import run_demo
from semidepth.training.recipes.encoder import cell_class_shares, patch_pixels, pretrain_encoder

SMALL = {"hidden_size": 32, "heads": 2, "layers": 4, "size": 48, "batch_size": 4, "cpu": True}


def test_class_shares_are_counted_pixels():
    semantic = torch.tensor([[[0, 0, 1, 1], [0, 2, 1, 1]]])  # two patches of 2 x 2
    assert cell_class_shares(semantic, 2, 1, 3).tolist() == [[[[0.75, 0.0, 0.25]], [[0.0, 1.0, 0.0]]]]
    cells = cell_class_shares(semantic, 2, 2, 3)  # one cell per pixel: one-hot, row by row within the patch
    assert cells[0, 0].argmax(-1).tolist() == [0, 0, 0, 2]
    assert cells[0, 1].argmax(-1).tolist() == [1, 1, 1, 1]
    assert (cells.max(-1).values == 1).all()


def test_patch_pixels_are_normalised_patches_in_reading_order():
    pixels = torch.rand(1, 3, 4, 4)
    patches = patch_pixels(pixels, 2)
    second = pixels[0, :, :2, 2:].reshape(-1)
    expected = (second - second.mean()) / (second.std() + 1e-3)
    assert patches.shape == (1, 4, 12)
    assert torch.allclose(patches[0, 1], expected, atol=1e-6)


@pytest.mark.parametrize("objective", ["semantic", "masked"])
def test_it_makes_a_stock_encoder_that_has_learned(tmp_path, objective, capfd):
    folder = pretrain_encoder(EncoderOptions(output_dir=str(tmp_path), objective=objective, steps=25, **SMALL))
    encoder = Dinov2Model.from_pretrained(folder)
    assert AutoImageProcessor.from_pretrained(folder).size["height"] == 48
    assert encoder.config.patch_size == 8
    assert sum(p.numel() for p in encoder.parameters()) > 0
    losses = [float(part.split()[0].rstrip("]")) for part in capfd.readouterr().err.split("loss ")[1:]]
    assert losses[-1] < losses[0]


def test_a_folder_that_another_run_writes_into_is_refused(tmp_path):
    for run, options in ((pretrain_encoder, EncoderOptions), (run_demo, DemoOptions)):
        with held_by_another(tmp_path), pytest.raises(ValueError, match="in use by another run"):
            run(options(output_dir=str(tmp_path)))
    assert list(tmp_path.iterdir()) == [tmp_path / ".lock"]


def test_wrong_values_get_one_sentence(refused):
    for argv, words in (
        (["--objective", "contrastive"], "choose one of semantic, masked"),
        (["--size", "50"], "must be a multiple"),
        (["--steps", "0"], "--steps is 0"),
    ):
        assert words in refused(main, *argv)


def test_auto_backbone_knows_it(tmp_path):
    folder = pretrain_encoder(EncoderOptions(output_dir=str(tmp_path), steps=1, **SMALL))
    assert AutoBackbone.from_config(Dinov2Model.from_pretrained(folder).config) is not None
