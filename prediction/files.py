"""Predict files into files: plan, predict, write, and report what was kept and what failed."""

import errno
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from semidepth.common.console import Progress
from semidepth.common.files import remove_leftovers, write_whole
from semidepth.data.decoding import BrokenSampleError, decode_image
from semidepth.data.samples import to_array
from semidepth.prediction.formats import encode
from semidepth.prediction.models import DepthModel
from semidepth.prediction.options import FORMATS, IN_SPACE, VIDEO_RESULT, ResultOptions, is_video
from semidepth.prediction.predictor import (
    NotFinite,
    Prediction,
    Predictor,
    Unreadable,
)
from semidepth.prediction.record import FileState, Maker, PredictionRecord
from semidepth.prediction.report import Failure, Report, Result
from semidepth.prediction.runtimes.cached import seen_of

# After one of these no other result can be written either.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class FileTask:
    """One input and its results.

    Args:
        file: the input.
        source: its state when it was found.
        paths: format -> path of the result.
        made: results written so far.
    """

    file: Path
    source: FileState
    paths: dict[str, Path]
    made: list[Path] = field(default_factory=list)


def predict_files(
    model: DepthModel,
    files: Sequence[tuple[Path, Path]],
    output: Path,
    options: ResultOptions | None = None,
    report: Report | None = None,
) -> Report:
    """Predicts files and writes their results, each under its final name only when it is whole.

    Args:
        model: on its device.
        files: (file, name of its results) from `find_inputs`.
        output: folder of the results.
        options: see [`ResultOptions`].
        report: is filled on the way, so that an interrupted caller has it; may hold inputs that were not found.

    Returns:
        The report; a broken file raises nothing.

    Raises:
        ValueError: model and options do not fit, or a package is missing; raised before anything is predicted.
    """
    options, report = options or ResultOptions(), report or Report()
    check_options(model, files, options)
    report.inputs = len(files) + len(report.broken)
    predictor = Predictor(model, batch_size=options.batch_size, threads=options.threads, domain=options.domain)
    report.unit = predictor.unit
    writer = Writer(predictor, output, options, report)
    todo = writer.plan(files)
    order = {file: number for number, (file, _) in enumerate(files)}
    try:
        with Progress(len(todo), "predict", "img") as progress:
            writer.predict_images([task for task in todo if not is_video(task.file)], progress.update)
            for task in todo:
                if is_video(task.file) and not report.stopped:
                    writer.predict_video(task)
                    progress.update(1)
    finally:  # also where the caller is interrupted
        report.results.sort(key=lambda result: order[result.input])
        report.broken = dict(sorted(report.broken.items(), key=lambda pair: order.get(pair[0], len(order))))
    return report


def check_options(model: DepthModel, files: Sequence[tuple[Path, Path]], options: ResultOptions) -> None:
    """Raises ValueError where model, files and options do not fit, or a package is missing."""
    if set(IN_SPACE) & set(options.formats) and model.kind != "depth":
        given = f"{options.camera.option} is for" if options.camera.option else "--format names"
        raise ValueError(
            f"{given} points and meshes ({', '.join(IN_SPACE)}), which need metres, and this model predicts inverse "
            "depth; leave them out, or take a metric model."
        )
    videos = [file for file, _ in files if is_video(file)]
    if videos and "color" not in options.formats:
        raise ValueError(f"{videos[0]} is a video, of which only colours are made; add color to --format.")
    if options.side_by_side and not videos:
        raise ValueError("--side_by_side is for videos and none is among the inputs; leave it out.")
    if options.legend and len(videos) == len(files):
        raise ValueError("--legend is for coloured pictures and all inputs are videos; leave it out.")
    for package, needed, what in (
        ("av", bool(videos), "videos"),
        ("trimesh", "glb" in options.formats, "--format glb"),
    ):
        if needed and find_spec(package) is None:
            raise ValueError(f"{what} need the package {package}; pip install 'semidepth[media]'.")


def maker_of(model: DepthModel) -> Maker:
    """Name of a model, and a digest of its weights, configuration, preprocessing and way of enlarging maps."""
    return Maker.of(model.model, seen_of(model))


class Writer:
    """Predicts tasks, writes their results and fills the report.

    Args:
        predictor: with its model on its device.
        output: folder of the results.
        options: see [`ResultOptions`].
        report: results and failures so far.

    Raises:
        ValueError: the folder's record is another kind of file.
    """

    def __init__(self, predictor: Predictor, output: Path, options: ResultOptions, report: Report) -> None:
        self.predictor = predictor
        self.output = output
        self.options = options
        self.report = report
        self.record = PredictionRecord(output)
        self.maker = maker_of(predictor.model)

    def plan(self, files: Sequence[tuple[Path, Path]]) -> list[FileTask]:
        """Tasks to predict: without inputs whose results exist, and without those that would overwrite other files."""
        inputs = {file.resolve() for file, _ in files}
        taken = {(is_video(file), name) for file, name in files}
        folder = self.output.resolve()
        todo = []
        for file, found_name in files:
            try:
                source = FileState.of(file)
                name = self._earlier_name(file, found_name, source, taken)
                ends = self.options.result_suffixes(file)
                paths = {form: self.output / name.with_name(name.name + end) for form, end in ends.items()}
                own = [path for path in paths.values() if folder / path.relative_to(self.output) in inputs]
                task = FileTask(file, source, paths)
                objection = f"{own[0]} is itself an input; give another --output." if own else self._objection(task)
            except OSError as error:
                self.report.broken[file] = Failure("not read", str(error))
                continue
            if objection:
                self.report.broken[file] = Failure("not replaced", objection)
            elif self.options.overwrite or not all(path.exists() for path in paths.values()):
                todo.append(task)
            else:
                self.report.kept.append(Result(file, list(paths.values())))
        remove_leftovers(path for task in todo for path in task.paths.values())
        return todo

    def _earlier_name(self, file: Path, name: Path, source: FileState, taken: set[tuple[bool, Path]]) -> Path:
        """The short name of an input's results from an earlier run in which the name was unique, else `name`."""
        if name.name == file.name:
            ends = [VIDEO_RESULT] if is_video(file) else list(FORMATS.values())
            for earlier in self.record.names_of(source, ends):
                if earlier.name == file.stem and (is_video(file), earlier) not in taken:
                    taken.add((is_video(file), earlier))
                    return earlier
        return name

    def _objection(self, task: FileTask) -> str | None:
        for form, path in task.paths.items():
            if path.exists() and not self.options.overwrite:
                matter = self.options.that_matter(form, task.file)
                objection = self.record.objection(path, task.source, self.maker, matter)
                if objection:
                    return f"{objection}; --overwrite replaces it, or give another --output."
        return None

    def predict_images(self, tasks: Sequence[FileTask], tell: Callable[[int], Any]) -> None:
        """Predicts images and writes their results in threads; the slower of the two sets the pace."""

        def decode(task: FileTask) -> torch.Tensor:
            content = task.file.read_bytes()
            task.source.sha256 = hashlib.sha256(content).hexdigest()
            return decode_image(content, name=str(task.file))

        def settle(task: FileTask, written: "Future[Result]") -> None:
            tell(1)
            try:
                self.report.results.append(written.result())
            except Exception as error:
                self._fail(task, error)

        writing: deque[tuple[FileTask, Future[Result]]] = deque()
        with ThreadPoolExecutor(self.options.threads, thread_name_prefix="write") as pool:
            try:
                for result in self.predictor.run(tasks, decode):
                    if isinstance(result, Unreadable):
                        failure = Failure("not made" if isinstance(result, NotFinite) else "not read", result.reason)
                        self.report.broken[result.item.file] = failure
                        tell(1)
                        continue
                    writing.append((result.item, pool.submit(self._write, result)))
                    while len(writing) > self.options.batch_size + 2 * self.options.threads:
                        settle(*writing.popleft())
                    if self.report.stopped:
                        break
            finally:  # what is predicted is written, also where the run is interrupted
                while writing:
                    settle(*writing.popleft())

    def predict_video(self, task: FileTask) -> None:
        """Predicts a video and writes it in colours."""
        from semidepth.prediction.videos import predict_video

        path = task.paths["color"]
        options = self.options
        try:
            # The record wants the content's digest, which is made first: a video is read whole anyway.
            with (
                self.record.making(path, task.source, self.maker, options.that_matter("color", task.file)),
                Progress(None, task.file.name, "frame") as progress,
            ):
                made = predict_video(
                    self.predictor, task.file, path,
                    color_map=options.color_map, side_by_side=options.side_by_side, tell=progress.at,
                )  # fmt: skip
        except Exception as error:  # codecs raise kinds of their own; the other inputs go on
            self._fail(task, error)
            return
        note = None if made.audio in ("copied", "none") else made.audio
        self.report.results.append(Result(task.file, [path], domain=made.domain, note=note))

    def _write(self, prediction: Prediction[FileTask]) -> Result:
        """Writes the missing results of one image, or all of them with --overwrite."""
        task, values = prediction.item, prediction.full_size()
        missing = {form: path for form, path in task.paths.items() if self.options.overwrite or not path.exists()}
        # Colours are decoded once more where they are needed, so that no photo waits in memory for its turn.
        pixels = to_array(decode_image(task.file)) if set(IN_SPACE) & missing.keys() else None
        reasons = []
        for form, path in missing.items():
            try:
                content = encode(form, values, self.predictor.unit, self.options, pixels, task.file)
            except ValueError as error:  # of one format; the others are made
                reasons.append(str(error))
                continue
            with self.record.making(path, task.source, self.maker, self.options.that_matter(form, task.file)):
                write_whole(path, content)
            task.made.append(path)
        if reasons:
            raise ValueError("; ".join(reasons))
        return Result(task.file, task.made, prediction.domain)

    def _fail(self, task: FileTask, error: Exception) -> None:
        """Adds the failure of a task to the report."""
        reason, made = str(error) or type(error).__name__, tuple(task.made)
        unread = isinstance(error, BrokenSampleError) or (is_video(task.file) and isinstance(error, ValueError))
        if unread or (isinstance(error, OSError) and error.filename in (str(task.file), task.source.source)):
            self.report.broken[task.file] = Failure("not read", reason, made)
        elif isinstance(error, OSError) and error.errno in NO_ROOM:  # said once, not of each input
            self.report.stopped = f"{self.output} cannot be written to any more ({error.strerror or reason})"
        elif isinstance(error, OSError):
            self.report.broken[task.file] = Failure("not written", reason, made)
        else:
            self.report.broken[task.file] = Failure("not made", reason, made)
