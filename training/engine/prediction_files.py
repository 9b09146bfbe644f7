"""Predictions of files into files: formats, what is kept, what could not be read."""

import contextlib
import io
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from semidepth.training.data.decoding import BrokenSampleError, decode_image
from semidepth.training.engine.color_maps import colorize, display_range, legend
from semidepth.training.engine.depth_models import DepthModel
from semidepth.training.engine.pictures import to_array, write_whole
from semidepth.training.engine.point_clouds import to_ply, to_points, unproject
from semidepth.training.engine.prediction import Prediction, Predictor, Unit, Unreadable, disparity_of
from semidepth.training.engine.prediction_inputs import IN_SPACE, PredictionOptions, is_video
from semidepth.training.engine.tracking import bar_interval_s

MAX_16_BIT = 65535
MILLIMETRES = 1000
MESH_VERTICES = 1_000_000  # of a larger image every second, third, ... pixel is taken
PNG_LEVEL = 1  # of zlib: a few per cent larger than the usual 6, and several times as quick


@dataclass(frozen=True)
class Result:
    """What one input came to.

    Args:
        input: the file.
        files: that were written.
        domain: whose head a routed model took; None for other models. A video has one for all of it.
        note: something worth telling, such as sound that was left out.
    """

    input: Path
    files: list[Path]
    domain: str | None = None
    note: str | None = None


@dataclass
class Report:
    """What all inputs came to.

    Args:
        results: of those that were predicted.
        kept: inputs whose results were all there.
        broken: inputs that could not be read, or whose results could not be made, with the reason.
    """

    results: list[Result] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    broken: dict[Path, str] = field(default_factory=dict)


def predict_files(
    model: DepthModel, files: Sequence[tuple[Path, Path]], output: Path, options: PredictionOptions | None = None
) -> Report:
    """Predicts files and writes their results, each under its final name only when it is whole.

    Args:
        model: on its device.
        files: (file, name of its results) from `find_inputs`.
        output: folder of the results.
        options: see [`PredictionOptions`].

    Returns:
        What became of each file; nothing is raised for one that is broken.

    Raises:
        ValueError: model and options do not fit, or a package is missing; before anything is predicted.
    """
    options = options or PredictionOptions()
    check_options(model, files, options)
    predictor = Predictor(model, batch_size=options.batch_size, threads=options.threads, domain=options.domain)
    report = Report()
    todo: list[tuple[Path, Path]] = []
    for file, name in files:
        paths = result_paths(file, output / name, options).values()
        if not options.overwrite and all(path.exists() for path in paths):
            report.kept.append(file)
        else:
            todo.append((file, output / name))
    with tqdm(total=len(todo), desc="predict", unit="img", dynamic_ncols=True, mininterval=bar_interval_s()) as bar:
        _predict_images(predictor, [pair for pair in todo if not is_video(pair[0])], options, report, bar.update)
        for file, target in todo:
            if is_video(file):
                _predict_video(predictor, file, target, options, report)
                bar.update(1)
    order = {file: number for number, (file, _) in enumerate(files)}
    report.results.sort(key=lambda result: order[result.input])
    report.broken = dict(sorted(report.broken.items(), key=lambda pair: order[pair[0]]))
    return report


def check_options(model: DepthModel, files: Sequence[tuple[Path, Path]], options: PredictionOptions) -> None:
    """Raises ValueError where model, files and options do not fit, or a package is missing."""
    needing = [name for name in IN_SPACE if name in options.formats]
    if needing and model.kind != "depth":
        raise ValueError(
            f"--format {needing[0]} needs metres and this model predicts inverse depth; take a metric one."
        )
    videos = [file for file, _ in files if is_video(file)]
    if videos and "color" not in options.formats:
        raise ValueError(f"{videos[0]} is a video, of which only colours are made; add color to --format.")
    for package, needed, what in (
        ("av", bool(videos), "videos"),
        ("trimesh", "glb" in options.formats, "--format glb"),
    ):
        if needed and find_spec(package) is None:
            raise ValueError(f"{what} need the package {package}; pip install 'semidepth[media]'.")


def result_paths(file: Path, target: Path, options: PredictionOptions) -> dict[str, Path]:
    """Format -> the file that it is written to."""
    return {name: target.with_name(target.name + end) for name, end in options.result_suffixes(file).items()}


def write_results(
    values: np.ndarray,
    unit: Unit,
    paths: dict[str, Path],
    options: PredictionOptions,
    image: Callable[[], np.ndarray] | None = None,
) -> list[Path]:
    """Writes the files of one image.

    Args:
        values: (H, W) float32, metres or inverse depth.
        unit: which of the two.
        paths: format -> file.
        options: see [`PredictionOptions`].
        image: gives (H, W, 3) uint8 where points or a mesh need colours.

    Returns:
        The files that were written; those that were there stay, unless options say otherwise.
    """
    missing = {name: path for name, path in paths.items() if options.overwrite or not path.exists()}
    pixels = image() if image is not None and any(name in missing for name in IN_SPACE) else None
    for name, path in missing.items():
        write_whole(path, _encode(name, values, unit, options, pixels))
    return list(missing.values())


def to_16_bit(values: np.ndarray, unit: Unit) -> np.ndarray:
    """A map as uint16: millimetres for metres (0 where unknown), the image's own range for inverse depth.

    Args:
        values: (H, W) float32, metres or inverse depth.
        unit: which of the two.

    Returns:
        (H, W) uint16.
    """
    known = np.isfinite(values)
    if unit == "m":
        return np.where(known, np.clip(np.round(values * MILLIMETRES), 0, MAX_16_BIT), 0).astype(np.uint16)
    if not known.any():
        return np.zeros(values.shape, np.uint16)
    low, high = values[known].min(), values[known].max()
    scaled = (np.where(known, values, low) - low) / max(high - low, 1e-12)
    return np.round(scaled * MAX_16_BIT).astype(np.uint16)


def _encode(name: str, values: np.ndarray, unit: Unit, options: PredictionOptions, pixels: np.ndarray | None) -> bytes:
    """The content of one result."""
    buffer = io.BytesIO()
    if name == "npy":
        np.save(buffer, values, allow_pickle=False)
    elif name == "png16":
        Image.fromarray(to_16_bit(values, unit)).save(buffer, "PNG", compress_level=PNG_LEVEL)
    elif name == "color":
        _color_picture(values, unit, options).save(buffer, "PNG", compress_level=PNG_LEVEL)
    elif pixels is not None:
        metres = np.where(values <= (options.far_m or np.inf), values, np.nan)
        focal_px = options.camera.focal(values.shape[1])
        if name == "ply":
            return to_ply(*to_points(metres, pixels, focal_px))
        from semidepth.training.engine.meshes import mesh_to_glb, to_mesh  # trimesh is of choice

        return mesh_to_glb(to_mesh(unproject(metres, focal_px), pixels, max_vertices=MESH_VERTICES), pixels)
    return buffer.getvalue()


def _color_picture(values: np.ndarray, unit: Unit, options: PredictionOptions) -> Image.Image:
    disparity = disparity_of(values, unit)
    limits = display_range(disparity)
    picture = Image.fromarray(colorize(disparity, limits, options.color_map))
    if not options.legend:
        return picture
    metric = unit == "m"
    bar = legend(limits, options.color_map, unit="m" if metric else None, inverse=metric, width=picture.width)
    canvas = Image.new("RGB", (picture.width, picture.height + bar.height))
    canvas.paste(picture, (0, 0))
    canvas.paste(bar, (0, picture.height))
    return canvas


def _predict_images(
    predictor: Predictor,
    todo: Sequence[tuple[Path, Path]],
    options: PredictionOptions,
    report: Report,
    tell: Callable[[int], Any],
) -> None:
    """Predicts and writes; writing overlaps with the model, which waits for whoever is slower."""

    def write(prediction: Prediction[tuple[Path, Path]]) -> Result:
        file, target = prediction.item
        # Colours are decoded once more where they are needed, so that no photo waits in memory for its turn.
        files = write_results(
            prediction.full_size(), predictor.unit, result_paths(file, target, options), options,
            lambda: to_array(decode_image(file)),
        )  # fmt: skip
        return Result(file, files, prediction.domain)

    def settle(file: Path, written: Future[Result]) -> None:
        tell(1)
        try:
            report.results.append(written.result())
        except (BrokenSampleError, ValueError, OSError) as error:
            report.broken[file] = str(error)

    writing: deque[tuple[Path, Future[Result]]] = deque()
    with ThreadPoolExecutor(options.threads, thread_name_prefix="write") as pool:
        for result in predictor.run(todo, lambda pair: decode_image(pair[0])):
            if isinstance(result, Unreadable):
                report.broken[result.item[0]] = result.reason
                tell(1)
                continue
            writing.append((result.item[0], pool.submit(write, result)))
            while len(writing) > options.batch_size + 2 * options.threads:
                settle(*writing.popleft())
        while writing:
            settle(*writing.popleft())


def _predict_video(predictor: Predictor, file: Path, target: Path, options: PredictionOptions, report: Report) -> None:
    from semidepth.training.engine.prediction_videos import predict_video  # av is of choice

    path = result_paths(file, target, options)["color"]
    try:
        with frame_bar(file.name) as tell:
            made = predict_video(
                predictor, file, path, color_map=options.color_map, side_by_side=options.side_by_side, tell=tell
            )
    except Exception as error:  # codecs raise kinds of their own; the other inputs go on
        report.broken[file] = str(error) or type(error).__name__
        return
    note = None if made.audio in ("copied", "none") else made.audio
    report.results.append(Result(file, [path], domain=made.domain, note=note))


@contextlib.contextmanager
def frame_bar(name: str) -> Iterator[Callable[[int, int], Any]]:
    """A progress bar over the frames of a video: to be told how many are done, and of how many."""
    with tqdm(
        desc=name, unit="frame", dynamic_ncols=True, leave=False, file=sys.stderr, mininterval=bar_interval_s()
    ) as bar:

        def tell(done: int, total: int) -> None:
            bar.total = max(total, done)
            bar.update(done - bar.n)

        yield tell
