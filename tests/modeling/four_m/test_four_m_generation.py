"""4M makes modalities of others: deterministic, consistent with `forward`, and true to what is known."""

import pytest
import torch

from semidepth.modeling import FourMForAnyToAny, ModalityTokenizer, ModalityTokenizerConfig
from semidepth.modeling.four_m.four_m_sampling import Sampling, nucleus

SIZES = {"hidden_size": 32, "encoder_layers": 2, "decoder_layers": 2, "num_attention_heads": 2, "image_size": 64}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    own = {"image_size": 32, "patch_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "levels": [4, 4]}
    tokenizers = {
        "tok_depth": ModalityTokenizer(ModalityTokenizerConfig(modality="depth", **own)),
        "tok_semantic": ModalityTokenizer(
            ModalityTokenizerConfig(modality="semantic", classes=["wall", "floor", "cup"], **own)
        ),
    }
    words = {"vocab_size": 13, "max_tokens": 9, "start_id": 3, "end_id": 2}
    modalities = [
        {"name": "rgb", "kind": "pixels"},
        {"name": "tok_depth"},
        {"name": "tok_semantic"},
        {"name": "caption", "kind": "sequence", **words},
    ]
    made = FourMForAnyToAny.from_tokenizers(modalities, tokenizers, **SIZES).eval()
    with torch.no_grad():
        for name, weights in made.named_parameters():
            if not name.startswith("tokenizers") and ("emb" in name or "mask_token" in name or "to_logits" in name):
                weights.normal_(std=0.3)
            elif name.endswith("proj.weight"):
                weights.mul_(2)
    return made


def given():
    return {"rgb": torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))}


def depth_map():
    draw = torch.Generator().manual_seed(2)
    return 1 + 9 * torch.rand(2, 32, 32, generator=draw)


DEPTH = torch.arange(32).view(2, 4, 4) // 3  # tokens
ALL = ["tok_depth", "tok_semantic", "caption"]


@torch.no_grad()
def test_one_hard_step_is_the_likeliest_token_of_forward(model):
    made = model.generate(given(), ["tok_depth"], soft=False)["tok_depth"]
    logits = model(given(), None, {"tok_depth": torch.zeros(2, 4, 4, dtype=torch.long)}).logits["tok_depth"]
    assert torch.equal(made.ids.flatten(), logits.argmax(-1))
    assert torch.equal(made.values, model.tokenizers["tok_depth"].decode(made.ids))
    soft = model.generate(given(), ["tok_depth"])["tok_depth"]
    assert torch.allclose(soft.probabilities.flatten(0, 2), logits.softmax(-1), atol=1e-6)
    assert torch.equal(soft.values, model.tokenizers["tok_depth"].decode_soft(soft.probabilities))
    assert torch.equal(soft.ids, model.tokenizers["tok_depth"].encode(soft.values))


@torch.no_grad()
def test_soft_decoding_of_one_token_is_hard_decoding(model):
    ids = torch.arange(16).view(1, 4, 4)
    for tokenizer in model.tokenizers.values():
        soft = tokenizer.decode_soft(torch.nn.functional.one_hot(ids, 16).float())
        assert torch.allclose(soft.float(), tokenizer.decode(ids).float(), atol=1e-5)


@pytest.mark.parametrize("order", ["confidence", "random"])
@pytest.mark.parametrize("steps", [1, 3])
def test_one_generator_gives_one_answer(model, order, steps):
    options = {"steps": steps, "order": order, "temperature": 1.0, "top_p": 0.9, "soft": False, "guidance": 1.5}

    def ids(seed):
        made = model.generate(given(), ALL, generator=torch.Generator().manual_seed(seed), **options)
        return {name: each.ids for name, each in made.items()}

    first, again, other = ids(5), ids(5), ids(6)
    assert list(first) == ALL
    assert all(torch.equal(first[name], again[name]) for name in ALL)
    assert not torch.equal(first["tok_depth"], other["tok_depth"])
    assert first["tok_depth"].min() >= 0
    assert first["tok_semantic"].shape == (2, 4, 4)


@torch.no_grad()
def test_later_steps_see_earlier_ones(model):
    """Worked out by hand: of two linear steps, the second predicts the less certain half from the first."""
    name, zeros = "tok_semantic", torch.zeros(2, 16, dtype=torch.long)
    options = {"steps": 2, "schedule": "linear", "soft": False}
    made = model.generate(given() | {"tok_depth": DEPTH}, [name], **options)[name].ids.flatten(1)
    logits = model(given() | {"tok_depth": DEPTH}, None, {name: zeros}).logits[name].view(2, 16, -1)
    sure, ids = logits.softmax(-1).max(-1)
    first = torch.zeros(2, 16, dtype=torch.bool).scatter(1, sure.topk(8).indices, True)
    assert len(made.unique()) > 1
    assert torch.equal(made[first], ids[first])
    own = given() | {"tok_depth": DEPTH, name: ids}
    seconds = model(own, {name: first}, {name: zeros}, {name: ~first}).logits[name]
    assert torch.equal(made[~first], seconds.argmax(-1))


@torch.no_grad()
def test_words_follow_forward_one_by_one(model):
    """Cached keys and values change nothing."""
    caption = model.generate(given(), ["caption"])["caption"].ids
    row = torch.cat([torch.full((2, 1), 3), caption], 1)
    output = model(given(), None, {"caption": row})
    samples, positions = output.index["caption"].T
    assert torch.equal(output.logits["caption"].argmax(-1), row[samples, positions])
    for words in caption:
        ends = (words == 2).nonzero().flatten()
        assert len(ends) <= 1
        assert (words[ends[0] + 1 :] == -100).all() if len(ends) else len(words) == 8


@torch.no_grad()
def test_a_chain_gives_what_was_made_to_what_is_made_next(model):
    chained = model.generate(given(), ["tok_depth", "tok_semantic"])
    by_hand = model.generate(given() | {"tok_depth": chained["tok_depth"].ids}, ["tok_semantic"])["tok_semantic"]
    assert torch.equal(chained["tok_semantic"].probabilities, by_hand.probabilities)
    alone = model.generate(given(), ["tok_semantic"])["tok_semantic"]
    apart = model.generate(given(), ["tok_depth", "tok_semantic"], chain=False)["tok_semantic"]
    assert torch.equal(apart.probabilities, alone.probabilities)
    assert not torch.allclose(alone.probabilities, by_hand.probabilities, atol=1e-3)


@torch.no_grad()
def test_guidance_moves_away_from_what_is_said_without_anything(model):
    zeros = torch.zeros(2, 4, 4, dtype=torch.long)
    targets = {"tok_depth": zeros}
    none = {"rgb": torch.zeros(2, 16, dtype=torch.bool)}
    with_rgb = model(given(), None, targets).logits["tok_depth"]
    without = model(given(), none, targets).logits["tok_depth"]
    made = model.generate(given(), ["tok_depth"], guidance=2.0)["tok_depth"]
    assert torch.allclose(made.probabilities.flatten(0, 2), (2 * with_rgb - without).softmax(-1), atol=1e-5)


@torch.no_grad()
def test_known_patches_stay_and_holes_are_filled(model):
    known = depth_map()
    known[:, :16, 8:] = torch.nan
    known[:, 3, 9] = 5.0  # one known pixel makes a patch known
    inputs = model.tokenize(given() | {"tok_depth": known})
    holes = inputs["tok_depth"] < 0
    assert holes[0].tolist() == [[False, False, True, True], [False, True, True, True], [False] * 4, [False] * 4]
    for options in ({}, {"steps": 2}, {"steps": 2, "order": "random"}):
        made = model.complete(inputs, **options)["tok_depth"]
        assert torch.equal(made.ids[~holes], inputs["tok_depth"][~holes])
        assert (made.ids >= 0).all()
    filled = inputs["tok_depth"].masked_fill(holes, 0)
    named = model.complete(given() | {"tok_depth": filled}, {"tok_depth": holes})["tok_depth"]
    assert torch.equal(named.values, model.complete(inputs)["tok_depth"].values)
    assert named.probabilities.sum(-1).allclose(torch.ones(2, 4, 4))
    with pytest.raises(ValueError, match="no map can be completed"):
        model.complete(given())


def test_top_p_keeps_the_likeliest():
    found = nucleus(torch.tensor([[0.5, 0.1, 0.3, 0.1]]), 0.7)
    assert torch.allclose(found, torch.tensor([[0.625, 0.0, 0.375, 0.0]]))


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"schedule": "fast"}, "schedule is 'fast'"),
        ({"order": "left"}, "order is 'left'"),
        ({"temperature": -1}, "temperature is -1"),
        ({"top_p": 2}, "top_p 2"),
        ({"steps": {"tok_depth": 0}}, "at least 1"),
    ],
)
def test_options_out_of_range_are_refused(options, cause):
    with pytest.raises(ValueError, match=cause):
        Sampling(**({"steps": {}} | options))


def test_what_cannot_be_made_is_named(model):
    with pytest.raises(ValueError, match="rgb cannot be predicted"):
        model.generate(given(), ["rgb"])
