"""Tokenizers of maps: the quantiser against its definition, and round trips of real maps."""

import itertools
import math

import pytest
import torch
from transformers import AutoModel, set_seed

from semidepth.modeling.four_m.configuration_modality_tokenizer import MODALITIES, ModalityTokenizerConfig
from semidepth.modeling.four_m.modeling_modality_tokenizer import FiniteScalarQuantizer, ModalityTokenizer

CLASSES = ("floor", "wall", "lamp")


def tiny(modality: str, **changes) -> ModalityTokenizer:
    set_seed(0)
    fields = {"image_size": 16, "patch_size": 4, "hidden_size": 16, "num_hidden_layers": 1, "levels": (5, 4, 4)}
    classes = CLASSES if modality == "semantic" else ()
    return ModalityTokenizer(ModalityTokenizerConfig(modality=modality, classes=classes, **(fields | changes))).eval()


def values_of(modality: str, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if modality == "rgb":
        return torch.rand(2, 3, 16, 16, generator=generator)
    if modality == "semantic":
        return torch.randint(-1, 3, (2, 16, 16), generator=generator)
    if modality == "normal":
        found = torch.nn.functional.normalize(torch.randn(2, 3, 16, 16, generator=generator), dim=1)
        found[:, :, :3, :5] = torch.nan
        return found
    metres = torch.rand(2, 16, 16, generator=generator) * 20 + 0.5
    metres[:, :4], metres[:, 10:, 8:] = torch.inf, torch.nan
    return metres


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (2, 3), (7,)])
def test_a_code_is_the_nearest_of_its_levels(levels):
    quantizer = FiniteScalarQuantizer(levels)
    codes = torch.randn(50, len(levels), generator=torch.Generator().manual_seed(1)) * 3
    rounded = quantizer(codes)
    for code, found in zip(codes.tolist(), rounded.tolist(), strict=True):
        for number, value, count in zip(code, found, levels, strict=True):
            # The paper's formula, in plain numbers: bounded, then rounded, then divided by half the levels.
            reach, offset = (count - 1) * 1.001 / 2, 0.5 if count % 2 == 0 else 0.0
            bounded = math.tanh(number + math.atanh(offset / reach)) * reach - offset
            assert value == pytest.approx(round(bounded) / (count // 2), abs=1e-6)


def test_tokens_number_every_combination_once_and_zero_is_a_level():
    levels = (4, 3, 2)
    quantizer = FiniteScalarQuantizer(levels)
    grid = [[(step - count // 2) / (count // 2) for step in range(count)] for count in levels]
    combinations = torch.tensor(list(itertools.product(*grid)))
    ids = quantizer.to_ids(combinations)
    assert sorted(ids.tolist()) == list(range(24))
    torch.testing.assert_close(quantizer.from_ids(ids), combinations)
    assert quantizer(torch.zeros(1, 3)).tolist() == [[0, 0, 0]]


def test_every_level_is_reached_and_gradients_pass_the_rounding():
    quantizer = FiniteScalarQuantizer((8, 5))
    codes = torch.linspace(-9, 9, 999)[:, None].repeat(1, 2).requires_grad_()
    rounded = quantizer(codes)
    assert [len(rounded[:, number].unique()) for number in (0, 1)] == [8, 5]
    rounded.sum().backward()
    assert codes.grad is not None
    assert (codes.grad >= 0).all()
    assert codes.grad[499].min() > 0.3


@pytest.mark.parametrize("modality", MODALITIES)
def test_decoding_takes_tokens_of_any_map_and_one_hot_is_hard(modality):
    model = tiny(modality)
    values = values_of(modality)
    ids = model.encode(values)
    assert ids.shape == (2, 4, 4)
    assert ids.min() >= 0
    assert ids.max() < 80 == model.config.vocab_size
    hard = model.decode(ids)
    assert hard.shape == values.shape
    assert not hard.isnan().any()
    torch.testing.assert_close(model.decode_soft(torch.nn.functional.one_hot(ids, 80).float()), hard)
    output = model(values)
    torch.testing.assert_close(output.values, hard)
    assert output.loss is None
    assert torch.equal(output.ids, ids)


@pytest.mark.parametrize("modality", ["depth", "normal", "semantic"])
def test_the_unknown_counts_in_no_loss(modality):
    model = tiny(modality)
    values = values_of(modality)
    unknown = values < 0 if modality == "semantic" else values.isnan()
    output = model(values, labels=values)
    completed = values.clone()
    completed[unknown] = output.values[unknown]
    everything = model(values, labels=completed).loss
    assert output.loss.isfinite()
    assert not torch.allclose(output.loss, everything)
    nothing = torch.full_like(values, -1 if modality == "semantic" else torch.nan)
    empty = model(nothing, labels=nothing).loss
    assert empty == 0
    empty.backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())


def test_the_losses_are_those_of_their_formulas():
    model = tiny("depth")
    metres = torch.full((1, 16, 16), 2.0)
    metres[:, :8] = torch.inf
    scale = math.log(100 / 0.1) / 2
    unit = (math.log(2.0) - math.log(0.1)) / scale - 1
    pixels = torch.stack([torch.full((1, 16, 16), unit + 0.1), torch.zeros(1, 16, 16)], 1)
    # A tenth of the unit off in log metres on the lower half, and no idea of the sky.
    assert model.loss(pixels, metres).item() == pytest.approx(0.1 * scale + math.log(2), rel=1e-4)
    normals = torch.zeros(1, 3, 16, 16)
    normals[:, 2] = 1
    turned = torch.zeros(1, 3, 16, 16)
    turned[:, 0] = 5  # of any length: a right angle away
    assert tiny("normal").loss(turned, normals).item() == pytest.approx(1 + 0.1 * 2, rel=1e-5)
    assert tiny("rgb").loss(torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)).item() == pytest.approx(1)
    logits = torch.zeros(1, 3, 16, 16)
    assert tiny("semantic").loss(logits, torch.ones(1, 16, 16).long()).item() == pytest.approx(math.log(3))


def test_depth_comes_back_after_some_steps():
    """Planes at different distances, with sky: the round trip is what everything after it can reach."""
    model = tiny("depth", hidden_size=32, levels=(8, 5, 5)).train()
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

    def batch() -> torch.Tensor:
        near, slope = torch.rand(2, 16, 1, 1, generator=generator)
        metres = (1 + 9 * near + 10 * slope * torch.linspace(0, 1, 16)[:, None]).repeat(1, 1, 16)
        metres[::2, :4] = torch.inf
        return metres

    for _ in range(150):
        optimizer.zero_grad()
        values = batch()
        model(values, labels=values).loss.backward()
        optimizer.step()
    values = batch()
    back = model.eval()(values).values
    assert ((back.isinf() == values.isinf()).float().mean()) > 0.97
    both = back.isfinite() & values.isfinite()
    assert ((back - values).abs() / values)[both].mean() < 0.12


def test_it_is_saved_with_its_code_and_found_again(tmp_path):
    model = tiny("semantic")
    model.save_pretrained(tmp_path)
    assert {"modeling_modality_tokenizer.py", "configuration_modality_tokenizer.py"} <= {
        path.name for path in tmp_path.iterdir()
    }
    again = AutoModel.from_pretrained(tmp_path)
    values = values_of("semantic")
    assert torch.equal(again.encode(values), model.encode(values))
    assert list(again.config.classes) == list(CLASSES)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"modality": "sound"}, "sound"),
        ({"levels": (5, 1)}, "levels"),
        ({"modality": "semantic"}, "classes"),
        ({"min_depth": 5, "max_depth": 2}, "max_depth"),
        ({"image_size": 30}, "multiple"),
    ],
)
def test_wrong_configurations_are_refused(changes, word):
    with pytest.raises(Exception, match=word):
        ModalityTokenizerConfig(**changes)


def test_a_map_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="multiples of the patch size 4"):
        tiny("depth").encode(torch.ones(1, 15, 16))
    with pytest.raises(ValueError, match=r"give \(B, 3, H, W\)"):
        tiny("normal").encode(torch.ones(1, 16, 16))
