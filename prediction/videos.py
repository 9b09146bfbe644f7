"""Depth of a video as a video: one range of colours and one head over the whole clip, the source's times and sound.

Both are settled first, on frames spread over the clip; then every frame is predicted once, coloured in threads and
written in order. Memory holds a few batches of frames, however long the clip is.
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
    """What became of a video.

    Args:
        frames: how many were written.
        audio: "copied", "none", or a sentence saying why the sound was left out.
        limits: inverse depth shown darkest and brightest, 1/m for a metric model.
        domain: whose head a routed model took, for all frames; None for other models.
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
        predictor: with its model on its device. Without a domain of its own, the one is taken for all frames that the
            router prefers over the clip.
        source: the video.
        target: ending in .mp4; it is there when it is whole.
        color_map: of the colours.
        side_by_side: the source's frames to the left of their depth.
        tell: called with the number of frames predicted and (about) how many there are to predict: all of them, and
            the few on which the range is found.

    Returns:
        What was written.

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
    """What a model says of a few frames spread over a clip, as inverse depth (1/m of a metric model).

    Args:
        predictor: with its model.
        source: the video.
        frames: about how many it has.
        told: called with how many were predicted.
    """
    sample = ClipSample()
    for prediction in _predictions(predictor, spread(read_frames(source), frames)):
        sample.add(disparity_of(prediction.own_size(), predictor.unit), prediction.domain)
        told(sample.frames)
    return sample


def _in_order(
    predictor: Predictor, source: Path, draw: Callable[[Prediction[Frame]], np.ndarray]
) -> Iterator[tuple[float, np.ndarray]]:
    """Each frame's time and what is drawn of its depth, drawn in threads while the next ones are predicted."""
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
