"""4M: what is seen and asked for, who looks at whom, losses, saving and loading."""

import pytest
import torch
import torch.nn.functional as F
from huggingface_hub.errors import StrictDataclassError

from semidepth.modeling import FourMConfig, FourMForAnyToAny

MODALITIES = [
    {"name": "rgb", "kind": "pixels"},
    {"name": "tok_depth", "kind": "map", "vocab_size": 11},
    {"name": "tok_normal", "kind": "map", "vocab_size": 7, "patch_size": 32},
    {"name": "caption", "kind": "sequence", "vocab_size": 13, "max_tokens": 12},
]


def tiny(**fields):
    torch.manual_seed(0)
    sizes = {"image_size": 64, "hidden_size": 32, "encoder_layers": 2, "decoder_layers": 2, "num_attention_heads": 2}
    model = FourMForAnyToAny(FourMConfig(**({"modalities": MODALITIES} | sizes | fields))).eval()
    with torch.no_grad():  # as if trained: fresh embeddings are so small that positions alone would decide
        for name, weights in model.named_parameters():
            if "emb" in name or "mask_token" in name:
                weights.normal_()
    return model


@pytest.fixture(scope="module")
def model():
    return tiny()


@pytest.fixture
def batch():
    draw = torch.Generator().manual_seed(1)
    caption = torch.randint(0, 13, (2, 6), generator=draw)
    caption[1, 4:] = -100
    return {
        "rgb": torch.randn(2, 3, 64, 64, generator=draw),
        "tok_depth": torch.randint(0, 11, (2, 4, 4), generator=draw),
        "tok_normal": torch.randint(0, 7, (2, 2, 2), generator=draw),
        "caption": caption,
    }


def pick(batch, *names):
    return {name: batch[name] for name in names}


@torch.no_grad()
def test_the_loss_is_the_mean_of_each_modality_s_mean(model, batch):
    output = model(pick(batch, "rgb"), None, pick(batch, "tok_depth", "caption"))
    by_hand = F.cross_entropy(output.logits["tok_depth"], batch["tok_depth"].flatten())
    assert torch.allclose(output.losses["tok_depth"], by_hand)
    words = torch.cat([batch["caption"][0, 1:], batch["caption"][1, 1:4]])
    assert torch.allclose(output.losses["caption"], F.cross_entropy(output.logits["caption"], words))
    assert torch.allclose(output.loss, sum(output.losses.values()) / 2)
    samples, positions = output.index["caption"].T
    assert torch.equal(batch["caption"][samples, positions], words)
    assert torch.equal(batch["tok_depth"].flatten(1)[tuple(output.index["tok_depth"].T)], batch["tok_depth"].flatten())
    model.config.modality_loss = "token"
    weighted = model(pick(batch, "rgb"), None, pick(batch, "tok_depth", "caption")).loss
    model.config.modality_loss = "modality"
    assert torch.allclose(weighted, (32 * output.losses["tok_depth"] + 8 * output.losses["caption"]) / 40)


@torch.no_grad()
def test_what_is_not_seen_changes_nothing(model, batch):
    seen = torch.zeros(2, 16, dtype=torch.bool)
    seen[0, [3, 7]] = True
    seen[1, [0, 1, 2, 9, 11]] = True
    asked = torch.zeros(2, 16, dtype=torch.bool)
    asked[:, 12:] = True
    positions = {"rgb": seen}, {"tok_depth": asked}
    first = model(pick(batch, "rgb"), positions[0], pick(batch, "tok_depth"), positions[1])
    assert first.encoder_last_hidden_state.shape == (2, 5, 32)
    assert first.logits["tok_depth"].shape == (8, 11)
    patches = seen.view(2, 1, 4, 1, 4, 1).expand(2, 3, 4, 16, 4, 16).reshape(2, 3, 64, 64)
    other = {"rgb": torch.where(patches, batch["rgb"], 5.0)}
    again = model(other, positions[0], pick(batch, "tok_depth"), positions[1])
    assert torch.allclose(first.logits["tok_depth"], again.logits["tok_depth"], atol=1e-6)
    alone = model({"rgb": batch["rgb"][:1]}, {"rgb": seen[:1]}, {"tok_depth": batch["tok_depth"][:1]}, None)
    wanted = alone.logits["tok_depth"]
    whole = model(pick(batch, "rgb"), {"rgb": seen}, pick(batch, "tok_depth")).logits["tok_depth"][:16]
    assert torch.allclose(whole, wanted, atol=1e-5)  # nothing depends on the rest of the batch
    assert not torch.allclose(whole[12:], first.logits["tok_depth"][:4], atol=1e-4)  # targets of a map see each other


@torch.no_grad()
def test_the_targets_of_one_modality_do_not_see_those_of_another(model, batch):
    inputs = pick(batch, "rgb")
    alone = model(inputs, None, pick(batch, "tok_normal")).logits["tok_normal"]
    beside = model(inputs, None, pick(batch, "caption", "tok_normal", "tok_depth"))
    assert torch.allclose(alone, beside.logits["tok_normal"], atol=1e-5)
    changed = pick(batch, "caption", "tok_normal", "tok_depth") | {"caption": (batch["caption"] + 1) % 13}
    again = model(inputs, None, changed)
    assert torch.allclose(again.logits["tok_normal"], alone, atol=1e-5)
    assert torch.allclose(again.logits["tok_depth"], beside.logits["tok_depth"], atol=1e-5)
    assert not torch.allclose(again.logits["caption"][:5], beside.logits["caption"][:5], atol=1e-3)


@torch.no_grad()
def test_words_see_the_words_before_them_alone(model, batch):
    first = model(pick(batch, "rgb"), None, pick(batch, "caption")).logits["caption"][:5]
    other = batch["caption"].clone()
    other[0, 3] = (other[0, 3] + 1) % 13
    again = model(pick(batch, "rgb"), None, {"caption": other}).logits["caption"][:5]
    assert torch.allclose(first[:3], again[:3], atol=1e-5)
    assert not torch.allclose(first[3], again[3], atol=1e-3)


@torch.no_grad()
def test_known_words_are_counted_without_gaps(model, batch):
    """As in the original: padding between words moves nothing."""
    gaps = torch.full((2, 9), -100)
    gaps[:, [0, 1, 2, 5, 6, 8]] = batch["caption"]
    targets = pick(batch, "tok_depth")
    first = model(pick(batch, "caption"), None, targets).logits["tok_depth"]
    assert torch.allclose(model({"caption": gaps}, None, targets).logits["tok_depth"], first, atol=1e-5)


@torch.no_grad()
def test_an_input_of_nothing_is_an_input_of_zeros(model, batch):
    nothing = {"rgb": torch.zeros(2, 16, dtype=torch.bool)}
    output = model(pick(batch, "rgb"), nothing, pick(batch, "tok_depth"))
    assert output.logits["tok_depth"].isfinite().all()
    assert torch.equal(output.logits["tok_depth"][:16], output.logits["tok_depth"][16:])


def test_gradients_reach_all_that_took_part():
    model, draw = tiny().train(), torch.Generator().manual_seed(2)
    batch = {
        "rgb": torch.randn(2, 3, 64, 64, generator=draw),
        "tok_depth": torch.randint(0, 11, (2, 16), generator=draw),
        "tok_normal": torch.randint(0, 7, (2, 4), generator=draw),
        "caption": torch.randint(0, 13, (2, 6), generator=draw),
    }
    seen = torch.rand(2, 16, generator=draw) < 0.5
    half = torch.tensor([[True, True, False, False]]).expand(2, 4)
    output = model(
        batch,
        {"tok_depth": seen, "tok_normal": half},
        {name: batch[name] for name in ("tok_depth", "tok_normal", "caption")},
        {"tok_depth": ~seen, "tok_normal": ~half},
    )
    output.loss.backward()
    assert not [name for name, weights in model.named_parameters() if weights.grad is None]


@pytest.mark.parametrize(
    ("inputs", "positions", "targets", "cause"),
    [
        (["tok_depth"], None, ["tok_depth"], "32 tokens of tok_depth are both seen and asked for"),
        (["rgb"], None, ["rgb"], "rgb cannot be predicted"),
        ([], None, ["caption"], "no inputs"),
        (["rgb"], {"rgb": torch.ones(2, 9, dtype=torch.bool)}, ["caption"], r"positions of rgb are \(2, 9\)"),
    ],
)
def test_what_cannot_be_asked_is_refused(model, batch, inputs, positions, targets, cause):
    with pytest.raises(ValueError, match=cause):
        model(pick(batch, *inputs), positions, pick(batch, *targets))


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"depth": torch.zeros(1, 4, 4, dtype=torch.long)}, "no modality 'depth'; it has rgb, tok_depth"),
        ({"tok_depth": torch.full((1, 4, 4), 11)}, "id 11 and its vocabulary 11"),
        ({"tok_depth": torch.zeros(1, 5, 5, dtype=torch.long)}, r"give \(B, 4, 4\)"),
        ({"tok_depth": torch.zeros(1, 4, 4)}, "whole numbers"),
        ({"rgb": torch.zeros(1, 3, 32, 64)}, r"give \(B, 3, 64, 64\)"),
        ({"caption": torch.zeros(1, 13, dtype=torch.long)}, "more than 12 tokens"),
    ],
)
def test_inputs_that_do_not_fit_are_named(model, values, cause):
    with pytest.raises(ValueError, match=cause):
        model(values, None, {"tok_normal": torch.zeros(1, 2, 2, dtype=torch.long)})


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"modalities": [{"name": "a", "kind": "voxels"}]}, "kind 'voxels'"),
        ({"modalities": [{"name": "a", "kind": "map"}]}, "vocab_size None"),
        ({"modalities": [{"name": "a.b", "kind": "pixels"}]}, "without dots"),
        ({"modalities": [{"name": "a", "kind": "pixels"}]}, "no modality can be predicted"),
        ({"modalities": [{"name": "a", "kind": "map", "vocab_size": 3, "colour": 1}]}, "colour"),
        ({"image_size": 60}, "multiple of the patch"),
        ({"hidden_size": 38}, "hidden_size is 38"),
    ],
)
def test_configurations_that_cannot_be_are_refused(fields, cause):
    with pytest.raises((ValueError, StrictDataclassError), match=cause):
        FourMConfig(**fields)


@torch.no_grad()
def test_a_saved_model_comes_back(model, batch, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = FourMForAnyToAny.from_pretrained(tmp_path)
    asked = pick(batch, "tok_normal", "caption")
    for name, logits in model(pick(batch, "rgb", "tok_depth"), None, asked).logits.items():
        assert torch.equal(loaded(pick(batch, "rgb", "tok_depth"), None, asked).logits[name], logits)
    half = FourMForAnyToAny.from_pretrained(tmp_path, dtype=torch.bfloat16)
    pixels = {"rgb": batch["rgb"].bfloat16()}
    near, exact = half(pixels, None, asked).loss, model(pick(batch, "rgb"), None, asked).loss
    assert near.dtype == torch.float32
    assert torch.allclose(near, exact, rtol=0.05)
