"""Put a trained model, a set of pseudo labels or a Space on the Hub.

    python training/publish.py outputs/student --repo org/name --dry_run             # says what would go up
    python training/publish.py outputs/student --repo org/name --private
    python training/publish.py outputs/student --repo org/name --pull_request        # or --branch trial
    python training/publish.py outputs/student --repo org/name-hf --stock            # as stock Depth Anything
    python training/publish.py outputs/student --repo org/name --onnx                # with onnx/model.onnx beside
    python training/publish.py outputs/pseudo_labels --repo org/labels
    python training/publish.py --space metrics --repo org/depth_metrics              # or demo

Of a model go up: weights (safetensors), configuration, image processor, remote code, card, options and results, in
which local paths are cut to their last part. Checkpoints, logs and previews stay. A folder's own README.md is its card;
else one is made from the run's records.
What is up already is not sent again: the same command goes on after a connection was lost, and makes no commit where
nothing has changed. What the new files replace is removed: other weights, an older export, scores, parts of labels. It
needs a token that may write (`hf auth login`).
"""

import argparse
import logging
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import RepoCard, constants

from semidepth.common.console import run_command, set_up_logging
from semidepth.common.redaction import refuse_secrets
from semidepth.prediction.checkpoints import pickled_names
from semidepth.publishing.files import (
    CARD,
    INDEX,
    HubFile,
    Kind,
    checked_files,
    dataset_files,
    kind_of_folder,
    left_out,
    model_files,
    pictures_of,
    preview_names,
    space_files,
)
from semidepth.publishing.hub import (
    HubDownError,
    Target,
    limit_waiting,
    prepare,
    push,
)
from semidepth.publishing.records import public_files
from semidepth.publishing.weights import parse_size, split_weights

logger = logging.getLogger(__name__)

REPOSITORY = Path(__file__).resolve().parents[1]
SPACES = {"demo": "depth_demo", "metrics": "depth_metrics"}
OPSET = 18


def files_of_model(options: argparse.Namespace, room: Path) -> list[HubFile]:
    """What goes up of a model folder, with what has to be made first.

    Args:
        options: of the command.
        room: empty folder for what is made: card, shards, stock model, ONNX.
    """
    folder: Path = options.folder
    files = model_files(folder)
    if options.stock:
        from semidepth.publishing.stock_export import to_stock

        to_stock(folder, room / "stock")
        # A card of ours tells how to load our class: the stock model gets its own.
        ours = (INDEX, CARD)
        kept = [file for file in files if file.source.suffix not in (".py", ".safetensors") and file.path not in ours]
        made = {file.path: file for file in model_files(room / "stock")}
        files = [*made.values(), *(file for file in kept if file.path not in made)]
    files = split_weights(files, room / "shards", max_bytes=parse_size(options.max_shard_size))
    if options.onnx:
        from semidepth.publishing.onnx_export import export_onnx

        (room / "onnx").mkdir()
        made_from = room / "stock" if options.stock else folder
        export_onnx(made_from, room / "onnx" / "model.onnx", opset=options.onnx_opset)
        files += [HubFile(f"onnx/{path.name}", path) for path in sorted((room / "onnx").iterdir())]
    return public_files(_with_card(options, files, room), room / "public")


def _with_card(options: argparse.Namespace, files: list[HubFile], room: Path) -> list[HubFile]:
    """The files with a card and the pictures that it shows; one in the folder was written for it and stays."""
    if any(file.path == CARD for file in files):
        return files
    from semidepth.publishing.cards import make_card

    # The card is of what goes up: laid out as it will be, with a picture to choose.
    laid, previews = room / "laid_out", checked_files(options.folder, preview_names(options.folder))
    for file in [*files, *previews]:
        (laid / file.path).parent.mkdir(parents=True, exist_ok=True)
        (laid / file.path).symlink_to(file.source)
    licences = dict(_named_licence(text) for text in options.data_license)
    card = str(make_card(laid, repo=options.repo, license=options.license, data_licences=licences))
    (room / CARD).write_text(card, encoding="utf-8")
    shown = pictures_of(card, laid)
    return [*files, *checked_files(room, [CARD]), *(file for file in previews if file.path in shown)]


def _named_licence(text: str) -> tuple[str, str]:
    """A source, or its name on the card, and its licence from SOURCE=LICENSE; a source may have = in its options."""
    source, _, licence = text.rpartition("=")
    if not source or not licence:
        raise ValueError(f"--data_license is {text!r}; write SOURCE=LICENSE, such as 'rooms/*.parquet=cc-by-4.0'.")
    return source, licence


def files_of_space(name: str, repo: str) -> tuple[list[HubFile], str]:
    """The files of one of this repository's Spaces, and its sdk.

    Raises:
        ValueError: it is not there, its front matter does not say what runs it, or `evaluate` could not find it.
    """
    folder = REPOSITORY / "spaces" / SPACES[name]
    if not (folder / CARD).is_file():
        raise ValueError(f"the Space {name} is not in this repository yet ({folder} has no {CARD}).")
    sdk = RepoCard.load(folder / CARD).data.get("sdk")
    if sdk not in constants.SPACES_SDK_TYPES:
        raise ValueError(f"{folder / CARD} has the sdk {sdk!r}; give one of {', '.join(constants.SPACES_SDK_TYPES)}.")
    files = space_files(folder, REPOSITORY)
    paths = [file.path for file in files]
    if "requirements.txt" not in paths and sdk == "gradio":
        raise ValueError(f"{folder} has no requirements.txt, without which the Space does not start; write one.")
    if name == "metrics" and f"{repo.split('/')[-1]}.py" not in paths:
        raise ValueError(
            f"evaluate.load looks for a metric's code under the name of its Space, and --repo is {repo}; call it "
            f"{repo.split('/')[0]}/{SPACES[name]}."
        )
    return files, sdk


def publish(options: argparse.Namespace) -> str | None:
    """Publishes what the options name.

    Returns:
        The revision that holds it; None after a dry run.

    Raises:
        ValueError: in one sentence, for a folder, a name, a token or rights with which it cannot go up.
        HubDownError: the Hub cannot be reached.
    """
    sdk: str | None = None
    kind: Kind = "space" if options.space else kind_of_folder(options.folder)
    if kind != "model" and (options.stock or options.onnx):
        raise ValueError(f"--stock and --onnx are for models, and this is a {kind}; leave them out.")
    refuse_secrets([options.message])
    Target(options.repo, branch=options.branch, pull_request=options.pull_request).validate()
    with tempfile.TemporaryDirectory() as room:
        if options.space:
            files, sdk = files_of_space(options.space, options.repo)
        elif kind == "dataset":
            files = dataset_files(options.folder)
        else:
            files = files_of_model(options, Path(room))
        if options.folder is not None:
            pickled = pickled_names(options.folder)
            if pickled:
                logger.warning("%s is pickled and stays here; only safetensors go up", ", ".join(pickled))
        target = Target(options.repo, kind, options.private, options.branch, options.pull_request, sdk)
        if options.dry_run:
            _show(target, files, options.folder)
            return None
        prepare(target)
        pushed = push(target, files, options.message or f"Publish {_name(options)}")
    if pushed.changed:
        logger.info("%d files are up at %s (revision %s)", len(files), pushed.url, pushed.revision)
    else:
        logger.info("nothing has changed: %s holds all %d files already, no commit was made", pushed.url, len(files))
    return pushed.revision


def _name(options: argparse.Namespace) -> str:
    return f"the {options.space} Space" if options.space else options.folder.resolve().name


def _show(target: Target, files: Sequence[HubFile], folder: Path | None) -> None:
    """Tells what would go up, and what of the folder would stay."""
    print(f"{target.url}: nothing is created or sent (--dry_run); {len(files)} files would go up:")
    for file in files:
        print(f"{file.size:>14,}  {file.path}")
    print(f"{sum(file.size for file in files):>14,}  bytes in all")
    stay = left_out(folder, files) if folder is not None else []
    if stay:
        print(f"These stay here: {', '.join(stay)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the top of the file. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="a trained model's, or a set of pseudo labels")
    parser.add_argument("--space", choices=sorted(SPACES), help="publish one of this repository's Spaces instead")
    parser.add_argument("--repo", required=True, help="org/name; made where it is not there")
    parser.add_argument("--private", action="store_true", help="make it private; one that is public is then refused")
    parser.add_argument("--branch", help="push there and not to main; refs/pr/N adds to the pull request N")
    parser.add_argument("--pull_request", action="store_true", help="open a pull request instead")
    parser.add_argument("--dry_run", action="store_true", help="tell files and sizes; nothing is created or sent")
    parser.add_argument("--stock", action="store_true", help="as stock Depth Anything, which needs no code of ours")
    parser.add_argument("--onnx", action="store_true", help="with onnx/model.onnx beside the weights")
    parser.add_argument("--onnx_opset", type=int, default=OPSET, help=f"its operator set; default {OPSET}")
    parser.add_argument("--max_shard_size", default="5GB", help="larger weights are split; default 5GB")
    parser.add_argument("--license", help="of the weights, as the Hub names licences; for the card")
    parser.add_argument(
        "--data_license", nargs="*", default=[], metavar="SOURCE=LICENSE", help="of the training data; for the card"
    )
    parser.add_argument("--message", help="of the commit")
    options = parser.parse_args(argv)
    if (options.folder is None) == (options.space is None):
        parser.exit(2, "error: give a folder, or --space demo or metrics, and not both.\n")
    set_up_logging()
    limit_waiting()

    def run() -> None:
        try:
            publish(options)
        except HubDownError as error:
            again = re.sub(r"[.;]*$", "", str(error))
            raise ValueError(
                f"{options.repo} could not be pushed to: {again}; run the same command again later, what is up is "
                "not sent twice."
            ) from error
        except KeyboardInterrupt:
            raise KeyboardInterrupt("the same command goes on, what is up is not sent twice.") from None

    return run_command(run)


if __name__ == "__main__":
    sys.exit(main())
