"""Warnings before a run that would work, and most likely not as it is meant."""

import pytest
from sample_files import write_images

from semidepth.data.source_spec import parse_source
from semidepth.training.engine.preflight import odd_options
from semidepth.training.options.student import StudentOptions
from semidepth.training.options.teacher import TeacherOptions

SCENES = (parse_source("scenes:indoor?count=4"),)


def odd(options, validation=SCENES, world=1):
    return " ".join(odd_options(options, validation, world=world))


def test_the_defaults_are_not_odd():
    assert odd(TeacherOptions()) == odd(StudentOptions()) == ""
    assert odd(TeacherOptions(start="m")) == ""
    assert odd(StudentOptions(start="m", teacher="t", unlabeled=["scenes:indoor"])) == ""


@pytest.mark.parametrize("rates", [{"learning_rate": 3e-4}, {"learning_rate": 5e-6, "decoder_lr_factor": 200}])
def test_a_rate_too_high_for_a_warm_start(rates):
    assert "high for a warm start" in odd(TeacherOptions(start="m", **rates))
    assert odd(TeacherOptions(**rates)) == ""  # a fresh decoder may need it


def test_a_batch_of_one():
    assert "batch of one" in odd(TeacherOptions(batch_size=1))
    assert odd(TeacherOptions(batch_size=1), world=2) == ""
    assert odd(TeacherOptions(batch_size=1, gradient_accumulation_steps=2)) == ""
    label_free = {"teacher": "t", "unlabeled": ["scenes:indoor"], "gradient_accumulation_steps": 4, "batch_size": 1}
    assert "CutMix" in odd(StudentOptions(**label_free))
    assert odd(StudentOptions(**label_free, cutmix_probability=0.0)) == ""
    assert odd(StudentOptions(batch_size=1, gradient_accumulation_steps=4)) == ""  # two unlabeled to one labeled


def test_missing_validation_unless_it_is_turned_off():
    assert "no validation" in odd(TeacherOptions(), validation=())
    assert odd(TeacherOptions(validation=("none",)), validation=()) == ""


def test_photos_on_the_built_in_encoder(tmp_path):
    photos = str(write_images(tmp_path / "photos", range(2)))
    assert "only seen rendered scenes" in odd(StudentOptions(teacher="t", unlabeled=[photos]))
    assert odd(StudentOptions(teacher="t", unlabeled=[photos], encoder="facebook/dinov2-small")) == ""
