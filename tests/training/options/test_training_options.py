"""Options: precedence of defaults, preset, YAML and command line, and one sentence for everything that is wrong."""

import dataclasses

import numpy as np
import pytest
import yaml
from sample_files import write_images, write_parquet

from semidepth.common.options import load_options, parse_options, save_options
from semidepth.data.streaming.plan import StreamPlan
from semidepth.data.streaming.stream import SampleStream
from semidepth.training import metric, pseudo_label, student, teacher
from semidepth.training.options.demo import DemoOptions
from semidepth.training.options.encoder import EncoderOptions
from semidepth.training.options.metric import MetricOptions
from semidepth.training.options.presets import scenes_preset
from semidepth.training.options.pseudo_label import PseudoLabelOptions
from semidepth.training.options.student import StudentOptions, pseudo_labeled_source
from semidepth.training.options.teacher import TeacherOptions

PRESET = scenes_preset("teacher_scenes", TeacherOptions)
COMMANDS = (TeacherOptions, StudentOptions, MetricOptions, PseudoLabelOptions, EncoderOptions, DemoOptions)


def test_command_line_wins_over_yaml_over_preset_over_defaults(tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("learning_rate: 1e-4\nsteps: 7\nlabeled: [scenes:indoor]\n")
    got = parse_options(TeacherOptions, ["--config", str(config), "--steps", "9"], preset=PRESET)
    assert (got.steps, got.learning_rate, got.labeled) == (9, 1e-4, ("scenes:indoor",))
    assert got.decoder_lr_factor == 5  # from the preset
    assert got.weight_decay == 0.01  # the default


def test_the_preset_is_for_the_built_in_encoder_only():
    got = parse_options(TeacherOptions, ["--encoder", "facebook/dinov2-small"], preset=PRESET)
    assert (got.learning_rate, got.decoder_lr_factor, got.mixed_precision) == (
        5e-6,
        10.0,
        "no",
    )  # the paper's


def test_epochs_are_not_overridden_by_the_presets_steps():
    got = parse_options(TeacherOptions, ["--epochs", "3"], preset=PRESET)
    assert (got.steps, got.epochs) == (None, 3.0)


def test_lists_of_numbers_are_read_from_yaml(tmp_path):
    path = tmp_path / "demo.yaml"
    path.write_text("seeds: [0, 1]\n")
    assert parse_options(DemoOptions, ["--config", str(path)]).seeds == (0, 1)


@pytest.mark.parametrize("cls", [TeacherOptions, StudentOptions])
def test_saved_options_read_back(tmp_path, cls):
    path = tmp_path / "run.yaml"
    data = {"unlabeled": ("scenes:outdoor",)} if cls is StudentOptions else {}
    arguments = cls(steps=3, labeled=("scenes:indoor?count=4",), **data)
    save_options(arguments, path)
    assert load_options(cls, path) == arguments
    assert parse_options(cls, ["--config", str(path)]) == arguments
    assert set(yaml.safe_load(path.read_text())) == {field.name for field in dataclasses.fields(cls)}


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--batch_size", "0"], "--batch_size is 0; give at least 1"),
        (["--learning_rate", "-1"], "--learning_rate is -1.0; give a positive number"),
        (["--learning_rate", "nan"], "--learning_rate is nan"),
        (["--learning_rate", "1"], "training would diverge"),
        (["--mixed_precision", "fp8"], "choose one of auto, no, bf16, fp16"),
        (["--tracker", "wandb"], "choose one of none, tensorboard, trackio"),
        (["--labeled", "scenes:moon"], "scenes:moon"),
        (["--labeled", "/no/such/folder"], "/no/such/folder"),
        (["--ema_decay", "1"], "--ema_decay is 1.0"),
        (["--steps", "0"], "--steps is 0"),
        (["--config", "/no/such.yaml"], "/no/such.yaml is not a file"),
        (["--steps", "many"], "--steps is 'many'"),
        (["--conf", "x.yaml"], "unrecognized arguments"),
        (["--weight_decay", "inf"], "must be finite"),
        (["--output_dir", __file__], "is a file; give a folder"),
    ],
)
def test_wrong_values_get_one_sentence(refused, argv, words):
    assert words in refused(teacher.main, *argv)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--unlabeled", "nowhere.parquet"], "nowhere.parquet"),
        (["--teacher_kind", "height"], "choose one of auto, disparity, depth"),
        (["--feature_tolerance", "0"], "--feature_tolerance is 0.0"),
        (["--cutmix_probability", "2"], "cutmix_probability is 2.0"),
        (["--drop_fraction", "1"], "--drop_fraction is 1.0"),
        (["--unlabeled_per_labeled", "0"], "--unlabeled_per_labeled is 0"),
        (["--labeled_rotation_deg", "90"], "--labeled_rotation_deg is 90"),
        (["--labeled_jitter_strength", "2"], "--labeled_jitter_strength is 2"),
    ],
)
def test_wrong_student_values_get_one_sentence(refused, argv, words):
    assert words in refused(student.main, *argv)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("learning_rates: 1\n", "unknown options learning_rates"),
        ("steps: many\n", "steps is 'many'; expected a whole number or none"),
        ("steps: true\n", "steps is True; expected a whole number or none"),
        ("learning_rate: fast\n", "learning_rate is 'fast'; expected a number"),
        ("- a\n- b\n", "holds a list"),
        ("a: [\n", "is not valid YAML"),
        ("labeled: [1, 2]\n", "labeled is [1, 2]; expected a list"),
    ],
)
def test_wrong_yaml_gets_one_sentence(refused, tmp_path, text, words):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    assert words in refused(teacher.main, "--config", path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--pseudo_labels", "photos", "--teacher", "t"], "are a teacher's labels already; leave out --teacher"),
        (["--pseudo_labels", "photos", "--select_reliable", "0.5"], "makes its own pseudo labels"),
        (["--select_reliable", "1"], "give a share below 1"),
        (["--select_reliable", "0.5", "--unlabeled", "scenes:indoor"], "needs unlabeled sources with an end"),
    ],
)
def test_pseudo_labels_and_selection_exclude_what_they_replace(options, words, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "photos", range(1))
    assert words in refused(student.main, *options)


def test_the_direction_of_pseudo_labels_is_known_as_written_or_refused(tmp_path):
    """Depth read as inverse depth would be learned upside down, and nothing would show it."""
    photos = write_images(tmp_path / "photos", range(2))
    for photo in list(photos.iterdir()):
        np.save(photo.with_name(f"{photo.stem}_depth.npy"), np.full((24, 32), 4.0, np.float32))
    with pytest.raises(ValueError, match="which way its maps run"):
        pseudo_labeled_source(str(photos))
    read = {
        kind: next(iter(SampleStream(StreamPlan((pseudo_labeled_source(f"{photos}?kind={kind}"),), labeled=True))))
        for kind in ("depth", "disparity")
    }
    assert {kind: sample["depth"].unique().tolist() for kind, sample in read.items()} == {
        "depth": [4.0], "disparity": [0.25],
    }  # fmt: skip
    options = StudentOptions(pseudo_labels=(f"{photos}?kind=depth",), output_dir=str(tmp_path / "run"))
    assert [source.kind for source in options.unlabeled_sources()] == ["depth"]


def test_a_set_of_our_own_is_known_to_hold_inverse_depth(tmp_path):
    file = write_parquet(tmp_path / "set/data/labels-00-00000-00000.parquet", range(2))
    data = str(file.parent / "*.parquet")
    with pytest.raises(ValueError, match="kind=disparity"):
        pseudo_labeled_source(data)
    (tmp_path / "set/pseudo_labels.json").write_text("{}")
    for spec in (str(tmp_path / "set"), data, str(file), f"file://{file}"):
        assert pseudo_labeled_source(spec).kind == "disparity"
    assert pseudo_labeled_source(f"{data}?kind=depth").kind == "depth"


@pytest.mark.parametrize("cls", COMMANDS)
def test_every_option_of_every_command_has_its_line_of_help(cls, capsys):
    assert cls.__dataclass_params__.frozen
    assert all(field.metadata["help"] for field in dataclasses.fields(cls))
    with pytest.raises(SystemExit) as stopped:
        parse_options(cls, ["--help"], prog="command")
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"--{field.name}" in shown for field in dataclasses.fields(cls))


def test_forms_that_were_always_taken():
    words = ["--cpu", "true", "--output-dir", "runs/a", "--no_resume", "--labeled", "scenes:indoor", "scenes:outdoor"]
    options = parse_options(TeacherOptions, words)
    assert (options.cpu, options.output_dir, options.resume) == (True, "runs/a", False)
    assert options.labeled == ("scenes:indoor", "scenes:outdoor")


def test_each_command_refuses_wrong_usage_with_status_2(refused):
    for command in (teacher, student, metric, pseudo_label):
        assert "unrecognized arguments: --dragon" in refused(command.main, "--dragon", "1")
