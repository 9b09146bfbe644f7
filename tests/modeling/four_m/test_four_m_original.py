"""Published 4M models compute here what apple/ml-4m's code does.

The expected numbers were printed by that code (commit cda590f) with the weights and batches of `four_m_recipe`, for
each target its loss and of its logits the first, a middle one, the last, the mean of their sizes and their deviation.
"""

import json
import logging

import pytest
import torch
from four_m_recipe import CONFIGS, batch, fill
from safetensors.torch import save_file

from semidepth.modeling import FourMForAnyToAny
from semidepth.modeling.four_m.four_m_original import config_of_fourm

EXPECTED = {
    "4M-7": {
        "tok_depth@224": [9.973726, -0.661638, -0.268504, 0.773082, 1.376496, 1.540433],
        "caption": [11.486078, -0.509956, -2.191147, -0.930702, 1.403146, 1.573277],
        "tok_normal@224": [10.269890, 3.504917, 3.242012, -1.575366, 1.792684, 1.849374],
    },
    "4M-21": {
        "tok_dinov2@224": [9.933404, -2.109507, -1.779654, 1.849519, 1.355267, 1.506961],
        "tok_dinov2_global": [10.068955, 2.525754, 1.667104, -0.452329, 1.367391, 1.713092],
    },
    "biases": {
        "tok_depth@224": [10.223600, -0.466617, -0.308823, 0.972384, 1.589661, 1.769478],
        "caption": [12.028276, -0.881615, -2.268441, -0.978368, 1.828044, 2.065916],
    },
}


def original_shapes(model):
    """Shapes of the weights that apple/ml-4m's own model has: as ours, and embeddings of a decoder's maps."""
    shapes = {name: tuple(weights.shape) for name, weights in model.state_dict().items()}
    for each in model.config.modality_list:
        if each.predicted:
            shapes[f"decoder_embeddings.{each.name}.token_emb.weight"] = (each.vocab_size, model.config.hidden_size)
    return shapes


def published(which, folder):
    """A folder as the Hub has them: modality embeddings once, sines and biases of zeros among the weights."""
    shapes = original_shapes(FourMForAnyToAny(config_of_fourm(CONFIGS[which])))
    weights = fill({name: shape for name, shape in shapes.items() if not (_is_shared(name, shapes))})
    if which != "4M-21":
        weights["decoder_embeddings.tok_depth@224.pos_emb"] = torch.zeros(1, 196, 32)
    if which != "biases":
        weights |= {"encoder_norm.bias": torch.zeros(32), "decoder.1.query_norm.bias": torch.zeros(32)}
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIGS[which]))


def _is_shared(name, shapes):
    return name.endswith("mod_emb") and name.startswith("decoder") and name.replace("decoder", "encoder") in shapes


@torch.no_grad()
@pytest.mark.parametrize("which", CONFIGS)
def test_logits_are_those_of_the_original_code(which, tmp_path):
    published(which, tmp_path)
    model = FourMForAnyToAny.from_fourm(str(tmp_path))
    output = model(*batch(which))
    assert output.logits.keys() == EXPECTED[which].keys()
    for name, logits in output.logits.items():
        found = [output.losses[name], logits[0, 0], logits[len(logits) // 2, 7], logits[-1, -1]]
        found += [logits.abs().mean(), logits.std()]
        assert torch.stack(found).tolist() == pytest.approx(EXPECTED[which][name], abs=1e-5)
    assert output.loss.item() == pytest.approx(sum(row[0] for row in EXPECTED[which].values()) / len(output.losses))


def test_loading_says_that_the_weights_are_not_for_commerce(tmp_path, caplog):
    published("4M-7", tmp_path)
    logging.getLogger("transformers").propagate = True
    try:
        FourMForAnyToAny.from_fourm(str(tmp_path))
    finally:
        logging.getLogger("transformers").propagate = False
    assert "non-commercial" in caplog.text


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"domains_in": ["voxels"]}, "the domain 'voxels'"),
        ({"act_layer": "ReLU"}, "act_layer ReLU"),
        ({"dim": None}, "has no dim"),
    ],
)
def test_other_configurations_are_refused(fields, cause):
    config = {name: value for name, value in (CONFIGS["4M-7"] | fields).items() if value is not None}
    with pytest.raises(ValueError, match=cause):
        config_of_fourm(config)
