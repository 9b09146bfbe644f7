"""Parameter groups and averaging."""

import tiny
import torch

from semidepth.modeling import DepthStudentForDepthEstimation
from semidepth.training.engine.optimization import average_weights, choose_attention, learning_rates, parameter_groups


def test_every_trainable_parameter_is_in_one_group_with_its_rate():
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    model = DepthStudentForDepthEstimation(config)
    groups = parameter_groups(model, {"encoder": ("backbone.", 1e-4), "decoder": ("", 1e-3)}, weight_decay=0.1)
    names = {parameter: name for name, parameter in model.named_parameters() if parameter.requires_grad}
    grouped = [parameter for group in groups for parameter in group["params"]]
    assert len(grouped) == len(names) == len(set(grouped))
    for group in groups:
        for parameter in group["params"]:
            assert group["lr"] == (1e-4 if names[parameter].startswith("backbone.") else 1e-3)
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0)
    rates = learning_rates(torch.optim.AdamW(groups))
    assert rates == {"learning_rate/encoder": 1e-4, "learning_rate/decoder": 1e-3}


def test_attention_is_chosen_for_where_the_model_will_run():
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    for device, tokens, expected in (("cuda", 36, "sdpa"), ("cpu", 1369, "sdpa"), ("cpu", 36, "eager")):
        backbone = DepthStudentForDepthEstimation(config).backbone
        pixels, before = tiny.pixels(), backbone(tiny.pixels()).feature_maps[-1]
        choose_attention(backbone, tokens, torch.device(device))
        assert backbone.config._attn_implementation == expected
        assert torch.allclose(backbone(pixels).feature_maps[-1], before, atol=1e-5)


def test_the_average_follows_the_formula():
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 1.0)
    average = average_weights(model, 0.9)
    average.update_parameters(model)  # the first update copies
    for value in (2.0, 3.0):
        torch.nn.init.constant_(model.weight, value)
        average.update_parameters(model)
    assert abs(average.module.weight.item() - (0.9 * (0.9 * 1 + 0.1 * 2) + 0.1 * 3)) < 1e-6
