"""Videos in and out: what a file holds, its frames one at a time as a viewer sees them, and H.264 with the old sound.

Stands alone: it needs numpy and PyAV and nothing of semidepth, so that a Space can carry this very file.

    info = video_info("clip.mp4")
    with VideoWriter("out.mp4", info.width, info.height, info.fps, audio_from="clip.mp4") as writer:
        for frame in read_frames("clip.mp4"):
            writer.write(255 - frame.pixels, frame.time_s)
    print(writer.audio)  # "copied", "none", or why it was left out
"""

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np

TICKS_PER_S = 90_000  # of written time stamps: every usual frame rate comes to whole numbers
DEFAULT_FPS = 25.0
# Sound that players expect in an MP4 file. FFmpeg would also put PCM and Vorbis there, which few of them play.
MP4_SOUND = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"})


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says of itself.

    Args:
        width: as seen, pixels: of a video that is turned by 90 degrees, the stored height.
        height: as seen, pixels.
        fps: frames per second on average.
        frames: as the file says, else duration times `fps`: a good guess, to be shown in a progress bar.
        duration_s: seconds; 0 if the file does not say.
        rotation_deg: by how much stored frames have to be turned counterclockwise to be upright: 0, 90, 180 or 270.
        has_audio: whether there is a sound track.
    """

    width: int
    height: int
    fps: float
    frames: int
    duration_s: float
    rotation_deg: int
    has_audio: bool


@dataclass(frozen=True)
class Frame:
    """One frame.

    Args:
        pixels: (H, W, 3) uint8 RGB, upright.
        time_s: seconds since the file's start. Gaps between frames may differ (variable frame rate).
    """

    pixels: np.ndarray
    time_s: float


def video_info(path: str | Path) -> VideoInfo:
    """Looks at a video without decoding more than its first frame.

    Args:
        path: of the file.

    Returns:
        Size, rate, length and the like.

    Raises:
        ValueError: the file cannot be read as a video.
    """
    with _opened(path) as container:
        stream = _video_stream(container, path)
        first = _first_frame(container, stream, path)
        rotation = _rotation(first)
        width, height = (first.height, first.width) if rotation % 180 else (first.width, first.height)
        fps = float(stream.average_rate or stream.guessed_rate or DEFAULT_FPS)
        duration = 0.0
        if stream.duration is not None and stream.time_base is not None:
            duration = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            duration = container.duration / av.time_base
        return VideoInfo(
            width=width,
            height=height,
            fps=fps,
            frames=max(1, stream.frames or round(duration * fps)),
            duration_s=duration,
            rotation_deg=rotation,
            has_audio=bool(container.streams.audio),
        )


def read_frames(path: str | Path) -> Iterator[Frame]:
    """Frames in the order in which they are shown, one at a time in memory (and a few in the decoder).

    Args:
        path: of the file.

    Yields:
        Frames of one size, upright; their times increase.

    Raises:
        ValueError: the file cannot be read as a video, or is damaged from some frame on.
    """
    count, size, last = 0, None, -math.inf
    with _opened(path) as container:
        stream = _video_stream(container, path)
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate or stream.guessed_rate or DEFAULT_FPS)
        start = _start_s(container)
        try:
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise ValueError(f"{path} is damaged after frame {count}; mend or export the video anew.")
                size = size or (frame.width, frame.height)
                # Some streams change their size on the way; what is written cannot.
                stored = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
                time_s = frame.time - start if frame.time is not None else count / rate
                if time_s <= last:  # a stamp that goes back, or none: one frame later than the one before
                    time_s = last + 1 / rate
                count, last = count + 1, time_s
                turns = _rotation(frame) // 90
                yield Frame(np.ascontiguousarray(np.rot90(stored, turns)), time_s)
        except av.FFmpegError as error:
            raise ValueError(f"{path} is damaged after frame {count} ({_cause(error)}); export it anew.") from error
    if count == 0:
        raise ValueError(f"{path} holds no frame that can be decoded; give a video file.")


class VideoWriter:
    """Writes frames as H.264 in MP4, with another file's sound beside them.

    The file appears under its name when the `with` block ends well, and not at all when it does not. A size that is
    odd gets its last row or column twice: H.264 with 4:2:0 colours, which every player shows, needs even ones.

    Args:
        path: of the result, ending in .mp4.
        width: of the frames, pixels.
        height: of the frames, pixels.
        fps: frames per second, for the stream's header and for frames without a time.
        audio_from: video whose sound is copied as it is; None: no sound.
        crf: x264's quality, 0 (lossless) to 51; smaller is better and larger in bytes.

    Attributes:
        audio: "copied"; "none" if there was none to copy; else one sentence that says why it was left out.
        frames: how many were written.

    Raises:
        ValueError: `audio_from` cannot be read, or the name does not end in .mp4.
    """

    def __init__(
        self,
        path: str | Path,
        width: int,
        height: int,
        fps: float,
        *,
        audio_from: str | Path | None = None,
        crf: int = 18,
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise ValueError(f"{str(path)!r} does not end in .mp4, which is what is written; rename it.")
        self.size = (width, height)
        self.fps = fps
        self.audio = "none"
        self.frames = 0
        self._crf = crf
        self._last_tick = -1
        self._packets: Iterator[Any] = iter(())
        self._waiting: Any = None  # the next packet of sound
        self._partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._stack = contextlib.ExitStack()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open(audio_from)
        except BaseException:
            self._discard()
            raise

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._finish()
        except BaseException:
            self._discard()
            raise

    def write(self, pixels: np.ndarray, time_s: float | None = None) -> None:
        """Appends a frame.

        Args:
            pixels: (H, W, 3) uint8 RGB of the size that was announced.
            time_s: when it is shown, seconds; later than the frame before. None: evenly, by `fps`.

        Raises:
            ValueError: the frame has another size or type.
        """
        if pixels.shape != (self.size[1], self.size[0], 3) or pixels.dtype != np.uint8:
            raise ValueError(
                f"a frame has shape {pixels.shape} and type {pixels.dtype}; expected uint8 of "
                f"{(self.size[1], self.size[0], 3)}, the size that the video was begun with."
            )
        even = np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode="edge")
        seconds = self.frames / self.fps if time_s is None else time_s
        self._last_tick = max(round(seconds * TICKS_PER_S), self._last_tick + 1)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        frame.pts, frame.time_base = self._last_tick, Fraction(1, TICKS_PER_S)
        self._mux(self._stream.encode(frame))
        self.frames += 1
        self._copy_audio(self._last_tick / TICKS_PER_S)

    def _open(self, audio_from: str | Path | None) -> None:
        source = None
        if audio_from is not None:
            opened = self._stack.enter_context(_opened(audio_from))
            source = opened.streams.audio[0] if opened.streams.audio else None
        if source is not None and not self._start(source):
            self.audio = (
                f"the sound ({source.codec_context.name}) cannot be kept unchanged in an MP4 file and was left out"
            )
            source = None
        if source is None:
            self._start(None)
            return
        self.audio = "copied"
        self._audio_start_s = _start_s(source.container)
        self._packets = source.container.demux(source)
        self._waiting = self._next_audio()

    def _start(self, source: Any) -> bool:
        """Writes the header; False if the container refuses the sound."""
        output = av.open(str(self._partial), "w", format="mp4", options={"movflags": "+faststart"})
        if source is not None and source.codec_context.codec.canonical_name not in MP4_SOUND:
            output.close()
            return False
        rate = Fraction(self.fps).limit_denominator(1001)
        stream: Any = output.add_stream("libx264", rate=rate, options={"crf": str(self._crf), "preset": "veryfast"})
        stream.width, stream.height = (side + side % 2 for side in self.size)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
        for name, bt709 in (("color_primaries", 1), ("color_trc", 1), ("colorspace", 1), ("color_range", 1)):
            setattr(stream.codec_context, name, bt709)
        try:
            self._audio_stream = None if source is None else output.add_stream_from_template(source)
            output.start_encoding()
        except (av.FFmpegError, ValueError):
            if source is None:
                raise
            with contextlib.suppress(av.FFmpegError):
                output.close()
            return False
        self._output, self._stream = output, stream
        return True

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            self._output.mux(packet)

    def _next_audio(self) -> Any:
        try:
            for packet in self._packets:
                if packet.dts is not None:  # the one without ends the stream
                    return packet
        except av.FFmpegError as error:
            self.audio = f"the sound is damaged ({_cause(error)}) and was copied up to there"
        return None

    def _copy_audio(self, until_s: float) -> None:
        """Sound goes between the frames, so that neither has to wait in memory."""
        while self._waiting is not None and float(self._waiting.dts * self._waiting.time_base) <= until_s + 1:
            packet = self._waiting
            shift = round(self._audio_start_s / packet.time_base)
            packet.dts -= shift
            packet.pts = packet.dts if packet.pts is None else packet.pts - shift
            packet.stream = self._audio_stream
            self._output.mux(packet)
            self._waiting = self._next_audio()

    def _finish(self) -> None:
        if self.frames == 0:
            raise ValueError(f"no frame was written to {self.path}; a video needs at least one.")
        self._mux(self._stream.encode(None))
        self._copy_audio(math.inf)
        self._output.close()
        self._stack.close()
        self._partial.replace(self.path)

    def _discard(self) -> None:
        with contextlib.suppress(av.FFmpegError, AttributeError):  # nothing opened yet, or already closed
            self._output.close()
        self._stack.close()
        self._partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a video ({_cause(error)}); give a video file.") from error
    with container:
        yield container


def _video_stream(container: Any, path: str | Path) -> Any:
    """The first that is not a cover picture. MP4 says where each frame lies: one that was cut off is found at once."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            ends = [entry.pos + entry.size for entry in stream.index_entries] if "mp4" in container.format.name else []
            if ends and max(ends) > Path(path).stat().st_size:
                raise ValueError(f"{path} was cut off: frames at its end are missing; export or fetch it anew.")
            return stream
    raise ValueError(f"{path} holds no moving picture; give a video file.")


def _first_frame(container: Any, stream: Any, path: str | Path) -> Any:
    try:
        return next(container.decode(stream))
    except (av.FFmpegError, StopIteration) as error:
        raise ValueError(f"{path} holds no frame that can be decoded; give a video file.") from error


def _rotation(frame: Any) -> int:
    """Quarter turns in degrees, counterclockwise, that make a stored frame upright."""
    return round(frame.rotation / 90) * 90 % 360


def _start_s(container: Any) -> float:
    """Where the file's clock starts: transport streams begin anywhere."""
    return max(0.0, (container.start_time or 0) / av.time_base)


def _cause(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0]
