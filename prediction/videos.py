"""Depth of a video as a video: one range of colours and one head for the whole clip, with its times and its sound.

Range and head are found first, on a few frames spread over the clip; then every frame is predicted once, coloured in
threads and written in order. Memory holds a few batches of frames, however long the clip is.
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
class VideoResult:
    """Facts about a written video.

    Args:
        frames: number of frames written.
        audio: "copied", "none", or a sentence saying why the sound was left out.
        limits: inverse depth of the darkest and the brightest colour, 1/m for a metric model.
        domain: metric head that was used for all frames; None for models without heads.
    """

    frames: int
    audio: str
    limits: tuple[float, float]
    domain: str | None


def predict_video(
    predictor: Predictor,
    source: Path,
    target: Path,
    *,
    color_map: str = DEFAULT_COLOR_MAP,
    side_by_side: bool = False,
    tell: Tell | None = None,
) -> VideoResult:
    """Writes a video's depth in colours, near is bright.

    Args:
        predictor: with its model on its device. Unless it has a domain of its own, the head that the router chooses
            most often is used for all frames.
        source: the video.
        target: path ending in .mp4; the file appears when it is whole.
        color_map: of the colours.
        side_by_side: put the source's frames to the left of their depth.
        tell: called with the number of predictions made and about how many there will be: one for each frame, and a
            few more to find the range.

    Raises:
        ValueError: the source cannot be read, or is damaged.
    """
    info = video_info(source)
    looks = sample_size(info.frames)

    def told(done: int) -> None:
        if tell is not None:
            tell(done, max(looks + info.frames, done))

    sample = sample_clip(predictor, source, info.frames, told)
    limits = display_range(sample.values)

    def color(prediction: Prediction[Frame]) -> np.ndarray:
        colors = colorize(disparity_of(prediction.full_size(), predictor.unit), limits, color_map)
        return np.concatenate([prediction.item.pixels, colors], axis=1) if side_by_side else colors

    steady = Predictor(
        predictor.model,
        batch_size=predictor.batch_size,
        threads=predictor.threads,
        domain=sample.domain if sample.domain in predictor.model.domains else None,
    )
    width = info.width * (2 if side_by_side else 1)
    with VideoWriter(target, width, info.height, info.fps, sound=Sound(source)) as writer:
        for time_s, pixels in _in_order(steady, source, color):
            writer.write(pixels, time_s)
            told(looks + writer.frames)
    return VideoResult(writer.frames, writer.audio, limits, sample.domain)


def sample_clip(
    predictor: Predictor, source: Path, frames: int, told: Callable[[int], object] = lambda done: None
) -> ClipSample:
    """Inverse depth (1/m of a metric model) and heads of a few frames spread over a clip.

    Args:
        predictor: with its model.
        source: the video.
        frames: about how many frames it has.
        told: called with the number of predictions made.
    """
    sample = ClipSample()
    for prediction in _predictions(predictor, spread(read_frames(source), frames)):
        sample.add(disparity_of(prediction.own_size(), predictor.unit), prediction.domain)
        told(sample.frames)
    return sample


def _in_order(
    predictor: Predictor, source: Path, draw: Callable[[Prediction[Frame]], np.ndarray]
) -> Iterator[tuple[float, np.ndarray]]:
    """Time and picture of each frame, drawn in threads while the next frames are predicted."""
    drawing: deque[tuple[float, Future[np.ndarray]]] = deque()
    with ThreadPoolExecutor(predictor.threads, thread_name_prefix="draw") as pool:
        for prediction in _predictions(predictor, read_frames(source)):
            drawing.append((prediction.item.time_s, pool.submit(draw, prediction)))
            while len(drawing) > predictor.batch_size + predictor.threads:
                time_s, drawn = drawing.popleft()
                yield time_s, drawn.result()
        for time_s, drawn in drawing:
            yield time_s, drawn.result()


def _predictions(predictor: Predictor, frames: Iterator[Frame]) -> Iterator[Prediction[Frame]]:
    for result in predictor.run(frames, lambda frame: torch.from_numpy(frame.pixels).permute(2, 0, 1)):
        if isinstance(result, Unreadable):
            raise ValueError(result.reason)
        yield result
