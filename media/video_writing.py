"""Write videos: frames at their times as H.264 in MP4, which every player shows, with the sound of another file.

For example:

    with VideoWriter("out.mp4", info.width, info.height, info.fps, sound=Sound("clip.mp4")) as writer:
        for frame in read_frames("clip.mp4"):
            writer.write(255 - frame.pixels, frame.time_s)
    print(writer.audio)  # "copied", "none", or why it was left out
"""

import contextlib
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import av
import numpy as np

from semidepth.common.files import partial_path

TICKS_PER_S = 90_000  # of written time stamps: every usual frame rate comes to whole numbers
# Sound that players expect in an MP4 file. FFmpeg would also put PCM and Vorbis there, which few of them play.
MP4_SOUND = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"})


class Sound(Protocol):
    """A sound track to copy, such as `video_reading.Sound`."""

    stream: Any
    problem: str | None

    def packets(self) -> Iterator[Any]:
        """Packets in order, with increasing times that count from the file's start."""

    def close(self) -> None:
        """Releases the file; called at the end."""


class VideoWriter:
    """Writes frames as H.264 in MP4, with the sound of another file.

    The file appears under its name when the `with` block ends without an error, else not at all. The last row or column
    of an odd size is repeated, since H.264 with 4:2:0 colours needs even sizes.

    Args:
        path: of the result, ending in .mp4.
        width: of the frames, pixels.
        height: of the frames, pixels.
        fps: frames per second, for the stream's header and for frames without a time.
        sound: track to copy unchanged; closed at the end. None: no sound.
        crf: x264's quality, 0 (lossless) to 51; smaller is better and larger in bytes.

    Attributes:
        audio: "copied"; "none" if there was no sound; else a sentence saying why it was left out.
        frames: number of frames written.

    Raises:
        ValueError: the name does not end in .mp4.
    """

    def __init__(
        self,
        path: str | Path,
        width: int,
        height: int,
        fps: float,
        *,
        sound: Sound | None = None,
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
        self._sound = sound
        self._packets: Iterator[Any] = iter(())
        self._waiting: Any = None  # the next packet of sound
        self._partial = partial_path(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open()
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
            pixels: (H, W, 3) uint8 RGB, of the size given to the constructor.
            time_s: time at which it is shown, seconds, later than the frame before. None: evenly, by `fps`.

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

    def _open(self) -> None:
        source = None if self._sound is None else self._sound.stream
        if source is None:
            self._start(None)
        elif self._start(source):
            self.audio = "copied"
            self._packets = self._sound.packets() if self._sound is not None else iter(())
            self._waiting = self._next_audio()
        else:
            name = source.codec_context.name if source.codec_context else "of an unknown kind"
            self.audio = f"the sound ({name}) cannot be kept unchanged in an MP4 file and was left out"
            self._start(None)

    def _start(self, source: Any) -> bool:
        """Writes the header; False if the container refuses the sound."""
        if source is not None and (
            source.codec_context is None or source.codec_context.codec.canonical_name not in MP4_SOUND
        ):
            return False
        output = av.open(str(self._partial), "w", format="mp4", options={"movflags": "+faststart"})
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
        packet = next(self._packets, None)
        if packet is None and self._sound is not None and self._sound.problem is not None:
            self.audio = self._sound.problem
        return packet

    def _copy_audio(self, until_s: float) -> None:
        """Writes sound up to a time, between the frames, so that neither has to wait in memory."""
        while self._waiting is not None and float(self._waiting.dts * self._waiting.time_base) <= until_s + 1:
            packet = self._waiting
            packet.stream = self._audio_stream
            self._output.mux(packet)
            self._waiting = self._next_audio()

    def _finish(self) -> None:
        if self.frames == 0:
            raise ValueError(f"no frame was written to {self.path}; a video needs at least one.")
        self._mux(self._stream.encode(None))
        self._copy_audio(math.inf)
        self._output.close()
        self._close_sound()
        self._partial.replace(self.path)

    def _discard(self) -> None:
        with contextlib.suppress(av.FFmpegError, AttributeError):  # nothing opened yet, or already closed
            self._output.close()
        self._close_sound()
        self._partial.unlink(missing_ok=True)

    def _close_sound(self) -> None:
        if self._sound is not None:
            self._sound.close()
