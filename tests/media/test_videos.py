"""Videos: upright frames at their times, and files written whole with the source's sound."""

import av
import numpy as np
import pytest
from clip_files import make_video

from semidepth.media.video_reading import Sound, read_frames, video_info
from semidepth.media.video_writing import VideoWriter


def sound_of(path):
    """Times in seconds and bytes of the packets of sound."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(container.streams.audio[0]) if packet.size]
        return [float(packet.pts * packet.time_base) for packet in packets], [bytes(packet) for packet in packets]


def copy(source, target, **options):
    info = video_info(source)
    with VideoWriter(target, info.width, info.height, info.fps, sound=Sound(source), **options) as writer:
        for frame in read_frames(source):
            writer.write(frame.pixels, frame.time_s)
    return writer


def test_what_a_file_says_of_itself(tmp_path):
    make_video(tmp_path / "a.mp4", audio="aac")
    info = video_info(tmp_path / "a.mp4")
    assert (info.width, info.height, info.fps, info.frames) == (64, 48, 10, 10)
    assert (info.rotation_deg, info.has_audio) == (0, True)
    assert info.duration_s == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    ("rotation", "red"),  # which corner a viewer sees red: counterclockwise turns of the upper left one
    [(0, (0, 0)), (90, (-1, 0)), (180, (-1, -1)), (-90, (0, -1))],
)
def test_frames_are_upright(tmp_path, rotation, red):
    make_video(tmp_path / "a.mp4", rotation=rotation, frames=2)
    info = video_info(tmp_path / "a.mp4")
    assert (info.width, info.height) == ((48, 64) if rotation in (90, -90) else (64, 48))
    pixels = next(read_frames(tmp_path / "a.mp4")).pixels
    assert pixels.shape == (info.height, info.width, 3)
    corners = {(row, column): pixels[row, column, 0] > 200 for row in (0, -1) for column in (0, -1)}
    assert [corner for corner, is_red in corners.items() if is_red] == [red]


def test_uneven_times_are_kept(tmp_path):
    times = [0, 0.1, 0.2, 0.7, 0.75, 1.5]
    make_video(tmp_path / "a.mp4", times=times, frames=6)
    assert [frame.time_s for frame in read_frames(tmp_path / "a.mp4")] == pytest.approx(times, abs=2e-3)
    copy(tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert [frame.time_s for frame in read_frames(tmp_path / "b.mp4")] == pytest.approx(times, abs=2e-3)


@pytest.mark.parametrize(("name", "sound", "codec"), [("a.mp4", "aac", "libx264"), ("a.webm", "libopus", "libvpx-vp9")])
def test_sound_is_copied_bit_by_bit(tmp_path, name, sound, codec):
    make_video(tmp_path / name, audio=sound, codec=codec)
    assert copy(tmp_path / name, tmp_path / "b.mp4").audio == "copied"
    (times, packets), (copied_times, copied) = sound_of(tmp_path / name), sound_of(tmp_path / "b.mp4")
    assert copied == packets
    assert copied_times == pytest.approx(times, abs=2e-3)


def test_a_transport_stream_starts_at_zero_and_keeps_its_sound(tmp_path):
    make_video(tmp_path / "a.ts", audio="aac")
    assert copy(tmp_path / "a.ts", tmp_path / "b.mp4").audio == "copied"
    assert next(read_frames(tmp_path / "b.mp4")).time_s < 0.1
    stored, copied = sound_of(tmp_path / "a.ts")[1], sound_of(tmp_path / "b.mp4")[1]
    assert [packet[7:] for packet in stored] == copied  # less the ADTS header, which MP4 does without


def test_sound_that_does_not_fit_is_left_out_and_told(tmp_path):
    make_video(tmp_path / "a.avi", audio="pcm_s16le", codec="mpeg4")
    writer = copy(tmp_path / "a.avi", tmp_path / "b.mp4")
    assert "pcm_s16le" in writer.audio
    assert not video_info(tmp_path / "b.mp4").has_audio


def test_colours_survive_and_odd_sizes_become_even(tmp_path):
    colors = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (250, 220, 90)], np.uint8)
    pixels = np.repeat(np.repeat(colors[None], 33, 0), 7, 1)  # 33 x 35
    with VideoWriter(tmp_path / "a.mp4", 35, 33, 10) as writer:
        for _ in range(3):
            writer.write(pixels)
    frames = list(read_frames(tmp_path / "a.mp4"))
    assert [frame.pixels.shape for frame in frames] == [(34, 36, 3)] * 3
    assert np.abs(frames[1].pixels[16, 3:35:7].astype(int) - colors).max() <= 8
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")


def test_nothing_is_left_of_a_video_that_was_not_finished(tmp_path):
    def interrupted():
        with VideoWriter(tmp_path / "a.mp4", 32, 32, 10) as writer:
            writer.write(np.zeros((32, 32, 3), np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(ValueError, match="no frame was written"), VideoWriter(tmp_path / "a.mp4", 32, 32, 10):
        pass
    with pytest.raises(ValueError, match="a frame has shape"), VideoWriter(tmp_path / "a.mp4", 32, 32, 10) as writer:
        writer.write(np.zeros((32, 30, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_broken_files_are_refused_in_one_sentence(tmp_path):
    make_video(tmp_path / "whole.mp4", frames=30)
    copy(tmp_path / "whole.mp4", tmp_path / "fast.mp4")  # its index comes first
    content = (tmp_path / "fast.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) - 40])
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    with av.open(str(tmp_path / "sound.m4a"), "w", format="mp4") as output:
        sound = output.add_stream("aac", rate=48000)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), format="s16", layout="mono")
        samples.sample_rate = 48000
        output.mux(sound.encode(samples))
        output.mux(sound.encode(None))
    for name, words in (
        ("cut.mp4", "was cut off"), ("text.mp4", "cannot be read as a video"), ("sound.m4a", "no moving picture"),
        ("empty.mp4", "cannot be read as a video"), ("missing.mp4", "cannot be read as a video"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            video_info(tmp_path / name)
        with pytest.raises(ValueError, match=words):
            list(read_frames(tmp_path / name))
