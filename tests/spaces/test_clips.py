"""Clips without the page: counted and bounded; work that is given up leaves nothing behind."""

import numpy as np
import pytest
from clip_files import make_video, write_clip
from serving import SPACE, save_models


@pytest.fixture
def clips(monkeypatch):
    monkeypatch.syspath_prepend(str(SPACE))
    from results import clips

    return clips


@pytest.fixture
def models(tmp_path, clips):
    from predictor import Models

    return Models(list(save_models(tmp_path)), "cpu")


@pytest.fixture
def work(clips, models):
    """Starts the work on a clip with one of the models."""

    def started(clip, *, number=0, side_by_side=False):
        return clips.depth_of_clip(models, str(clip), clips.Wish(models.names[number], None, "magma", side_by_side))

    return started


def browser_clip(path, frames=40):
    """As browsers record: WebM that says neither how long it is nor how many frames it has."""
    return make_video(path, frames=frames, codec="libvpx", audio="libopus", options={"live": "1"})


def test_no_file_of_the_space_is_a_link():
    assert not [path for path in SPACE.rglob("*") if path.is_symlink()]


def test_work_that_is_given_up_leaves_no_file(clips, work, tmp_path, monkeypatch):
    target = tmp_path / "results"
    target.mkdir()
    monkeypatch.setattr(clips, "new_folder", lambda: target)
    steps = work(write_clip(tmp_path / "c.mp4"))
    for step in steps:
        if step.text.startswith("Frame"):
            break
    assert step.text.startswith(f"Frame {clips.BATCH} of 12, about")
    assert list(target.iterdir())
    steps.close()
    assert not list(target.iterdir())


def test_one_range_holds_for_all_frames(models, work, tmp_path):
    from PIL import Image

    from semidepth.media.color_maps import colorize
    from semidepth.media.video_reading import read_frames

    clip, name = str(write_clip(tmp_path / "c.mp4")), models.names[1]
    *_, made = work(clip, number=1)
    for source, result in zip(read_frames(clip), read_frames(made.path), strict=True):
        own = models.predict(name, [Image.fromarray(source.pixels)])[0].values
        expected = colorize(own, made.limits, "magma")
        assert np.abs(expected.astype(int) - result.pixels).mean() < 12  # H.264, 4:2:0
        assert result.time_s == pytest.approx(source.time_s, abs=1e-3)


def test_a_clip_without_a_length_is_worked_on_like_any_other(clips, models, work, tmp_path, monkeypatch):
    asked = []
    predict = models.predict
    monkeypatch.setattr(models, "predict", lambda *given: asked.append(len(given[1])) or predict(*given))
    *steps, made = work(browser_clip(tmp_path / "c.webm"))
    assert made.frames == 40
    assert made.audio == "copied"
    looks = 14  # every third of 40
    assert asked == [4, 4, 4, 2] + [clips.BATCH] * 10
    assert [(step.done, step.frames) for step in steps] == (
        [(done, 40 + looks) for done in (0, 4, 8, 12, *range(looks + 4, looks + 41, 4))]
    )
    texts = [step.text for step in steps]
    assert texts[:2] == ["Getting ready", "Finding the range of colours"]  # the first may have to load the model
    assert all(text.startswith("Finding the range of colours, about") for text in texts[2:4])
    assert texts[-1] == "Frame 40 of 40, about 0 s left"


def test_a_clip_without_a_length_can_be_given_up_while_its_range_is_found(work, tmp_path):
    steps = work(browser_clip(tmp_path / "c.webm"))
    assert [next(steps).done for _ in range(3)] == [0, 4, 8]
    steps.close()
    assert next(work(write_clip(tmp_path / "d.mp4"))).text == "Getting ready"


def test_a_clip_without_a_length_is_refused_beyond_the_limits(clips, tmp_path, monkeypatch):
    from refusal import Refusal

    clip = browser_clip(tmp_path / "c.webm")
    monkeypatch.setattr(clips, "MOST_FRAMES", 30)
    with pytest.raises(Refusal, match="This one: more than 30 frames, 64 x 48, 0 MB"):
        clips.look_at(str(clip))
    monkeypatch.setattr(clips, "MOST_FRAMES", 40)
    assert clips.look_at(str(clip)).frames == 40
    monkeypatch.setattr(clips, "MOST_SECONDS", 3)
    with pytest.raises(Refusal, match="This one: 4 s, 40 frames"):
        clips.look_at(str(clip))


def test_nothing_to_work_on_is_told(models, clips):
    from refusal import Refusal

    with pytest.raises(Refusal, match="Upload a clip or record one first"):
        next(clips.depth_of_clip(models, None, clips.Wish("", None, "magma", True)))


def test_a_clip_that_is_damaged_in_the_middle_gets_one_sentence(work, tmp_path):
    from clip_files import noise
    from refusal import Refusal

    clip = make_video(tmp_path / "a.mp4", frames=[noise(number) for number in range(30)])
    content = bytearray(clip.read_bytes())
    middle, length = len(content) // 2, len(content) // 20
    content[middle : middle + length] = np.random.default_rng(1).bytes(length)
    clip.write_bytes(content)
    with pytest.raises(Refusal, match=r"^'The clip could not be finished: a.mp4 is damaged after frame 1\d "):
        list(work(clip))
    assert next(work(write_clip(tmp_path / "d.mp4"))).text == "Getting ready"
