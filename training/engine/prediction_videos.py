"""Depth of a video as a video: one range of colours over the whole clip, the source's times and sound.

A range for each frame would flicker. The clip's is found first, on frames spread over it; then every frame is predicted
once, coloured in threads and written in order. Memory holds a few batches of frames, however long the clip is.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from semidepth.training.engine.color_maps import DEFAULT_COLOR_MAP, colorize, display_range
from semidepth.training.engine.prediction import Prediction, Predictor, Unreadable, disparity_of
from semidepth.training.engine.videos import Frame, VideoWriter, read_frames, video_info

# Frames on which the range of colours is found: predicted once more, which costs a clip of a minute about 1 %.
RANGE_FRAMES = 24


@dataclass(frozen=True)
class VideoResult:
    """What became of a video.

    Args:
        frames: how many were written.
        audio: "copied", "none", or a sentence saying why the sound was left out.
        limits: inverse depth shown darkest and brightest, 1/m for a metric model.
    """

    frames: int
    audio: str
    limits: tuple[float, float]


def predict_video(
    predictor: Predictor,
    source: Path,
    target: Path,
    *,
    color_map: str = DEFAULT_COLOR_MAP,
    side_by_side: bool = False,
    tell: Callable[[int, int], object] | None = None,
) -> VideoResult:
    """Writes a video's depth in colours, near is bright.

    Args:
        predictor: with its model on its device.
        source: the video.
        target: ending in .mp4; it is there when it is whole.
        color_map: of the colours.
        side_by_side: the source's frames to the left of their depth.
        tell: called with the number of frames predicted and (about) how many there are.

    Returns:
        What was written.

    Raises:
        ValueError: the source cannot be read, or is damaged.
    """
    info = video_info(source)
    limits = clip_range(predictor, source, info.frames)

    def color(prediction: Prediction[Frame]) -> np.ndarray:
        colors = colorize(disparity_of(prediction.full_size(), predictor.unit), limits, color_map)
        return np.concatenate([prediction.item.pixels, colors], axis=1) if side_by_side else colors

    width = info.width * (2 if side_by_side else 1)
    coloring: deque[tuple[float, Future[np.ndarray]]] = deque()
    with (
        VideoWriter(target, width, info.height, info.fps, audio_from=source) as writer,
        ThreadPoolExecutor(predictor.threads, thread_name_prefix="color") as pool,
    ):

        def write_next() -> None:
            time_s, colors = coloring.popleft()
            writer.write(colors.result(), time_s)
            if tell is not None:
                tell(writer.frames, max(info.frames, writer.frames))

        for prediction in _predictions(predictor, read_frames(source)):
            coloring.append((prediction.item.time_s, pool.submit(color, prediction)))
            while len(coloring) > predictor.batch_size + predictor.threads:
                write_next()
        while coloring:
            write_next()
    return VideoResult(writer.frames, writer.audio, limits)


def clip_range(predictor: Predictor, source: Path, frames: int) -> tuple[float, float]:
    """Inverse depth shown darkest and brightest all over a clip: the 1st and 99th percentile over frames spread in it.

    Args:
        predictor: with its model.
        source: the video.
        frames: about how many it has.

    Returns:
        Low and high, of inverse depth (1/m for a metric model).
    """
    step = max(1, -(-frames // RANGE_FRAMES))
    some = (frame for number, frame in enumerate(read_frames(source)) if number % step == step // 2 or frames < 2)
    values = [
        disparity_of(prediction.values.numpy(), predictor.unit).ravel() for prediction in _predictions(predictor, some)
    ]
    return display_range(np.concatenate(values)) if values else (0.0, 1.0)


def _predictions(predictor: Predictor, frames: Iterator[Frame]) -> Iterator[Prediction[Frame]]:
    for result in predictor.run(frames, lambda frame: torch.from_numpy(frame.pixels).permute(2, 0, 1)):
        if isinstance(result, Unreadable):
            raise ValueError(result.reason)
        yield result
