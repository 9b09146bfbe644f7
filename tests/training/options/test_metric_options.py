"""Options of metric training: domains, sources, weights, and what is refused."""

from dataclasses import replace

import pytest
from sample_files import write_images

from semidepth.training.options.metric import (
    MetricOptions,
    parse_domain,
    parse_named_source,
)
from semidepth.training.recipes.metric.training import source_weights


def test_known_domains_have_the_papers_ranges():
    indoor, outdoor = parse_domain("indoor"), parse_domain("outdoor?weight=2")
    assert (indoor.min_depth_m, indoor.max_depth_m, indoor.brightness) == (1e-3, 10, 0.25)
    assert (outdoor.max_depth_m, outdoor.brightness, outdoor.weight) == (80, 0.1, 2)
    assert parse_domain("nyu").max_depth_m == 10
    assert parse_domain("kitti").max_depth_m == 80


def test_other_domains_are_described():
    face = parse_domain("face?min_depth_m=0.2&max_depth_m=1.5&n_bins=32&bin_centers_type=normed")
    assert face.head() == {
        "name": "face", "n_bins": 32, "min_depth_m": 0.2, "max_depth_m": 1.5, "bin_centers_type": "normed",
    }  # fmt: skip


def test_a_named_source_has_its_domain():
    source = parse_named_source("rooms=scenes:indoor?count=4", "train")
    assert (source.domain, source.count, source.location) == ("rooms", 4, "indoor")


def test_labels_without_metres_are_refused(tmp_path):
    write_images(tmp_path / "photos", range(1))
    with pytest.raises(ValueError, match="invariant=scale"):
        parse_named_source(f"rooms={tmp_path / 'photos'}?invariant=scale", "train")


def test_names_may_have_dots_and_dashes():
    assert parse_named_source("nyu-v2.1=scenes:indoor?count=4", "train").domain == "nyu-v2.1"


def test_what_a_checkpoints_head_is_need_not_be_said():
    heads = {"faces": parse_domain("faces?max_depth_m=2&n_bins=8").head()}
    assert parse_domain("faces?weight=3", heads) == replace(parse_domain("faces?max_depth_m=2&n_bins=8"), weight=3)
    with pytest.raises(ValueError, match=r"'faces\?n_bins=16' .* n_bins 8"):
        parse_domain("faces?n_bins=16", heads)


def test_heads_are_in_the_order_of_the_sources():
    arguments = MetricOptions(
        train=["b=scenes:outdoor?count=4", "a=scenes:indoor?count=4", "b=scenes:indoor?count=2"],
        domains=["a?max_depth_m=10", "b?max_depth_m=80&weight=3"],
    )
    assert [domain.name for domain in arguments.domain_list()] == ["b", "a"]
    # b is drawn three times as often as a, and its two sources in proportion to their sizes.
    assert source_weights(arguments.train_sources(), arguments.domain_list()) == [2.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"train": []}, "--train is empty"),
        ({"train": ["scenes:indoor"]}, "has no domain; write NAME=SOURCE"),
        ({"train": ["scenes:indoor?count=4"]}, "has no domain; write NAME=SOURCE"),
        ({"train": ["rooms=scenes:indoor"]}, "'rooms' .*max_depth_m"),
        ({"train": ["indoor=scenes:nowhere"]}, "unknown domain 'nowhere'"),
        (
            {"train": ["indoor=scenes:indoor?count=4"], "metric_head": "stock", "domains": ["indoor?max_depth_m=10.5"]},
            "--metric_head stock .* 10.5",
        ),
        ({"domains": ["indoor?n_bins=64.0"]}, "give a whole number"),
        ({"domains": ["indoor?max_depth_m=inf"]}, "to inf m"),
        ({"learning_rate": 0.5, "encoder_lr_factor": 100}, "--learning_rate 0.5 .*--encoder_lr_factor 100"),
        ({"domains": ["indoor?max_depth=9"]}, "unknown option 'max_depth'"),
        ({"domains": ["indoor?max_depth_m=far"]}, "give a number"),
        ({"domains": ["indoor?max_depth_m=0.0001"]}, "min_depth_m below max_depth_m"),
        ({"domains": ["indoor?weight=0"]}, "weight 0.0"),
        ({"domains": ["indoor", "indoor"]}, "twice"),
        ({"domains": ["faces?max_depth_m=1"]}, "'faces'.*--train"),
        ({"domains": ["indoor?bin_centers_type=hybrid"]}, "softplus or normed"),
        ({"validation": ["faces=scenes:indoor"]}, "'faces'.*--train"),
        ({"router_images": ["faces=scenes:indoor"]}, "--router_images .*'faces'.*--train"),
        ({"router_images": ["scenes:indoor"]}, "--router_images .*NAME=SOURCE"),
        (
            {"train": ["indoor=scenes:indoor"], "router_images": ["indoor=scenes:indoor"]},
            "--router_images .*one domain",
        ),
        ({"metric_head": "linear"}, "choose one of bins, stock"),
        ({"metric_head": "stock"}, "--metric_head stock .* indoor, outdoor"),
        ({"student": " "}, "--student is empty"),
        ({"encoder_lr_factor": 0}, "give a positive number"),
        ({"router_loss_weight": -1}, "give at least 0"),
        ({"rotation_deg": 90}, "from 0 to 45"),
        ({"batch_size": 0}, "give at least 1"),
    ],
)
def test_wrong_values_get_one_sentence(options, words):
    with pytest.raises(ValueError, match=words):
        MetricOptions(**options)
