"""Converts files into files: reads what is given, makes what is asked for, and writes each result whole."""

import io
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from semidepth.common.files import remove_leftovers, write_whole
from semidepth.data.decoding import (
    DECODING_ERRORS,
    BrokenSampleError,
    cause_of,
    check_pixels,
    decode_turned,
    load_pixels,
    open_picture,
)
from semidepth.data.depth_coding import LabelOptions
from semidepth.data.depth_decoding import decode_depth
from semidepth.data.depth_files import turns_itself
from semidepth.data.orientation import turn_with_image
from semidepth.data.source_options import FILE_OPTIONS
from semidepth.data.source_spec import split_options
from semidepth.media.class_maps import class_picture, classes_of
from semidepth.media.color_maps import colorize
from semidepth.media.normals import normals_of, normals_picture
from semidepth.media.tiff_layouts import check_layout
from semidepth.prediction.any_to_any.conversion import Converted, check_names
from semidepth.prediction.any_to_any.conversion import convert as convert_one
from semidepth.prediction.any_to_any.model import AnyToAny, load_any_to_any
from semidepth.prediction.any_to_any.options import ENDS, ConvertOptions
from semidepth.prediction.files import NO_ROOM
from semidepth.prediction.formats import to_16_bit
from semidepth.prediction.predictor import disparity_of
from semidepth.prediction.record import FileState, Maker, PredictionRecord
from semidepth.prediction.report import Failure, Report, Result
from semidepth.prediction.runtimes.cached import own_config

logger = logging.getLogger(__name__)

# Of a depth map's options, as sources have them, those that say how its numbers are meant.
DEPTH_OPTIONS = (
    "key", "kind", "depth_scale", "depth_shift", "near", "zero", "unknown", "sky", "min_depth_m", "max_depth_m",
    "label_frame",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One picture and its results: the file that names them, None of a sentence alone, and the photo, if there is one.

    Args:
        file: whose name the results have.
        photo: of the picture.
        paths: results, by what they are.
    """

    file: Path
    photo: Path | None
    paths: dict[str, list[Path]]


def convert_files(options: ConvertOptions, files: Sequence[tuple[Path, Path]], report: Report) -> None:
    """Converts photos, or what else is given, and fills the report.

    Args:
        options: of the command.
        files: photos and the names of their results; empty: only what the options give.
        report: is filled.

    Raises:
        ValueError: the model, or what is given beside photos, is not usable.
    """
    beside = read_beside(options, files[0][0] if files else None)
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    model = load_any_to_any(options.model, device)
    check_names(model, options.to)
    if options.from_semantics is not None:
        classes = model.model.config.modality("tok_semantic").classes or []
        beside["semantics"] = classes_of(_opened(options.from_semantics), len(classes), str(options.from_semantics))
    maker = Maker.of(model.model, [repr(model.preprocessing), own_config(model.model)])
    record = PredictionRecord(options.output)
    named: list[tuple[Path, Path | None, Path]] = [(file, file, name) for file, name in files]
    named = named or [(_named_by(options), None, Path(_named_by(options).stem))]
    report.inputs = len(named) + len(report.broken)
    for file, photo, name in named:
        ends: dict[str, list[Path]] = {
            made: [options.output / name.with_name(name.name + end) for end in ENDS[made]] for made in options.to
        }
        if not report.stopped:
            _convert_file(Job(file, photo, ends), options, beside, model, maker, record, report)


def read_beside(options: ConvertOptions, photo: Path | None) -> dict[str, Any]:
    """What is given beside photos, as [`conversion.convert`] takes it; semantics are read with the model at hand.

    Args:
        options: of the command.
        photo: the first one, in whose frame a depth map is brought.

    Raises:
        ValueError: in one sentence, where a file cannot be read.
    """
    found: dict[str, Any] = {"caption": options.caption} if options.caption is not None else {}
    if options.from_ is not None:
        found["depth"] = read_depth(options.from_, photo)
    if options.from_normals is not None:
        found["normals"] = normals_of(np.asarray(_opened(options.from_normals).convert("RGB")))
    return found


def read_depth(spec: str, photo: Path | None = None) -> np.ndarray:
    """Returns the metres of a depth map, (H, W) float32, NaN unknown, inf sky.

    Args:
        spec: a file, then options as sources have them: `depth.png?depth_scale=0.001`.
        photo: that it belongs to. If its EXIF data turn it, the map is turned, too, as labels of sources are: by
            `label_frame`, else as its shape says, else as the photo.

    Raises:
        ValueError: an option that is not known, or a file that is no depth map or lacks a scale.
    """
    location, given = split_options(spec)
    values: dict[str, Any] = {}
    for key, text in given.items():
        if key not in DEPTH_OPTIONS:
            raise ValueError(f"--from {spec!r} has the option {key!r}; known are {', '.join(DEPTH_OPTIONS)}.")
        try:
            values[key] = FILE_OPTIONS[key](text)
        except ValueError as error:
            raise ValueError(f"--from {spec!r}: {key} {error}, got {text!r}.") from None
    if not Path(location).is_file():
        raise ValueError(f"--from {location!r}: no such file.")
    labels = LabelOptions(**values)
    depth = decode_depth(location, labels.coding(), key=labels.key)
    if photo is not None:
        try:
            upright, orientation = decode_turned(photo)
        except BrokenSampleError:  # told when its turn comes
            return depth.numpy()
        if orientation != 1:
            frame = labels.label_frame or ("upright" if turns_itself(Path(location)) else None)
            depth = turn_with_image(depth, upright, orientation, frame)
            logger.warning(
                "%s is turned by its EXIF data (orientation %d), and %s is taken to lie as %s; add label_frame=stored "
                "or label_frame=upright to --from to say how it lies",
                photo, orientation, location, frame or "its shape says, or else as the photo's stored pixels",
            )  # fmt: skip
    return depth.numpy()


def _opened(path: Path) -> Image.Image:
    if not path.is_file():
        raise ValueError(f"{path}: no such file.")
    try:
        picture = open_picture(path.read_bytes())
        check_pixels(picture.size, str(path))
        check_layout(picture)
        load_pixels(picture)
    except BrokenSampleError:
        raise
    except DECODING_ERRORS as error:
        raise ValueError(f"{path} cannot be read as a picture: {cause_of(error)}.") from error
    return picture


def _named_by(options: ConvertOptions) -> Path:
    """Returns the file whose name results have where there is no photo."""
    depth = None if options.from_ is None else Path(split_options(options.from_)[0])
    return depth or options.from_normals or options.from_semantics or Path("caption")


def _convert_file(
    job: Job,
    options: ConvertOptions,
    beside: dict,
    model: AnyToAny,
    maker: Maker,
    record: PredictionRecord,
    report: Report,
) -> None:
    """Converts one picture and writes its results; what fails goes to the report."""
    matter, every = options.that_matter(), [path for paths in job.paths.values() for path in paths]
    try:
        source = FileState.of(job.file) if job.file.exists() else FileState("", 0, 0, "-")
        objection = None
        for path in every:
            if path.exists() and not options.overwrite and objection is None:
                objection = record.objection(path, source, maker, matter)
        if objection:
            text = f"{objection}; --overwrite replaces it, or give another --output."
            report.broken[job.file] = Failure("not replaced", text)
            return
        if not options.overwrite and all(path.exists() for path in every):
            report.kept.append(Result(job.file, every))
            return
        remove_leftovers(every)
        made = convert_one(
            job.photo, options.to, model, **beside, steps=options.steps, chain=options.chain, top_p=options.top_p,
            temperature=options.temperature, guidance=options.guidance, seed=options.seed,
        )  # fmt: skip
        for name, paths in job.paths.items():
            for path, content in zip(paths, contents(name, made), strict=True):
                with ExitStack() as stack:
                    stack.enter_context(record.making(path, source, maker, matter))
                    write_whole(path, content)
        report.results.append(Result(job.file, every, note=made.caption))
    except BrokenSampleError as error:
        report.broken[job.file] = Failure("not read", str(error))
    except OSError as error:
        if error.errno in NO_ROOM:
            report.stopped = f"{options.output} cannot be written to any more ({error.strerror or error})"
        else:
            report.broken[job.file] = Failure("not written", str(error))


def contents(name: str, made: Converted) -> list[bytes]:
    """Returns contents of the result files of a modality, in the order of their ends."""
    if name == "caption":
        return [f"{made.caption}\n".encode()]
    if name == "normals":
        return [_png(Image.fromarray(normals_picture(made.normals)))]  # type: ignore[arg-type]
    if name == "semantics":
        return [_png(class_picture(made.semantics, len(made.classes)))]  # type: ignore[arg-type]
    if name == "rgb":
        return [_png(Image.fromarray(made.rgb))]  # type: ignore[arg-type]
    metres = made.depth
    assert metres is not None
    raw = io.BytesIO()
    np.save(raw, metres, allow_pickle=False)
    colours = colorize(disparity_of(metres, "m"))
    return [_png(Image.fromarray(to_16_bit(metres, "m"))), raw.getvalue(), _png(Image.fromarray(colours))]


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
