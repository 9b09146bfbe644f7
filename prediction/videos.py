"""Depth of a video as a video: one range of colours and one head for the whole clip, with its times and its sound.

Range and head are found first, on a few frames spread over the clip; then every frame is predicted once, coloured in
threads and written in order. Memory holds a few batches of frames, however long the clip is.

[`depth_video`] is the loop, which asks for predictions with a function and tells of each frame: the page shows how far
it is and can give the work up. [`predict_video`] runs it with a `Predictor`, in inverse depth.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from semidepth.media.clip_sample import ClipSample, sample_size, spread
from semidepth.media.color_maps import DEFAULT_COLOR_MAP, colorize, display_range
from semidepth.media.video_reading import (
    Frame,
    Sound,
    VideoInfo,
    read_frames,
    video_info,
)
from semidepth.media.video_writing import VideoWriter
from semidepth.prediction.predictor import (
    Prediction,
    Predictor,
    Unreadable,
    disparity_of,
)

Tell = Callable[[int, int], object]


@dataclass(frozen=True)
class FrameDepth:
    """Depth of one frame, in a unit that is the same for the whole clip.

    Args:
        frame: of the clip.
        full: gives (H, W) values at the frame's size; called in a thread.
        rough: gives the values at any size, for the range of colours.
        domain: name of the head that was used; None or "" for models without heads.
    """

    frame: Frame
    full: Callable[[], np.ndarray]
    rough: Callable[[], np.ndarray]
    domain: str | None


PredictFrames = Callable[[Iterator[Frame], str | None], Iterator[FrameDepth]]


@dataclass(frozen=True)
class VideoStep:
    """Progress of a video.

    Args:
        predicted: number of predictions made.
        predictions: about how many there will be: one for each frame, and a few more to find the range.
        written: number of frames written; 0 while the range is found.
    """

    predicted: int
    predictions: int
    written: int = 0


@dataclass(frozen=True)
class VideoResult:
    """Facts about a written video.

    Args:
        frames: number of frames written.
        audio: "copied", "none", or a sentence saying why the sound was left out.
        limits: smallest and largest value of the colours.
        domain: metric head that was used for all frames; None for models without heads.
    """

    frames: int
    audio: str
    limits: tuple[float, float]
    domain: str | None


def depth_video(
    source: Path,
    target: Path,
    predict: PredictFrames,
    *,
    info: VideoInfo,
    reverse: bool = False,
    color_map: str = DEFAULT_COLOR_MAP,
    side_by_side: bool = False,
    threads: int = 2,
    ahead: int = 6,
) -> Iterator[VideoStep | VideoResult]:
    """Writes a video's depth in colours, near is bright. Closing the generator early leaves no file.

    Args:
        source: the video.
        target: path ending in .mp4; the file appears when it is whole.
        predict: gives the depth of frames in order. Its second argument is the head to use for all of them, the one
            chosen most often before; None while that is not known, and for models without heads.
        info: facts about the source.
        reverse: the values are distances, larger is farther; else larger is nearer.
        color_map: of the colours.
        side_by_side: put the source's frames to the left of their depth.
        threads: number of threads that colour frames.
        ahead: number of frames that wait for them while the next are predicted; a batch and some.

    Yields:
        How far it is: at the start, after each prediction for the range, and after each frame. The result is last.

    Raises:
        ValueError: the source cannot be read, or is damaged.
    """
    looks, sample = sample_size(info.frames), ClipSample()
    yield VideoStep(0, looks + info.frames)
    for depth in predict(spread(read_frames(source), info.frames), None):
        sample.add(depth.rough(), depth.domain)
        yield VideoStep(sample.frames, max(looks + info.frames, sample.frames))
    limits = display_range(sample.values)

    def draw(depth: FrameDepth) -> np.ndarray:
        colors = colorize(depth.full(), limits, color_map, reverse=reverse)
        return np.concatenate([depth.frame.pixels, colors], axis=1) if side_by_side else colors

    width = info.width * (2 if side_by_side else 1)
    with VideoWriter(target, width, info.height, info.fps, sound=Sound(source)) as writer:
        for time_s, pixels in _drawn(predict(read_frames(source), sample.domain), draw, threads, ahead):
            writer.write(pixels, time_s)
            yield VideoStep(looks + writer.frames, looks + max(info.frames, writer.frames), writer.frames)
    yield VideoResult(writer.frames, writer.audio, limits, sample.domain)


def predict_video(
    predictor: Predictor,
    source: Path,
    target: Path,
    *,
    color_map: str = DEFAULT_COLOR_MAP,
    side_by_side: bool = False,
    tell: Tell | None = None,
) -> VideoResult:
    """Writes a video's inverse depth in colours, near is bright.

    Args:
        predictor: with its model on its device. Unless it has a domain of its own, the head that the router chooses
            most often is used for all frames.
        source: the video.
        target: path ending in .mp4; the file appears when it is whole.
        color_map: of the colours.
        side_by_side: put the source's frames to the left of their depth.
        tell: called with the number of predictions made and about how many there will be: one for each frame, and a
            few more to find the range.

    Returns:
        Facts about the video; its limits are inverse depth, 1/m for a metric model.

    Raises:
        ValueError: the source cannot be read, or is damaged.
    """

    def predict(frames: Iterator[Frame], domain: str | None) -> Iterator[FrameDepth]:
        return frame_depths(_steady(predictor, domain), frames)

    for step in depth_video(
        source, target, predict, info=video_info(source), color_map=color_map, side_by_side=side_by_side,
        threads=predictor.threads, ahead=predictor.batch_size + predictor.threads,
    ):  # fmt: skip
        if isinstance(step, VideoResult):
            return step
        if tell is not None:
            tell(step.predicted, step.predictions)
    raise RuntimeError("a video ended without a result")


def _steady(predictor: Predictor, domain: str | None) -> Predictor:
    """Returns a predictor that uses one head for all frames, if its model has that head to choose."""
    if domain not in predictor.model.domains:
        return predictor
    return Predictor(predictor.model, batch_size=predictor.batch_size, threads=predictor.threads, domain=domain)


def frame_depths(predictor: Predictor, frames: Iterator[Frame]) -> Iterator[FrameDepth]:
    """Predicts inverse depth (1/m of a metric model) of frames, in order.

    Raises:
        ValueError: the frames are damaged.
    """
    for result in predictor.run(frames, lambda frame: torch.from_numpy(frame.pixels).permute(2, 0, 1)):
        if isinstance(result, Unreadable):
            raise ValueError(result.reason)
        yield _inverse_depth(result, predictor)


def _inverse_depth(prediction: Prediction[Frame], predictor: Predictor) -> FrameDepth:
    return FrameDepth(
        prediction.item,
        full=lambda: disparity_of(prediction.full_size(), predictor.unit),
        rough=lambda: disparity_of(prediction.own_size(), predictor.unit),
        domain=prediction.domain,
    )


def _drawn(
    depths: Iterator[FrameDepth], draw: Callable[[FrameDepth], np.ndarray], threads: int, ahead: int
) -> Iterator[tuple[float, np.ndarray]]:
    """Time and picture of each frame in order, drawn in threads while the next frames are predicted."""
    drawing: deque[tuple[float, Future[np.ndarray]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="draw") as pool:
        for depth in depths:
            drawing.append((depth.frame.time_s, pool.submit(draw, depth)))
            while len(drawing) > ahead:
                time_s, drawn = drawing.popleft()
                yield time_s, drawn.result()
        for time_s, drawn in drawing:
            yield time_s, drawn.result()
