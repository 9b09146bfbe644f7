"""Clips as cameras, phones, browsers and screen recorders write them, small and seeded."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT = 64, 48


def corner(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(height, width, 3): a red upper left quarter on black."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    return pixels


def noise(number: int) -> np.ndarray:
    """(48, 64, 3) pixels that do not compress, so that every frame has its share of the file."""
    return np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def make_video(
    path: Path,
    *,
    frames: int | Sequence[np.ndarray] = 10,
    audio: str | None = None,
    audio_s: float = 1.0,
    rotation: int = 0,
    times: Sequence[float] | None = None,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    pixel_shape: Fraction | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """A video at ten frames per second, or at those times.

    Args:
        path: its ending says what is written.
        frames: (H, W, 3) uint8 of one size, or how many that are all `corner`.
        audio: codec of a tone; None: no sound.
        audio_s: seconds of it.
        rotation: degrees, in the display matrix.
        times: of the frames, seconds.
        codec: of the frames.
        pixel_format: of the frames.
        pixel_shape: width of a pixel over its height; None: square.
        options: of the container; `{"live": "1"}` writes WebM as browsers record it, without a length.
    """
    images = [corner()] * frames if isinstance(frames, int) else frames
    with av.open(str(path), "w", options=options or {}) as output:
        stream = output.add_stream(codec, rate=10)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = Fraction(1, 1000)
        if pixel_shape is not None:
            stream.codec_context.sample_aspect_ratio = pixel_shape
        if rotation:
            stream.set_display_rotation(rotation)
        sound = output.add_stream(audio, rate=48000) if audio else None
        for number, pixels in enumerate(images):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts = round(1000 * (number / 10 if times is None else times[number]))
            frame.time_base = Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound is not None:
            tone = (8000 * np.sin(np.arange(round(48000 * audio_s)) / 48000 * 2 * np.pi * 440)).astype(np.int16)
            samples = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
            samples.sample_rate, samples.pts = 48000, 0
            output.mux(sound.encode(samples))
            output.mux(sound.encode(None))
    return path


def write_clip(path: Path, frames: int = 12, size: tuple[int, int] = (64, 48)) -> Path:
    """A clip of moving stripes with a tone."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        sound = output.add_stream("aac", rate=44100, layout="mono")
        for number in range(frames):
            stripes = (np.arange(size[0]) * 8 + number * 9) % 256
            pixels = np.repeat(np.tile(stripes, (size[1], 1))[..., None], 3, axis=2).astype(np.uint8)
            output.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        tone = np.sin(np.arange(frames * 4410) / 20).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.rate = 44100
        output.mux(sound.encode(frame))
        output.mux([*video.encode(None), *sound.encode(None)])
    return path
