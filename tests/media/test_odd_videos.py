"""Videos that are not as their containers say, or not as one expects: the right result, or one sentence."""

from fractions import Fraction

import av
import numpy as np
import pytest
from clip_files import corner, make_video, noise

from semidepth.media.clip_sample import (
    SAMPLE_FRAMES,
    ClipSample,
    sample_size,
    spread,
)
from semidepth.media.video_reading import Sound, read_frames, video_info
from semidepth.media.video_writing import VideoWriter


def copied(source, target):
    """The writer of a copy, and the times of its frames."""
    info = video_info(source)
    with VideoWriter(target, info.width, info.height, info.fps, sound=Sound(source)) as writer:
        for frame in read_frames(source):
            writer.write(frame.pixels, frame.time_s)
    return writer, [frame.time_s for frame in read_frames(target)]


def container_length(path):
    with av.open(str(path)) as container:
        return container.streams.video[0].frames, container.duration


def test_a_clip_of_a_browser_that_does_not_say_how_long_it_is_is_counted(tmp_path):
    clip = make_video(tmp_path / "a.webm", frames=23, codec="libvpx", audio="libopus", options={"live": "1"})
    assert container_length(clip) == (0, None)  # else this says nothing
    info = video_info(clip)
    assert (info.frames, info.whole, info.has_audio) == (23, True, True)
    assert info.duration_s == pytest.approx(2.3, abs=0.01)
    writer, times = copied(clip, tmp_path / "b.mp4")
    assert writer.audio == "copied"
    assert times == pytest.approx(np.arange(23) / 10, abs=2e-3)


def test_counting_ends_where_the_limit_is(tmp_path):
    clip = make_video(tmp_path / "a.webm", frames=40, codec="libvpx", options={"live": "1"})
    info = video_info(clip, most_frames=12)
    assert (info.frames, info.whole) == (13, False)
    assert video_info(clip, most_frames=40).whole


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "libx264", "yuv420p10le"), ("a.mkv", "libx265", "yuv420p10le"), ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.mov", "mjpeg", "yuvj420p"), ("a.avi", "mpeg4", "yuv420p"), ("a.ts", "libx264", "yuv422p"),
        ("a.mkv", "libx264", "gray"), ("a.mkv", "ffv1", "yuv444p16le"),
    ],
)  # fmt: skip
def test_codecs_and_depths_of_colour_come_out_alike(tmp_path, name, codec, pixel_format):
    clip = make_video(tmp_path / name, frames=6, codec=codec, pixel_format=pixel_format)
    writer, times = copied(clip, tmp_path / "b.mp4")
    assert (writer.frames, writer.audio) == (6, "none")
    assert np.diff(times) == pytest.approx(np.full(5, 0.1), abs=2e-3)
    made = [frame.pixels.astype(int) for frame in read_frames(tmp_path / "b.mp4")][2]
    red = (76, 76, 76) if pixel_format == "gray" else (255, 0, 0)  # 0.299 of 255
    assert np.abs(made[12, 16] - red).max() < 12
    assert np.abs(made[36, 48]).max() < 12


def test_odd_sizes_on_their_side(tmp_path):
    clip = make_video(tmp_path / "a.mkv", frames=[corner(35, 33)] * 3, codec="ffv1", pixel_format="yuv444p")
    assert (video_info(clip).width, video_info(clip).height) == (35, 33)
    copied(clip, tmp_path / "b.mp4")
    assert next(read_frames(tmp_path / "b.mp4")).pixels.shape == (34, 36, 3)
    turned = make_video(tmp_path / "t.mp4", frames=3, rotation=90, audio="aac")
    writer, _ = copied(turned, tmp_path / "u.mp4")
    assert writer.audio == "copied"
    info = video_info(tmp_path / "u.mp4")
    assert (info.width, info.height, info.rotation_deg) == (48, 64, 0)


@pytest.mark.parametrize("frames", [1, 2])
def test_a_clip_of_a_frame_or_two_lasts_as_long(tmp_path, frames):
    for name in ("a.mp4", "a.mkv"):
        clip = make_video(tmp_path / name, frames=frames)
        assert video_info(clip).frames == frames
        writer, times = copied(clip, tmp_path / "b.mp4")
        assert writer.frames == len(times) == frames
        assert video_info(tmp_path / "b.mp4").duration_s == pytest.approx(frames / 10, abs=0.02)


def test_sound_that_is_longer_than_the_pictures_is_kept_to_its_end(tmp_path):
    clip = make_video(tmp_path / "a.mp4", frames=5, audio="aac", audio_s=4)
    assert video_info(clip).duration_s == pytest.approx(0.5, abs=0.03)
    assert copied(clip, tmp_path / "b.mp4")[0].audio == "copied"
    lengths = []
    for path in (clip, tmp_path / "b.mp4"):
        with av.open(str(path)) as container:
            lengths.append([bytes(packet) for packet in container.demux(audio=0) if packet.size])
    assert lengths[0] == lengths[1]
    assert len(lengths[0]) > 180  # 4 s in packets of 1024 samples


@pytest.mark.parametrize("sound", ["pcm_s16le", "mp2"])
def test_sound_that_mp4_cannot_hold_is_told(tmp_path, sound):
    clip = make_video(tmp_path / "a.mkv", audio=sound)
    assert "cannot be kept unchanged in an MP4 file" in copied(clip, tmp_path / "b.mp4")[0].audio
    assert not video_info(tmp_path / "b.mp4").has_audio


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_file_that_was_cut_off_is_refused_before_the_work(tmp_path, name):
    clip = make_video(tmp_path / name, frames=[noise(number) for number in range(40)])
    (tmp_path / f"cut_{name}").write_bytes(clip.read_bytes()[: clip.stat().st_size * 6 // 10])
    with pytest.raises(ValueError, match=r"was cut off|cannot be read as a video") as refused:
        video_info(tmp_path / f"cut_{name}")
    assert "\n" not in str(refused.value)


def test_what_there_is_of_a_stream_that_was_cut_off_is_taken(tmp_path):
    clip = make_video(tmp_path / "a.webm", frames=[noise(n) for n in range(40)], codec="libvpx", options={"live": "1"})
    (tmp_path / "cut.webm").write_bytes(clip.read_bytes()[: clip.stat().st_size * 6 // 10])
    found = video_info(tmp_path / "cut.webm").frames
    assert 15 < found < 35
    assert abs(len(list(read_frames(tmp_path / "cut.webm"))) - found) <= 1


def test_damage_in_the_middle_is_told_with_its_place(tmp_path):
    clip = make_video(tmp_path / "a.mp4", frames=[noise(number) for number in range(30)])
    content = bytearray(clip.read_bytes())
    middle, length = len(content) // 2, len(content) // 20
    content[middle : middle + length] = np.random.default_rng(1).bytes(length)
    (tmp_path / "damaged.mp4").write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged after frame 1\d ") as told:
        copied(tmp_path / "damaged.mp4", tmp_path / "b.mp4")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "b.mp4").exists()


def test_a_header_that_lies_about_the_length_is_not_believed(tmp_path):
    clip = make_video(tmp_path / "a.avi", frames=20, codec="mpeg4")
    content = bytearray(clip.read_bytes())
    main = content.index(b"avih") + 8 + 16  # dwTotalFrames of the main header
    stream = content.index(b"strh") + 8 + 32  # dwLength of the stream's header
    for said in (3, 5000):
        for place in (main, stream):
            content[place : place + 4] = said.to_bytes(4, "little")
        (tmp_path / "lies.avi").write_bytes(content)
        assert container_length(tmp_path / "lies.avi")[0] == said
        info = video_info(tmp_path / "lies.avi")
        assert (info.frames, info.duration_s) == (20, pytest.approx(1.95, abs=0.06))  # AVI has no lengths of frames


@pytest.mark.parametrize("there", [0, 1, 15, 16, 17, 100, 1800])
@pytest.mark.parametrize("said", [0, 1, 16, 17, 100, 1800, 10**9])
def test_a_sample_is_small_whatever_is_said_and_never_empty(there, said):
    taken = list(spread(iter(range(there)), said))
    assert len(taken) <= SAMPLE_FRAMES
    assert bool(taken) == bool(there)
    if said == there and there:
        assert len(taken) == sample_size(said) >= SAMPLE_FRAMES / 2 if there >= SAMPLE_FRAMES else there
        assert taken[0] == 0
        assert there - taken[-1] <= 2 * -(-there // SAMPLE_FRAMES)  # to the end of it
        assert len(set(np.diff(taken))) <= 1


def test_a_sample_holds_a_bounded_part_of_each_map_and_votes():
    sample = ClipSample()
    for number, domain in enumerate(["outdoor", "indoor", "indoor", "outdoor", "indoor"]):
        sample.add(np.full((1080, 1920), number, np.float32), domain)
    assert sample.domain == "indoor"
    assert sample.values.size <= 5 * 2**16
    assert np.bincount(sample.values.astype(int)).tolist() == [sample.values.size // 5] * 5
    assert all(part.base is None for part in sample._values)  # nothing larger is kept alive behind it
    assert (ClipSample().domain, ClipSample().values.size) == (None, 0)


def test_pictures_that_begin_after_the_sound_keep_their_place(tmp_path):
    clip = make_video(tmp_path / "a.mkv", times=[2 + number / 10 for number in range(10)], audio="aac", audio_s=3)
    times = copied(clip, tmp_path / "b.mp4")[1]
    assert times == pytest.approx(2 + np.arange(10) / 10, abs=2e-3)
    assert video_info(tmp_path / "b.mp4").duration_s == pytest.approx(3, abs=0.02)


@pytest.mark.parametrize(("name", "codec", "sound"), [("a.ts", "libx264", "aac"), ("a.webm", "libvpx", "libopus")])
def test_files_put_together_go_on_where_their_clocks_go_back(tmp_path, name, codec, sound):
    options = {"live": "1"} if name == "a.webm" else {}
    content = make_video(tmp_path / name, codec=codec, audio=sound, options=options).read_bytes()
    (tmp_path / f"twice_{name}").write_bytes(content * 2)
    writer, times = copied(tmp_path / f"twice_{name}", tmp_path / "b.mp4")
    assert (writer.frames, writer.audio) == (20, "copied")
    assert (np.diff(times) > 0.05).all()
    with av.open(str(tmp_path / "b.mp4")) as container:
        stamps = [float(packet.pts * packet.time_base) for packet in container.demux(audio=0) if packet.size]
    assert (np.diff(stamps) > 0).all()
    assert stamps[-1] == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize(
    ("name", "shape", "rotation", "size"),
    [
        *(
            (name, shape, 0, (width, 48))
            for name in ("a.mp4", "a.mkv", "a.avi")
            for shape, width in ((Fraction(4, 3), 85), (Fraction(8, 9), 57), (None, 64))
        ),
        ("a.mp4", Fraction(4, 3), 90, (48, 85)),  # the others have no display matrix
    ],
)
def test_pixels_that_are_not_square_are_shown_as_players_show_them(tmp_path, name, shape, rotation, size):
    codec = "mpeg4" if name == "a.avi" else "libx264"
    clip = make_video(tmp_path / name, frames=3, codec=codec, pixel_shape=shape, rotation=rotation)
    info = video_info(clip)
    assert (info.width, info.height) == size
    frames = list(read_frames(clip))
    assert {frame.pixels.shape for frame in frames} == {(size[1], size[0], 3)}
    red = frames[0].pixels[..., 0] > 128  # a quarter of the picture, whatever its shape
    assert 0.2 < red.mean() < 0.3
    copied(clip, tmp_path / "b.mp4")
    written = video_info(tmp_path / "b.mp4")
    assert (written.width, written.height) == tuple(side + side % 2 for side in size)  # H.264 needs even sides
