"""Depth of a clip, with its sound, in one range of colours and with one head for all of it; checks before.

Range and head are found first, on a few frames spread over the clip; then every frame is predicted once, and memory
holds one batch of frames. One clip is worked on at a time: whoever calls this sees to that (`page.video_tab.ONE_CLIP`).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from predictor import Models
from refusal import Refusal
from result_files import new_folder, safe_stem
from work import ROUTER

from semidepth.media.clip_sample import ClipSample, sample_size, spread
from semidepth.media.color_maps import colorize, display_range
from semidepth.media.video_reading import Sound, VideoInfo, read_frames, video_info
from semidepth.media.video_writing import VideoWriter

MOST_SECONDS = 60
MOST_FRAMES = 1800
MOST_SIDE = 1920
MOST_MEGABYTES = 200
BATCH = 4
LIMITS_TEXT = (
    f"Clips of up to {MOST_SECONDS} seconds ({MOST_FRAMES} frames), {MOST_SIDE} pixels on the longer side and "
    f"{MOST_MEGABYTES} MB."
)


@dataclass(frozen=True)
class Step:
    """Progress of a clip.

    Args:
        done: number of predictions made.
        frames: number of predictions to make: a few to find the range of colours, and one for each frame.
        text: for a progress bar.
    """

    done: int
    frames: int
    text: str


@dataclass(frozen=True)
class Wish:
    """Request for a clip.

    Args:
        model: one of the Space's; "": the first.
        domain: head to use; None, "" or "router": the one that the router chooses most often.
        color_map: of the colours.
        side_by_side: put the clip to the left of its depth.
    """

    model: str
    domain: str | None
    color_map: str
    side_by_side: bool


@dataclass(frozen=True)
class Clip:
    """A finished clip.

    Args:
        path: of the MP4 file.
        frames: number of frames.
        limits: values at the two ends of the colours, for all frames.
        metric: whether these are metres.
        domain: the head that was used; "" for models without.
        audio: "copied", "none", or a sentence saying why the sound was left out.
        seconds: duration of the work.
    """

    path: str
    frames: int
    limits: tuple[float, float]
    metric: bool
    domain: str
    audio: str
    seconds: float

    @property
    def text(self) -> str:
        """Summary for people."""
        sound = {"copied": "with its sound", "none": "it has no sound"}.get(self.audio, self.audio)
        low, high = self.limits
        colors = f"colours from {low:.2f} to {high:.2f} m all over" if self.metric else "one range of colours all over"
        head = f", head: {self.domain}" if self.domain else ""
        return f"{self.frames} frames in {duration(self.seconds)}, {colors}{head}; {sound}."


def look_at(path: str | None) -> VideoInfo:
    """Facts about a clip, checked against the limits. Frames are counted, as clips recorded by browsers do not say.

    Args:
        path: of the uploaded file.

    Raises:
        Refusal: nothing was uploaded, it cannot be read, or it exceeds the limits.
    """
    if not path:
        raise Refusal("Upload a clip or record one first.", title="There is no clip yet")
    megabytes = Path(path).stat().st_size / 1e6
    try:
        info = video_info(path, MOST_FRAMES)
    except ValueError as error:
        raise Refusal(
            "This file cannot be read as a video; hand in a clip that is whole, MP4 for example.", title="No video"
        ) from error
    length = f"{info.duration_s:.0f} s, {info.frames} frames" if info.whole else f"more than {MOST_FRAMES} frames"
    if (
        not info.whole
        or info.duration_s > MOST_SECONDS + 0.5
        or max(info.width, info.height) > MOST_SIDE
        or megabytes > MOST_MEGABYTES
    ):
        raise Refusal(
            f"{LIMITS_TEXT} This one: {length}, {info.width} x {info.height}, {megabytes:.0f} MB.",
            title="Too long or too large",
        )
    return info


def depth_of_clip(models: Models, path: str | None, wish: Wish) -> Iterator[Step | Clip]:
    """Writes a clip's depth in colours, near is bright; closing the generator early leaves no file.

    Args:
        models: of this Space.
        path: of the uploaded file.
        wish: the request.

    Yields:
        How far it is, and last the finished clip.

    Raises:
        Refusal: nothing came, it cannot be read, is beyond the limits or damaged.
    """
    info, path = look_at(path), str(path)
    try:
        yield from _work(models, path, info, wish)
    except ValueError as error:
        raise Refusal(f"The clip could not be finished: {_without(str(error), path)}", title="Video") from error


def duration(seconds: float) -> str:
    """Duration in words."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _work(models: Models, path: str, info: VideoInfo, wish: Wish) -> Iterator[Step | Clip]:
    """Finds the range of colours and the head, then predicts all frames."""
    began, model = time.monotonic(), wish.model or models.names[0]
    domain = None if (wish.domain or ROUTER) == ROUTER else wish.domain
    card, sample, looks = models.card(model), ClipSample(), sample_size(info.frames)
    yield Step(0, looks + info.frames, "Getting ready")
    pace = _Pace(began)
    for frame in spread(read_frames(path), info.frames):
        (prediction,) = models.predict(model, [frame.pixels], domain)
        sample.add(prediction.values, prediction.domain)
        pace = pace if sample.frames > 1 else _Pace(time.monotonic(), 1)  # the first may have to load the model
        left = _told(pace.left_s(sample.frames, looks + info.frames))
        yield Step(sample.frames, looks + info.frames, f"Finding the range of colours{left}")
    limits, head = display_range(sample.values), sample.domain
    target = new_folder() / f"{safe_stem(path)}_depth.mp4"
    width = info.width * (2 if wish.side_by_side else 1)
    frames, pace = read_frames(path), _Pace(time.monotonic())
    with VideoWriter(target, width, info.height, info.fps, sound=Sound(path)) as writer:
        while batch := list(islice(frames, BATCH)):
            if writer.frames > MOST_FRAMES:
                raise ValueError(f"the clip has more than {MOST_FRAMES} frames.")
            pixels = [frame.pixels for frame in batch]
            predictions = models.predict(model, pixels, head if card.choosable else None)
            for frame, prediction in zip(batch, predictions, strict=True):
                colors = colorize(prediction.values, limits, wish.color_map, reverse=card.metric)
                both = np.concatenate([frame.pixels, colors], axis=1) if wish.side_by_side else colors
                writer.write(both, frame.time_s)
            count = max(info.frames, writer.frames)
            left = _told(pace.left_s(writer.frames, count))
            yield Step(looks + writer.frames, looks + count, f"Frame {writer.frames} of {count}{left}")
    yield Clip(str(target), writer.frames, limits, card.metric, head or "", writer.audio, time.monotonic() - began)


@dataclass(frozen=True)
class _Pace:
    """Estimates the time left from the pace since a moment."""

    since: float
    done: int = 0

    def left_s(self, done: int, of: int) -> float | None:
        """Seconds left; None while unknown."""
        if done <= self.done:
            return None
        return (time.monotonic() - self.since) / (done - self.done) * (of - done)


def _told(left_s: float | None) -> str:
    """Writes the time left; "" while it is not known."""
    return "" if left_s is None else f", about {duration(left_s)} left"


def _without(text: str, path: str) -> str:
    """The sentence without the server's path in it."""
    return text.replace(str(path), Path(path).name)
