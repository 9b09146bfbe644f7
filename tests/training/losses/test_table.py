"""The table of losses: which label gets which, presets, and what every loss in it has to keep to."""

import math
import re
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from semidepth.training.losses import table
from semidepth.training.losses.table import TERMS, losses_of, parse_losses, weighted_sum

NAN = math.nan
SIDE = 48  # windows of 3 x 3 in 16 parts are too small; what is tested of local_64 is that it says 0


def maps(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions, and targets with unknown pixels and a corner of sky."""
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.rand(4, SIDE, SIDE, generator=generator) + 0.1
    target = prediction + 0.5 * torch.rand(4, SIDE, SIDE, generator=generator)
    target[torch.rand(4, SIDE, SIDE, generator=generator) < 0.1] = NAN
    target[:, :6, :9] = 0.0
    return prediction, target


DOCS = (Path(__file__).parents[3] / "docs" / "training.md").read_text()


@pytest.mark.parametrize("text", [table.__doc__ or "", DOCS], ids=["docstring", "docs"])
def test_the_rows_that_are_shown_are_those_of_the_code(text):
    rows = re.findall(r"^\| `(\w+)` +\|(.*)\|(.*)\|(.*)\|(.*)\| (\d) +\|", text, re.MULTILINE)
    assert [row[0] for row in rows] == list(TERMS)
    for name, *marks, weight in rows:
        types = zip(("synthetic", "dense", "pseudo", "sparse"), marks, strict=True)
        assert TERMS[name].labels == {kind for kind, mark in types if mark.strip()}, name
        assert TERMS[name].weight == float(weight), name


@pytest.mark.parametrize(
    ("text", "gradient", "expected"),
    [
        ("v1", None, {"affine": 1}),
        ("v2", None, {"affine": 1, "gradient": 2}),
        ("v2", 0.0, {"affine": 1}),
        ("v2", 0.5, {"affine": 1, "gradient": 0.5}),
        ("v1", 0.5, {"affine": 1, "gradient": 0.5}),
        ("local", None, {"affine": 1, "gradient": 2, "local_4": 1, "local_16": 1, "local_64": 1}),
        ("v2+sky+edge", None, {"affine": 1, "gradient": 2, "edge": 1, "sky": 1}),
    ],
)
def test_presets_give_weights_in_the_tables_order(text, gradient, expected):
    found = parse_losses(text, gradient)
    assert found == expected
    assert list(found) == [name for name in TERMS if name in expected]


def test_the_full_preset_is_the_whole_table():
    assert list(parse_losses("full")) == list(TERMS)


@pytest.mark.parametrize(
    ("text", "cause"),
    [("v3", "preset 'v3'"), ("v2+blur", "term 'blur'"), ("v2+gradient", "on already"), ("", "preset")],
)
def test_what_is_not_in_the_table_is_refused(text, cause):
    with pytest.raises(ValueError, match=cause):
        parse_losses(text)


def test_each_label_gets_its_own_losses_whatever_stands_beside_it():
    """A batch of all types is the mean of what each image would give alone."""
    prediction, target = maps()
    labels = ["synthetic", "dense", "pseudo", "sparse"]
    together = losses_of(prediction, target, labels, TERMS)
    assert list(together) == list(TERMS)
    alone = [losses_of(prediction[i : i + 1], target[i : i + 1], [labels[i]], TERMS) for i in range(4)]
    for name, loss in together.items():
        expected = torch.stack([each[name] for each in alone]).mean()
        torch.testing.assert_close(loss, expected, msg=name)
        has_one = [label in TERMS[name].labels and name != "local_64" for label in labels]
        assert [bool(each[name] > 0) for each in alone] == [mark and name != "local_16" for mark in has_one], name


def test_sky_is_in_the_other_losses_only_where_it_is_no_class():
    prediction, target = maps(1)
    unknown = torch.where(target == 0, NAN, target)
    as_class = losses_of(prediction, target, ["dense"] * 4, parse_losses("v2+sky"))
    for name in ("affine", "gradient"):
        torch.testing.assert_close(as_class[name], TERMS[name].loss(prediction, unknown))
        assert as_class[name] != TERMS[name].loss(prediction, target)
    # A model's 0 is no sky; nor is anything without that term.
    for labels, losses in ((["pseudo"] * 4, "v2+sky"), (["dense"] * 4, "v2")):
        found = losses_of(prediction, target, labels, parse_losses(losses))
        torch.testing.assert_close(found["affine"], TERMS["affine"].loss(prediction, target))
        assert found.get("sky", 0) == 0


def test_the_weighted_sum_and_its_parts():
    losses = {"affine": torch.tensor(0.5), "gradient": torch.tensor(0.25), "edge": torch.tensor(2.0)}
    found = weighted_sum("labeled", losses, {"affine": 1.0, "gradient": 2.0, "edge": 0.1})
    assert list(found) == ["labeled", "labeled_gradient", "labeled_edge"]
    assert found["labeled"].item() == pytest.approx(0.5 + 0.5 + 0.2)
    assert list(weighted_sum("labeled", {"affine": torch.tensor(0.5)}, {"affine": 1.0})) == ["labeled"]


each = pytest.mark.parametrize("name", TERMS)
HARD = {
    "constant prediction": lambda p, t: (torch.full_like(p, 0.7), t),
    "constant target": lambda p, t: (p, torch.where(t.isnan(), t, 0.4)),
    "only sky": lambda p, t: (p, torch.where(t.isnan(), t, 0.0)),
    "all unknown": lambda p, t: (p, torch.full_like(t, NAN)),
    "one pixel": lambda p, t: (p, torch.full_like(t, NAN).index_fill(1, torch.tensor([3]), 1.0)),
    "tiny": lambda p, t: (1e-6 * p, 1e-6 * t),
    "huge": lambda p, t: (1e6 * p, 1e6 * t),
    "NaN where unknown": lambda p, t: (torch.where(t.isnan(), NAN, p), t),
    "equal": lambda p, t: (torch.where(t.isnan(), p, t), t),
}


@each
@pytest.mark.parametrize("case", HARD)
def test_hard_inputs_stay_finite(name, case):
    prediction, target = HARD[case](*maps(2))
    prediction.requires_grad_()
    loss = TERMS[name].loss(prediction, target)
    loss.backward()
    assert loss.isfinite()
    assert loss >= 0
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()
    assert prediction.grad[target.isnan()].abs().sum() == 0
    if case == "all unknown":
        assert loss == 0
    if case == "equal":
        assert loss < 1e-6


@each
@pytest.mark.parametrize(("scale", "shift"), [(5.0, -2.0), (1e-4, 0.0), (1e3, 10.0)])
def test_affine_changes_of_the_prediction_change_nothing(name, scale, shift):
    prediction, target = maps(3)
    expected = TERMS[name].loss(prediction, target)
    torch.testing.assert_close(TERMS[name].loss(scale * prediction + shift, target), expected, rtol=1e-3, atol=1e-6)


@each
def test_float32_under_autocast_and_from_half_precision(name):
    prediction, target = maps(4)
    plain = TERMS[name].loss(prediction, target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(TERMS[name].loss(prediction, target), plain, rtol=0, atol=0)
    half = TERMS[name].loss(prediction.bfloat16(), target)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, plain, rtol=5e-2, atol=1e-6)


def test_nothing_waits_for_the_device():
    with FakeTensorMode():
        prediction = torch.rand(3, SIDE, SIDE, requires_grad=True)
        losses = losses_of(prediction, torch.rand(3, SIDE, SIDE), ["synthetic", "sparse", "pseudo"], TERMS)
        weighted_sum("labeled", losses, parse_losses("full"))["labeled"].backward()


@each
def test_wrong_arguments_are_refused(name):
    prediction, target = maps(5)
    with pytest.raises(ValueError, match="one shape"):
        TERMS[name].loss(prediction, target[:, 1:])
    with pytest.raises(ValueError, match="bool"):
        TERMS[name].loss(prediction, target, torch.ones_like(target))
