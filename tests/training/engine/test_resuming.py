"""Checkpoints and options that another version wrote: what it did not have yet had its default."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from semidepth.common.console import NothingToDo
from semidepth.common.options import save_options
from semidepth.training.engine.resuming import check_resume, setting_of
from semidepth.training.options.metric import MetricOptions
from semidepth.training.options.student import StudentOptions
from semidepth.training.options.teacher import TeacherOptions
from semidepth.training.options.tokenizers import TokenizerOptions
from semidepth.training.recipes.own_teacher import TEACHER_SETTING, differing_options
from semidepth.training.recipes.student import train_on_all
from semidepth.training.recipes.teacher import train_teacher


@pytest.fixture
def options(tmp_path):
    return MetricOptions(output_dir=str(tmp_path / "run"), train=("indoor=scenes:indoor",))


def checkpoint(options, **changes):
    """The newest checkpoint of a run, whose record lacks the options that are changed to None."""
    setting = {name: value for name, value in (setting_of(options) | changes).items() if value is not None}
    folder = Path(options.output_dir) / "checkpoint-00000003"
    folder.mkdir(parents=True)
    (folder / "trainer.json").write_text(json.dumps({"files": {}, "step": 3, "setting": setting}))
    return folder


def test_an_option_that_a_checkpoint_does_not_know_had_its_default(options):
    newest = checkpoint(options, freeze_core=None)
    assert check_resume(options, 5) == newest
    with pytest.raises(ValueError, match=r"freeze_core=False, not freeze_core=True; .*--output_dir") as refused:
        check_resume(replace(options, freeze_core=True), 5)
    assert "\n" not in str(refused.value)


def test_an_option_that_is_gone_does_not_stop_a_run(options):
    newest = checkpoint(options, momentum=0.9)
    assert check_resume(options, 5) == newest


@pytest.mark.parametrize("command", [TeacherOptions, StudentOptions, MetricOptions])
def test_a_finished_run_says_where_its_result_is_and_can_be_trained_further(command, tmp_path):
    options = command(output_dir=str(tmp_path / "run"))
    newest = checkpoint(options)
    assert check_resume(options, 3) == newest  # stopped between its last checkpoint and its results
    (newest.parent / "results.json").write_text("{}")
    assert check_resume(options, 3) == newest  # its model was deleted
    (newest.parent / "model.safetensors").touch()
    with pytest.raises(NothingToDo, match=r"finished .*run/results.json.*--steps.*--output_dir") as told:
        check_resume(options, 3)
    assert "\n" not in str(told.value)
    assert check_resume(options, 4) == newest
    with pytest.raises(ValueError, match=r"3 steps .* has 2.*--steps"):
        check_resume(options, 2)


def test_tokenizers_which_have_a_folder_each_are_finished_too_and_have_their_setting(tmp_path):
    options = TokenizerOptions(output_dir=str(tmp_path / "run"), images=8, batch_size=8)
    newest = checkpoint(options)
    (newest.parent / "results.json").write_text("{}")
    for name in (newest.name, "best", "model.unfinished"):
        (newest.parent / name).mkdir(exist_ok=True)
        (newest.parent / name / "model.safetensors").touch()
    assert check_resume(options, 3) == newest  # none of these is the result
    for name, value in (("levels", (5, 5, 5, 8, 8)), ("images", 16), ("pictures_seed", 1), ("modalities", ("depth",))):
        with pytest.raises(ValueError, match=f"{name}="):
            check_resume(replace(options, **{name: value}), 5)
    (newest.parent / "depth").mkdir()
    (newest.parent / "depth" / "model.safetensors").touch()
    with pytest.raises(NothingToDo, match="finished"):
        check_resume(options, 3)


def test_what_is_not_known_yet_is_not_compared_and_all_else_is(options):
    newest = checkpoint(options, train=["outdoor=scenes:outdoor"])
    (newest.parent / "results.json").write_text("{}")
    assert check_resume(options, None, unknown=("train",)) == newest  # how many steps it has is not known, either
    with pytest.raises(ValueError, match="train="):
        check_resume(options, None)
    with pytest.raises(ValueError, match="seed="):
        check_resume(replace(options, seed=1), None, unknown=("train",))


@pytest.mark.parametrize(("command", "train"), [(TeacherOptions, train_teacher), (StudentOptions, train_on_all)])
def test_a_run_that_is_refused_pre_trains_no_encoder_first(command, train, tmp_path):
    options = command(output_dir=str(tmp_path / "run"), encoder_dir=str(tmp_path / "encoder"), steps=5, cpu=True)
    checkpoint(options, seed=1)
    with pytest.raises(ValueError, match="seed=1, not seed=0"):
        train(options)
    assert not (tmp_path / "encoder").exists()


def test_other_values_are_refused(options):
    checkpoint(options, train=["outdoor=scenes:outdoor"])
    with pytest.raises(ValueError, match="train="):
        check_resume(options, 5)


def test_a_relative_run_goes_on_with_the_losses_and_the_held_out_part_of_its_checkpoint(tmp_path):
    options = TeacherOptions(output_dir=str(tmp_path / "run"), labeled=("scenes:indoor",))
    checkpoint(options)
    with pytest.raises(ValueError, match=r"losses=1 x affine, 2 x gradient .*, not losses=1 x affine; .*--output_dir"):
        check_resume(replace(options, losses="v1"), 5)
    earlier = replace(options, output_dir=str(tmp_path / "earlier"), labeled=("org/frames",), validation=("none",))
    newest = checkpoint(earlier, losses=None, held_out=None)  # as before there were presets and held-out parts
    assert check_resume(replace(earlier, losses="v1"), 5) == newest
    with pytest.raises(ValueError, match=r"held_out=None, not held_out=a part of the labeled .*--validation none"):
        check_resume(replace(earlier, validation=()), 5)


def test_a_teacher_of_another_version_is_used_where_its_options_are_the_same(tmp_path):
    wanted = TeacherOptions(labeled=("scenes:indoor?count=4",), steps=3)
    saved = tmp_path / "teacher.yaml"
    assert differing_options(saved, wanted, TEACHER_SETTING) == list(TEACHER_SETTING)  # nothing is known of it
    save_options(wanted, saved)
    values = yaml.safe_load(saved.read_text())
    del values["seed"], values["start"]
    saved.write_text(yaml.safe_dump(values | {"momentum": 0.9}))
    assert differing_options(saved, wanted, TEACHER_SETTING) == []
    assert differing_options(saved, replace(wanted, seed=1, steps=4), TEACHER_SETTING) == ["steps", "seed"]
    for name, value in (("losses", "v1"), ("gradient_matching_weight", 1.0)):
        assert differing_options(saved, replace(wanted, **{name: value}), TEACHER_SETTING) == [name]
