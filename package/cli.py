"""One command for all of semidepth.

    semidepth predict photo.jpg --model outputs/demo/student --output depth/
    semidepth segment photo.jpg --point 410,230 --output cut/
    semidepth convert photo.jpg --to depth normals semantics caption --model outputs/four_m --output out/
    semidepth data my_frames/ --pictures seen/
    semidepth score --model outputs/demo/student --data 'scenes:indoor?split=test&count=96'
    semidepth demo --model outputs/demo/metric
    semidepth train student --start semidepth-small --teacher TEACHER --unlabeled my_photos/ --output_dir outputs/mine
    semidepth pseudo-label --teacher outputs/teacher --unlabeled my_photos/ --output outputs/pseudo_labels
    semidepth label-masks --unlabeled my_photos/ --output outputs/mask_labels
    semidepth publish outputs/demo/student --repo NAME/student --dry_run
    semidepth export outputs/demo/student --to onnx openvino
    semidepth info outputs/demo/student
    semidepth convert-checkpoint depth_anything_v2_vits.pth models/v2-small

Without a model predict, demo, export and info take the one that comes with semidepth.

`semidepth COMMAND --help` says more; `python -m semidepth` does the same. Exit status: 0; 1 where some inputs failed or
a training stopped; 2 for wrong usage; 70 for an unexpected error; 130 for Ctrl-C; 141 where the reader of the output
has gone.
"""

import logging
import os
import signal
import subprocess
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import psutil

from semidepth import model_cards
from semidepth.common.console import run_command

# The folder of the Spaces lies beside that of the cards, in the source tree and in the installed package.
APP = Path(model_cards.__file__).resolve().parent.parent / "spaces" / "depth_demo" / "app.py"

TRAIN_HELP = """usage: semidepth train MODEL [options of accelerate --] [the command's options]

MODEL is one of teacher, student, metric, masks, tokenizers, four-m.

Trains as `accelerate launch training/student.py` does. What stands before a lone -- goes to `accelerate launch`, what
follows it goes to the command; without -- everything goes to the command.

    semidepth train teacher --labeled 'rooms/*.parquet?depth_scale=0.001' --output_dir outputs/teacher
    semidepth train student --num_processes 4 --mixed_precision bf16 -- --config student.yaml
    semidepth train metric --student outputs/demo/student --output_dir outputs/metric
    semidepth train masks --student outputs/demo/student --train 'photos/?masks=instances.json'
    semidepth train tokenizers --output_dir outputs/tokenizers
    semidepth train four-m --tokenizers outputs/tokenizers --output_dir outputs/four_m

`semidepth train student --help` lists a command's options, `accelerate launch --help` the launcher's.
"""


TRAINED = {name: f"semidepth.training.{name}" for name in ("teacher", "student", "metric", "masks")}
TRAINED |= {"tokenizers": "semidepth.training.modality_tokenizers", "four-m": "semidepth.training.four_m"}
LABELING = "semidepth.training.pseudo_label"
CUTTING = "semidepth.training.label_masks"


def train(words: Sequence[str]) -> int:
    """Launches a training command with accelerate and returns its exit status."""
    if not words or words[0] in ("-h", "--help"):
        print(TRAIN_HELP, end="", file=sys.stdout if words else sys.stderr)
        return 0 if words else 2
    if words[0] not in TRAINED:
        raise ValueError(f"`semidepth train` was given {words[0]!r}; choose one of {', '.join(TRAINED)}.")
    return launch(TRAINED[words[0]], words[1:])


def pseudo_label(words: Sequence[str]) -> int:
    """Launches the labeling of images with accelerate and returns its exit status."""
    return launch(LABELING, words)


def label_masks(words: Sequence[str]) -> int:
    """Launches the cutting of photos into masks with accelerate and returns its exit status."""
    return launch(CUTTING, words)


def launch(module: str, words: Sequence[str]) -> int:
    """Launches a module's command with accelerate, in as many processes as are asked for; returns its exit status.

    Args:
        module: has the command as COMMAND.
        words: options of `accelerate launch`, a lone `--` and the command's options; without `--` the latter alone.
    """
    options = list(words)
    cut = options.index("--") if "--" in options else None
    launcher, own = (options[:cut], options[cut + 1 :]) if cut is not None else ([], options)
    if not launcher and own and own[0] in ("-h", "--help"):
        return import_module(module).main(own)
    from accelerate.commands.launch import launch_command, launch_command_parser  # takes seconds

    logging.getLogger("accelerate.commands.launch").setLevel(logging.ERROR)  # it lists its defaults as warnings
    try:
        launch_command(launch_command_parser().parse_args([*launcher, "-m", module, *own]))
    except subprocess.CalledProcessError as error:  # the command has said what was wrong
        return error.returncode
    except KeyboardInterrupt:  # the command, which Ctrl-C reaches too, says how it is resumed
        _end_children()
        return 130
    return 0


def _end_children() -> None:
    """Waits for the processes of this one, and interrupts those that the signal did not reach."""
    children = psutil.Process().children()
    _, alive = psutil.wait_procs(children, timeout=20)
    for child in alive:
        child.send_signal(signal.SIGINT)
    psutil.wait_procs(alive, timeout=60)


def demo(words: Sequence[str]) -> int:
    """Runs the Space's app in place of this process.

    It is a process of its own because its files import each other by their bare names, as on a Space, where the
    package is a stranger to them. It replaces this one so that Ctrl-C, SIGTERM and the exit status are its own.
    """
    if find_spec("gradio") is None and not {"-h", "--help"} & {*words}:
        raise ValueError("the demo needs the package gradio, which is missing; pip install 'semidepth[space]'.")
    if not APP.is_file():
        raise ValueError(f"the demo's page is missing at {APP}; install semidepth anew or run it from its source tree.")
    command = [sys.executable, str(APP), *words]
    sys.stdout.flush()
    if os.name == "posix":
        os.execv(command[0], command)
    return subprocess.run(command, check=False).returncode  # elsewhere the caller would not wait for exec


@dataclass(frozen=True)
class Entry:
    """One word after `semidepth`.

    Args:
        summary: its line in --help.
        target: name of the module that has it as COMMAND, a [`semidepth.common.commands.Command`]; or a function that
            hands the words after it on and returns the exit status.
    """

    summary: str
    target: str | Callable[[Sequence[str]], int]

    def run(self, words: Sequence[str]) -> int:
        """Runs the command with these words and returns its exit status; only its own module is imported."""
        return import_module(self.target).main(words) if isinstance(self.target, str) else self.target(words)


COMMANDS = {
    "predict": Entry("depth of images and videos", "semidepth.prediction.cli"),
    "segment": Entry("a thing cut out of a photo: point at it, or draw a box", "semidepth.prediction.masks.cli"),
    "convert": Entry("depth, normals, classes and a sentence from any of them", "semidepth.prediction.any_to_any.cli"),
    "data": Entry("what is in data sources, and what looks wrong there", "semidepth.evaluation.source_report.cli"),
    "score": Entry("errors of a model on labeled data", "semidepth.evaluation.cli"),
    "demo": Entry("a page in the browser: images, 3D, videos", demo),
    "train": Entry("train a teacher, a student, a metric model or a mask model", train),
    "pseudo-label": Entry("label images once, with a teacher, for any number of students", pseudo_label),
    "label-masks": Entry("cut unlabeled photos into masks, for a mask model to train on", label_masks),
    "publish": Entry("upload a model to the Hub", "semidepth.publishing.cli"),
    "export": Entry("ONNX, OpenVINO and other files of a model, checked", "semidepth.publishing.exports.cli"),
    "info": Entry("facts about a model and its training", "semidepth.publishing.info"),
    "convert-checkpoint": Entry("original .pth files to models", "semidepth.prediction.originals.cli"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status; see the top of the file."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = ArgumentParser(prog="semidepth", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="store_true", help="print the version")
    lines = "\n".join(f"  {name:<{max(map(len, COMMANDS))}} {entry.summary}" for name, entry in COMMANDS.items())
    parser.epilog = f"commands:\n{lines}"
    parser.add_argument("command", nargs="?", choices=COMMANDS, metavar="COMMAND", help="see below")
    given = parser.parse_args(words[:1])  # what follows the command is the command's, --help and all
    if given.version:
        import semidepth

        print(semidepth.__version__)
        return 0
    if given.command is None:
        parser.print_help(sys.stderr)
        return 2
    return run_command(lambda: COMMANDS[given.command].run(words[1:]))


if __name__ == "__main__":
    sys.exit(main())
