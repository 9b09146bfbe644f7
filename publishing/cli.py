"""Publish a trained model, a set of pseudo labels or a Space on the Hub.

    semidepth publish outputs/student --repo org/name --dry_run             # list what would be uploaded
    semidepth publish outputs/student --repo org/name --private
    semidepth publish outputs/student --repo org/name --pull_request        # or --branch trial
    semidepth publish outputs/student --repo org/name-hf --stock            # as stock Depth Anything
    semidepth publish outputs/student --repo org/name --onnx                # with onnx/model.onnx
    semidepth publish outputs/student --repo org/name --dtype bfloat16      # half the bytes
    semidepth publish outputs/student --to_folder shipped --heads outputs/metric
    semidepth publish outputs/pseudo_labels --repo org/labels
    semidepth publish --space metrics --repo org/depth_metrics              # or demo

Of a model are uploaded: weights (safetensors), configuration, image processor, remote code, card, options and results.
Local paths in them are shortened to their last part. Checkpoints, logs and previews of photos stay. A README.md in the
folder is used as the card; else one is made from the records of the run.

--to_folder writes the same files into a folder instead, with weights.json (bytes and sha256 of the weights). --heads
adds a folder metres: the heads and router of a metric model that was trained on this one with --freeze_core, without
their core; semidepth puts the two together. --masks adds a folder masks, with the decoder of a mask model on this one.
The model that comes with semidepth is made so.

Unchanged files are not sent again: run the same command again to resume an upload; without changes it makes no commit.
Files that become obsolete are removed from the repository: other weights, older exports, scores, parts of label sets.
Uploading needs a token with the right to write (`hf auth login`).
"""

import logging
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from semidepth.common.commands import Command
from semidepth.common.files import check_new
from semidepth.common.options import option
from semidepth.common.redaction import refuse_secrets
from semidepth.prediction.checkpoints import pickled_names
from semidepth.prediction.shipped.folder import MASKS, METRES, find_model, is_heads
from semidepth.publishing.facts import read_facts
from semidepth.publishing.files import (
    CARD,
    INDEX,
    HubFile,
    Kind,
    check_finite,
    checked_files,
    dataset_files,
    kind_of_folder,
    left_out,
    model_files,
    pictures_of,
    preview_names,
)
from semidepth.publishing.hub import HubDownError, Target, limit_waiting, prepare, push
from semidepth.publishing.licences import licences_behind
from semidepth.publishing.records import public_files
from semidepth.publishing.shards import parse_size, split_weights
from semidepth.publishing.spaces import Name, space_files

logger = logging.getLogger(__name__)

OPSET = 18
Dtype = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True)
class PublishOptions:
    """Options of `semidepth publish` and [`publish`]."""

    folder: str | None = option(None, positional=True, help="folder of a trained model or of a set of pseudo labels")
    space: Name | None = option(None, help="publish one of semidepth's Spaces instead of a folder")
    repo: str | None = option(None, help="repository, org/name; created if missing; needed unless --dry_run")
    to_folder: Path | None = option(None, metavar="FOLDER", help="write the files into this new folder, send nothing")
    private: bool = option(False, help="create a private repository; refuse an existing public one")
    branch: str | None = option(None, help="push to this branch instead of main; refs/pr/N adds to pull request N")
    pull_request: bool = option(False, help="open a pull request instead of pushing to main")
    dry_run: bool = option(False, help="list files and sizes; nothing is created or uploaded")
    dtype: Dtype | None = option(None, help="dtype of the published weights; default: as they are")
    heads: Path | None = option(
        None, metavar="FOLDER", help="metric model on this one, whose heads go to metres/ without their core"
    )
    masks: Path | None = option(
        None, metavar="FOLDER", help="mask model on this one, whose decoder goes to masks/ without its core"
    )
    stock: bool = option(False, help="convert to stock Depth Anything or ZoeDepth, which needs no remote code")
    onnx: bool = option(False, help="add an export, onnx/model.onnx")
    onnx_opset: int = option(OPSET, help="operator set of the ONNX export")
    max_shard_size: str = option("5GB", help="split larger weights into shards of this size")
    license: str | None = option(None, help="licence of the weights for the card, by the Hub's name for it")
    data_license: tuple[str, ...] = option(
        (), metavar="SOURCE=LICENSE", help="licences of the training data, for the card"
    )
    message: str | None = option(None, help="commit message")

    def __post_init__(self) -> None:
        if (self.folder is None) == (self.space is None):
            raise ValueError("give a folder or --space demo or --space metrics, and not both.")
        if self.repo is not None:
            self.target().validate()
        elif not self.dry_run and self.to_folder is None:
            raise ValueError("--repo is missing; give org/name, --to_folder, or --dry_run to only list the files.")
        if self.space is not None and self.for_models:
            raise ValueError(f"{' and '.join(self.for_models)}: only for models, not for a Space; leave that out.")
        if self.to_folder is not None and (self.repo is not None or self.dry_run):
            raise ValueError("--to_folder sends nothing; leave out --repo and --dry_run.")
        if self.stock and (self.heads is not None or self.masks is not None):
            raise ValueError("--heads and --masks need semidepth, and --stock is for those without it; leave one out.")
        parse_size(self.max_shard_size)
        self.data_licences()
        refuse_secrets([self.message])

    @property
    def for_models(self) -> list[str]:
        """Names of the given options that only models have."""
        return [f"--{name}" for name in ("stock", "onnx", "dtype", "heads", "masks") if getattr(self, name)]

    def target(self, kind: Kind = "model", sdk: str | None = None) -> Target:
        """Returns the repository to push to."""
        assert self.repo is not None
        return Target(self.repo, kind, self.private, self.branch, self.pull_request, sdk)

    def data_licences(self) -> dict[str, str]:
        """Returns the licences of the training data, by source."""
        # A source may have = in its options.
        pairs = {text: text.rpartition("=") for text in self.data_license}
        for text, (source, _, licence) in pairs.items():
            if not source or not licence:
                raise ValueError(
                    f"--data_license is {text!r}; give SOURCE=LICENSE, such as 'rooms/*.parquet=cc-by-4.0'."
                )
        return {source: licence for source, _, licence in pairs.values()}


def publish(options: PublishOptions) -> str | None:
    """Publishes a model, a set of pseudo labels or a Space.

    Returns:
        The revision of the repository that holds it; None after a dry run.

    Raises:
        ValueError: folder, name, token or rights do not allow it.
        HubDownError: the Hub cannot be reached.
    """
    folder, sdk = None if options.folder is None else Path(find_model(options.folder)), None
    kind: Kind = "space" if folder is None else kind_of_folder(folder)
    if kind != "model" and options.for_models:
        raise ValueError(
            f"{' and '.join(options.for_models)}: only for models, and {folder} is a {kind}; leave that out."
        )
    if options.to_folder is not None:
        check_new("to_folder", options.to_folder)
    with tempfile.TemporaryDirectory() as room:
        if options.space is not None:
            files, sdk = space_files(options.space, Path(room), options.repo)
        elif folder is not None:
            files = dataset_files(folder) if kind == "dataset" else files_of_model(folder, options, Path(room))
            pickled = pickled_names(folder)
            if pickled:
                logger.warning("%s is pickled and stays here; only safetensors are published", ", ".join(pickled))
        if options.dry_run:
            _show(files, options, kind, folder)
            return None
        if options.to_folder is not None:
            from semidepth.publishing.shipping import ship

            ship(files, options.to_folder, trained={"": folder, METRES: options.heads} if options.dtype else {})
            return None
        target = options.target(kind, sdk)
        prepare(target)
        what = f"the {options.space} Space" if folder is None else folder.resolve().name
        pushed = push(target, files, options.message or f"Publish {what}")
    if pushed.changed:
        logger.info("%d files were pushed to %s (revision %s)", len(files), pushed.url, pushed.revision)
    else:
        logger.info("nothing has changed: %s holds all %d files, no commit was made", pushed.url, len(files))
    return pushed.revision


def files_of_model(folder: Path, options: PublishOptions, room: Path) -> list[HubFile]:
    """Returns the files of a model that are published, after making what is asked for.

    Args:
        folder: of the model.
        options: of the command.
        room: empty folder for card, shards, stock model and ONNX export.
    """
    if is_heads(folder):
        from semidepth.prediction.shipped.heads import join_heads

        join_heads(folder, room / "joined")
        folder = room / "joined"
    files = model_files(folder)
    check_finite(files)
    if options.stock:
        from semidepth.publishing.exports.stock import to_stock

        to_stock(folder, room / "stock")
        # A card in the folder shows how to load the original class: the stock model gets one of its own.
        rest = [file for file in files if file.path not in (INDEX, CARD)]
        kept = [file for file in rest if file.source.suffix not in (".py", ".safetensors")]
        made = {file.path: file for file in model_files(room / "stock")}
        files = [*made.values(), *(file for file in kept if file.path not in made)]
    if options.dtype is not None:
        from semidepth.publishing.shipping import convert_weights

        files = convert_weights(files, options.dtype, room / "converted")
        check_finite(files)  # float16 ends at 65504
    files = split_weights(files, room / "shards", max_bytes=parse_size(options.max_shard_size))
    if options.onnx:
        from semidepth.prediction.runtimes.onnx import export_onnx

        (room / "onnx").mkdir()
        export_onnx(room / "stock" if options.stock else folder, room / "onnx" / "model.onnx", opset=options.onnx_opset)
        files += [HubFile(f"onnx/{path.name}", path) for path in sorted((room / "onnx").iterdir())]
    if not any(file.path == CARD for file in files):
        files = _with_card(folder, files, options, room)
    elif options.license is not None or options.data_license:
        logger.warning(
            "--license and --data_license are for a card that is made; write them into %s, which is used", folder / CARD
        )
    files = public_files(files, room / "public")
    for place, whole in ((METRES, options.heads), (MASKS, options.masks)):
        if whole is not None:
            from semidepth.publishing.shipping import files_of_heads

            heads = files_of_heads(whole, folder, options.dtype, room / place, place)
            check_finite(heads)
            files += heads
    return files


def _with_card(folder: Path, files: list[HubFile], options: PublishOptions, room: Path) -> list[HubFile]:
    """Returns the files with a card made of them, and with the pictures on it."""
    from semidepth.publishing.cards.model_card import make_card

    previews = checked_files(folder, preview_names(folder))
    facts = read_facts(folder, {file.path: file.source for file in files})
    behind = licences_behind(facts) if options.license is None else {}
    if behind:
        logger.warning(
            "the card states no licence, while models behind this one have one: %s; say yours with --license",
            ", ".join(f"{name} ({licence})" for name, licence in behind.items()),
        )
    card = make_card(
        facts,
        [file.path for file in (*files, *previews)],
        repo=options.repo,
        name=None if options.to_folder is None else options.to_folder.name,
        heads=None if options.heads is None else read_facts(options.heads),
        masks=None if options.masks is None else read_facts(options.masks),
        license=options.license,
        data_licences=options.data_licences(),
    )
    (room / CARD).write_text(str(card), encoding="utf-8")
    shown = pictures_of(str(card), folder)
    return [*files, *checked_files(room, [CARD]), *(file for file in previews if file.path in shown)]


def _show(files: Sequence[HubFile], options: PublishOptions, kind: Kind, folder: Path | None) -> None:
    """Prints what would be uploaded, and what of the folder would stay."""
    place = options.target(kind).url if options.repo is not None else "the Hub"
    print(f"{len(files)} files would go to {place}; nothing is created or uploaded (--dry_run):")
    for file in files:
        print(f"{file.size:>14,}  {file.path}")
    print(f"{sum(file.size for file in files):>14,}  bytes in all")
    stay = left_out(folder, files) if folder is not None else []
    if stay:
        print(f"These stay here: {', '.join(stay)}")


def run(options: PublishOptions) -> None:
    """Publishes; an upload that fails or is stopped ends with the way to resume it."""
    limit_waiting()
    try:
        publish(options)
    except HubDownError as error:
        cause = re.sub(r"[.;]*$", "", str(error))
        raise ValueError(
            f"{options.repo} could not be pushed to: {cause}; run the same command again later, what was sent is kept."
        ) from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt("run the same command again to resume, what was sent is kept.") from None


COMMAND = Command("semidepth publish", PublishOptions, run, __doc__)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
