"""Depth of a clip as `semidepth predict` makes it (prediction/videos.py), in metres where the model has them, with
limits, and progress in words.

One clip is worked on at a time: whoever calls this sees to that (`page.video_tab.ONE_CLIP`).
"""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from predictor import ImageDepth, Models
from refusal import Refusal
from work import ROUTER

from results.result_files import new_folder, safe_stem
from semidepth.media.video_reading import Frame, VideoInfo, video_info
from semidepth.prediction.videos import FrameDepth, VideoResult, VideoStep, depth_video

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
        frames: about how many there will be: a few to find the range of colours, and one for each frame.
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
class Clip(VideoResult):
    """A finished clip.

    Args:
        path: of the MP4 file.
        metric: whether the limits are metres.
        seconds: duration of the work.
    """

    path: str
    metric: bool
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
    """Runs the loop over frames, and tells of every batch."""
    began, model = time.monotonic(), wish.model or models.names[0]
    asked, card = None if (wish.domain or ROUTER) == ROUTER else wish.domain, models.card(model)

    def predict(frames: Iterator[Frame], domain: str | None) -> Iterator[FrameDepth]:
        head = domain if domain and card.choosable else asked
        while batch := list(islice(frames, BATCH)):
            predictions = models.predict(model, [frame.pixels for frame in batch], head)
            for frame, prediction in zip(batch, predictions, strict=True):
                values = partial(_values, prediction)
                yield FrameDepth(frame, values, values, prediction.domain)

    target, pace = new_folder() / f"{safe_stem(path)}_depth.mp4", _Pace()
    made = depth_video(
        Path(path), target, predict, info=info, reverse=card.metric, color_map=wish.color_map,
        side_by_side=wish.side_by_side, ahead=BATCH,
    )  # fmt: skip
    with closing(made) as steps:  # work that is given up leaves no file, and no thread
        for step in steps:
            if isinstance(step, VideoResult):
                yield Clip(**vars(step), path=str(target), metric=card.metric, seconds=time.monotonic() - began)
            elif step.written > MOST_FRAMES:
                raise ValueError(f"the clip has more than {MOST_FRAMES} frames.")
            elif (step.written or step.predicted) % BATCH == 0:
                yield Step(step.predicted, step.predictions, pace.text(step, info.frames))


class _Pace:
    """Words for steps of the work, with the time left."""

    def __init__(self) -> None:
        self._looks: list[tuple[float, int]] = []  # when the first and the last were made, and how many there were

    def text(self, step: VideoStep, frames: int) -> str:
        """Tells how far the work is; the time left goes by the pace so far, once there is one.

        Args:
            step: that was made just now.
            frames: about how many frames the clip has.
        """
        now = time.monotonic()
        if not step.predicted:
            return "Getting ready"
        if not step.written:
            self._looks = [*self._looks[:1], (now, step.predicted)]  # the first may have had to load the model
            (began, before), (_, done) = self._looks[0], self._looks[-1]
            left = (now - began) / (done - before) * (step.predictions - done) if done > before else None
            return f"Finding the range of colours{_left(left)}"
        count = max(frames, step.written)
        since = self._looks[-1][0] if self._looks else now
        left = (now - since) / step.written * (count - step.written)
        return f"Frame {step.written} of {count}{_left(left if self._looks else None)}"


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f", about {duration(seconds)} left"


def _values(prediction: ImageDepth) -> np.ndarray:
    return prediction.known()  # sky is grey, and stretches no range


def _without(text: str, path: str) -> str:
    """The sentence without the server's path in it."""
    return text.replace(str(path), Path(path).name)
