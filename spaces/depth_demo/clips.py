"""Depth of a clip: one range of colours and one head for all of it, its own sound, and a look at it before.

A range for each frame would flicker, and so would a router that changes its mind. Both are settled first, on frames
spread over the clip; then every frame is predicted once, and memory holds one batch of them.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from color_maps import colorize, display_range
from PIL import Image
from predictor import Models, Prediction
from refusal import Refusal
from scratch import new_folder, safe_stem
from videos import VideoInfo, VideoWriter, read_frames, video_info
from work import ROUTER

MOST_SECONDS = 60
MOST_FRAMES = 1800
MOST_SIDE = 1920
MOST_MEGABYTES = 200
RANGE_FRAMES = 16
BATCH = 4
LIMITS_TEXT = (
    f"Clips of up to {MOST_SECONDS} seconds ({MOST_FRAMES} frames), {MOST_SIDE} pixels on the longer side and "
    f"{MOST_MEGABYTES} MB."
)


@dataclass(frozen=True)
class Step:
    """How far the work is.

    Args:
        done: frames written.
        frames: about how many there are.
        left_s: seconds to go; None where it is not known yet.
    """

    done: int
    frames: int
    left_s: float | None

    @property
    def text(self) -> str:
        """For a progress bar."""
        left = "finding the range of colours" if self.left_s is None else f"{duration(self.left_s)} left"
        return f"Frame {self.done} of {self.frames}, {left}"


@dataclass(frozen=True)
class Clip:
    """A finished clip.

    Args:
        path: of the MP4 file.
        frames: how many it has.
        limits: values at the two ends of the colours, all over it.
        metric: whether these are metres.
        domain: the head that was used; "" for models without.
        audio: "copied", "none", or a sentence saying why the sound was left out.
        seconds: that the work took.
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
        """What became of it."""
        sound = {"copied": "with its sound", "none": "it has no sound"}.get(self.audio, self.audio)
        low, high = self.limits
        colors = f"colours from {low:.2f} to {high:.2f} m all over" if self.metric else "one range of colours all over"
        head = f", head: {self.domain}" if self.domain else ""
        return f"{self.frames} frames in {duration(self.seconds)}, {colors}{head}; {sound}."


def look_at(path: str | None) -> VideoInfo:
    """What a clip is, before any work.

    Args:
        path: of the uploaded file.

    Raises:
        Refusal: nothing came, it cannot be read, or it is beyond the limits.
    """
    if not path:
        raise Refusal("Upload a clip or record one first.", title="There is no clip yet")
    megabytes = Path(path).stat().st_size / 1e6
    try:
        info = video_info(path)
    except ValueError as error:
        raise Refusal(
            "This file cannot be read as a video; hand in a clip that is whole, MP4 for example.", title="No video"
        ) from error
    side = max(info.width, info.height)
    found = (
        f"This one: {info.duration_s:.0f} s, {info.frames} frames, {info.width} x {info.height}, {megabytes:.0f} MB."
    )
    if (
        info.duration_s > MOST_SECONDS + 0.5
        or info.frames > MOST_FRAMES
        or side > MOST_SIDE
        or megabytes > MOST_MEGABYTES
    ):
        raise Refusal(f"{LIMITS_TEXT} {found}", title="Too long or too large")
    return info


def depth_of_clip(
    models: Models, path: str, model: str, domain: str | None, color_map: str, side_by_side: bool
) -> Iterator[Step | Clip]:
    """Writes a clip's depth in colours, near is bright. Closed before its end, it leaves no file.

    Args:
        models: of this Space.
        path: of the uploaded file.
        model: one of them; "": the first.
        domain: whose head to use; None, "" or "router": the one that the router prefers over the whole clip.
        color_map: of the colours.
        side_by_side: the clip to the left of its depth.

    Yields:
        How far it is, and last the finished clip.

    Raises:
        Refusal: it cannot be read, is beyond the limits, or is damaged.
    """
    info, model, began = look_at(path), model or models.names[0], time.monotonic()
    target = new_folder() / f"{safe_stem(path)}_depth.mp4"
    width = info.width * (2 if side_by_side else 1)
    try:
        yield Step(0, info.frames, None)
        sample = _sample(models, path, info, model, None if (domain or ROUTER) == ROUTER else domain)
        metric = sample[0].metric
        limits = display_range(np.stack([prediction.values[::4, ::4] for prediction in sample]))
        heads = Counter(prediction.domain for prediction in sample)
        head = heads.most_common(1)[0][0]
        asked = head if head and models.card(model).choosable else None
        frames, started = read_frames(path), time.monotonic()
        with VideoWriter(target, width, info.height, info.fps, audio_from=path) as writer:
            while batch := list(islice(frames, BATCH)):
                if writer.frames > MOST_FRAMES:
                    raise ValueError(f"the clip has more than {MOST_FRAMES} frames.")
                images = [Image.fromarray(frame.pixels) for frame in batch]
                for frame, prediction in zip(batch, models.predict(model, images, asked), strict=True):
                    colors = colorize(prediction.values, limits, color_map, reverse=metric)
                    both = np.concatenate([frame.pixels, colors], axis=1) if side_by_side else colors
                    writer.write(both, frame.time_s)
                count = max(info.frames, writer.frames)
                pace = (time.monotonic() - started) / writer.frames
                yield Step(writer.frames, count, pace * (count - writer.frames))
    except ValueError as error:
        raise Refusal(f"The clip could not be finished: {_without(str(error), path)}", title="Video") from error
    yield Clip(str(target), writer.frames, limits, metric, head, writer.audio, time.monotonic() - began)


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _sample(models: Models, path: str, info: VideoInfo, model: str, domain: str | None) -> list[Prediction]:
    """Predictions of frames spread over a clip; of its last one where the file promised more than it holds."""
    step, found, frame = max(1, -(-info.frames // RANGE_FRAMES)), [], None
    for number, frame in enumerate(read_frames(path)):
        if number % step == step // 2:
            found += models.predict(model, [Image.fromarray(frame.pixels)], domain)
    if not found and frame is not None:
        found = models.predict(model, [Image.fromarray(frame.pixels)], domain)
    return found


def _without(text: str, path: str) -> str:
    """A sentence without the server's path in it."""
    return text.replace(str(path), Path(path).name)
