"""Read videos: facts about a file, its frames one at a time and upright, and its sound as it is stored.

For example:

    info = video_info("clip.mp4")
    for frame in read_frames("clip.mp4"):
        frame.pixels, frame.time_s
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

DEFAULT_FPS = 25.0
# Matroska files say how long they are. One that ends so much earlier was cut off.
CUT_OFF_S, CUT_OFF_SHARE = 1.0, 0.02
SHORT_S = 0.02  # of sound that does not say how long it is


@dataclass(frozen=True)
class VideoInfo:
    """Facts about a video file.

    Args:
        width: as seen, square pixels: of a video that is turned by 90 degrees, the stored height.
        height: as seen, pixels.
        fps: frames per second on average.
        frames: number of stored frames, counted, since a file's own number may be missing or wrong. Some codecs store
            a few more than are shown, only to predict others from.
        duration_s: seconds until the last frame's end.
        whole: whether all frames were counted; else there are more, and the video lasts longer.
        rotation_deg: counterclockwise turn that makes stored frames upright: 0, 90, 180 or 270.
        has_audio: whether there is a sound track.
    """

    width: int
    height: int
    fps: float
    frames: int
    duration_s: float
    whole: bool
    rotation_deg: int
    has_audio: bool


@dataclass(frozen=True)
class Frame:
    """A frame of a video.

    Args:
        pixels: (H, W, 3) uint8 RGB, upright, with square pixels also where stored ones are not.
        time_s: seconds since the file's start. Gaps between frames may differ (variable frame rate).
    """

    pixels: np.ndarray
    time_s: float


def video_info(path: str | Path, most_frames: int | None = None) -> VideoInfo:
    """Facts about a video: reads all of the file, but decodes only its first frame.

    Args:
        path: of the file.
        most_frames: stop counting after this many; None: count all.

    Raises:
        ValueError: the file cannot be read as a video, or ends before it should.
    """
    first, count, ends = None, 0, {False: 0.0, True: 0.0}  # of other streams, of the frames
    with _opened(path) as container:
        stream, start = _video_stream(container, path), _start_s(container)
        try:
            for packet in container.demux():
                own = packet.stream.index == stream.index
                if own and first is None:
                    first = next(iter(packet.decode()), None)
                if packet.size:  # the empty one at the end makes a decoder hand out what it held back
                    count += own
                    ends[own] = max(ends[own], _end_s(packet) - start)
                if first is not None and most_frames is not None and count > most_frames:
                    break
            else:
                _check_whole(container, max(ends.values()), path)
        except av.FFmpegError as error:
            where = "holds no frame that can be decoded" if first is None else f"is damaged after frame {count}"
            raise ValueError(f"{path} {where} ({_cause(error)}); export it anew.") from error
        if first is None:
            raise ValueError(f"{path} holds no frame that can be decoded; give a video file.")
        rotation, fps = _rotation(first), _rate(stream)
        width, height = _shown_size(first, stream)
        width, height = (height, width) if rotation % 180 else (width, height)
        return VideoInfo(
            width=width,
            height=height,
            fps=fps,
            frames=count,
            duration_s=ends[True] or count / fps,
            whole=most_frames is None or count <= most_frames,
            rotation_deg=rotation,
            has_audio=bool(container.streams.audio),
        )


def read_frames(path: str | Path) -> Iterator[Frame]:
    """Iterates over the frames in the order in which they are shown; memory holds one, and a few in the decoder.

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
        rate, start = _rate(stream), _start_s(container)
        try:
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise ValueError(f"{path} is damaged after frame {count}; mend or export the video anew.")
                size = size or _shown_size(frame, stream)
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


class Sound:
    """First sound track of a file, as it is stored, to be copied; close it when done.

    Args:
        path: of the file.

    Attributes:
        stream: PyAV's stream; None where there is no sound.
        problem: why its packets ended early, in a sentence; else None.

    Raises:
        ValueError: the file cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self._stack = contextlib.ExitStack()
        self._container = self._stack.enter_context(_opened(path))
        self.stream: Any = self._container.streams.audio[0] if self._container.streams.audio else None
        self.problem: str | None = None

    def packets(self) -> Iterator[Any]:
        """Packets in order, with increasing times, which count from the file's start as those of [`read_frames`] do.

        Where time stamps go back, as in files joined from several, the sound continues without a gap.
        """
        shift, last, end = None, -math.inf, 0
        try:
            for packet in self._container.demux(self.stream):
                if packet.dts is None:  # the one that ends the stream
                    continue
                if shift is None:
                    shift = round(_start_s(self._container) / packet.time_base)
                if packet.dts - shift <= last:
                    shift = packet.dts - end
                packet.pts = max(packet.dts, packet.dts if packet.pts is None else packet.pts) - shift
                packet.dts -= shift
                last, end = packet.dts, packet.dts + (packet.duration or round(SHORT_S / packet.time_base))
                yield packet
        except av.FFmpegError as error:
            self.problem = f"the sound is damaged ({_cause(error)}) and was copied up to there"

    def close(self) -> None:
        """Closes the file."""
        self._stack.close()


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a video ({_cause(error)}); give a video file.") from error
    with container:
        yield container


def _video_stream(container: Any, path: str | Path) -> Any:
    """The first stream that is not a cover picture; raises ValueError for a truncated MP4, whose index tells."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            ends = [entry.pos + entry.size for entry in stream.index_entries] if "mp4" in container.format.name else []
            if ends and max(ends) > Path(path).stat().st_size:
                raise ValueError(f"{path} was cut off: frames at its end are missing; export or fetch it anew.")
            return stream
    raise ValueError(f"{path} holds no moving picture; give a video file.")


def _check_whole(container: Any, end_s: float, path: str | Path) -> None:
    """Raises ValueError for a truncated Matroska file, which FFmpeg reads as if nothing were missing."""
    said = (container.duration or 0) / av.time_base if "matroska" in container.format.name else 0.0
    if end_s < said - max(CUT_OFF_S, CUT_OFF_SHARE * said):
        raise ValueError(
            f"{path} was cut off or is damaged: it says that it lasts {said:.1f} s and ends after {end_s:.1f} s; "
            "export or fetch it anew."
        )


def _end_s(packet: Any) -> float:
    """Time at which a packet ends, on its file's clock; 0 where unknown."""
    begins = packet.dts if packet.pts is None else packet.pts
    known = begins is not None and packet.time_base is not None
    return float((begins + (packet.duration or 0)) * packet.time_base) if known else 0.0


def _rate(stream: Any) -> float:
    return float(stream.average_rate or stream.guessed_rate or DEFAULT_FPS)


def _rotation(frame: Any) -> int:
    """Counterclockwise turn that makes a stored frame upright: 0, 90, 180 or 270 degrees."""
    return round(frame.rotation / 90) * 90 % 360


def _shown_size(frame: Any, stream: Any) -> tuple[int, int]:
    """Width and height at which a stored frame is shown, before it is turned: its own height, and square pixels.

    Camcorders and discs store pixels that are wider or narrower than high. What the container says of their shape goes
    before what the codec says, as in players.
    """
    shape = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return (max(1, round(frame.width * shape)) if shape else frame.width), frame.height


def _start_s(container: Any) -> float:
    """Start of the file's clock in seconds: transport streams begin anywhere."""
    return max(0.0, (container.start_time or 0) / av.time_base)


def _cause(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0]
