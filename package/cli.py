"""One command for all of semidepth.

    semidepth predict photo.jpg --model outputs/demo/student --output depth/
    semidepth score --model outputs/demo/student --data 'scenes:indoor?split=test&count=96'
    semidepth demo --model outputs/demo/metric
    semidepth train student --encoder facebook/dinov2-small --unlabeled my_photos/ --output_dir outputs/mine
    semidepth publish outputs/demo/student --repo NAME/student --dry_run
    semidepth info outputs/demo/student

`semidepth COMMAND --help` says more. Exit status: that of the command; 2 for wrong usage;
130 for Ctrl-C, 141 where the output's reader has gone.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from semidepth import model_cards

COMMANDS = {
    "predict": "depth of images and videos",
    "score": "how good a model is on labeled data",
    "demo": "a page in the browser: images, 3D, videos",
    "train": "train a teacher, a student or a metric model",
    "publish": "put a model on the Hub",
    "info": "what a model is, and how it was trained",
}
MODULES = {
    "predict": "semidepth.prediction.cli",
    "score": "semidepth.evaluation.cli",
    "publish": "semidepth.publishing.cli",
    "info": "semidepth.publishing.info",
}
TRAINED = ("teacher", "student", "metric")
# The folder of the Spaces stands beside that of the cards, in the source tree and in the installed package.
APP = Path(model_cards.__file__).resolve().parent.parent / "spaces" / "depth_demo" / "app.py"

TRAIN_HELP = """usage: semidepth train {teacher,student,metric} [options of accelerate --] [options of the command]

Does what `accelerate launch training/student.py` does: what stands before a lone -- goes to `accelerate launch`, what
follows it (or everything, where there is no --) to the command.

    semidepth train teacher --labeled 'rooms/*.parquet?depth_scale=0.001' --output_dir outputs/teacher
    semidepth train student --num_processes 4 --mixed_precision bf16 -- --config student.yaml
    semidepth train metric --student outputs/demo/student --output_dir outputs/metric

`semidepth train student --help` lists a command's options, `accelerate launch --help` the launcher's.
"""
DEMO_HELP = """The page of spaces/depth_demo; needs `pip install 'semidepth[space]'`.

    semidepth demo --model outputs/demo/metric
"""


class UsageError(ValueError):
    """One sentence for the person at the keyboard; the exit status is 2."""


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the top of the file. Returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="semidepth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, add_help=True
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    lines = "\n".join(f"  {name:<8} {text}" for name, text in COMMANDS.items())
    parser.epilog = f"commands:\n{lines}"
    parser.add_argument("command", nargs="?", choices=COMMANDS, metavar="COMMAND", help="see below")
    # What follows the command is the command's, --help and all.
    given = parser.parse_args(words[:1])
    if given.version:
        import semidepth

        print(semidepth.__version__)
        return 0
    if given.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        status = run_command(given.command, words[1:])
        sys.stdout.flush()  # a pipe that is closed says so here
        return status
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as head, has seen enough; Python would flush once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def run_command(command: str, rest: Sequence[str]) -> int:
    """Runs a command; returns its exit status."""
    if command == "train":
        return train(rest)
    return demo(rest) if command == "demo" else run_module(command, rest)


def run_module(command: str, rest: Sequence[str]) -> int:
    """Runs another command of this folder in this process."""
    module = MODULES[command]
    if find_spec(module) is None:
        raise UsageError(f"`semidepth {command}` is not part of this installation; install a version that has it.")
    sys.argv[0] = f"semidepth {command}"  # what argparse calls the program
    run: Callable[[Sequence[str]], int | None] = import_module(module).main
    return run(rest) or 0


def train(rest: Sequence[str]) -> int:
    """`accelerate launch` of one of the training commands, whose exit status is returned."""
    if not rest or rest[0] in ("-h", "--help"):
        print(TRAIN_HELP, end="", file=sys.stdout if rest else sys.stderr)
        return 0 if rest else 2
    what, options = rest[0], list(rest[1:])
    if what not in TRAINED:
        raise UsageError(f"`semidepth train` was given {what!r}; choose one of {', '.join(TRAINED)}.")
    cut = options.index("--") if "--" in options else None
    launcher, own = (options[:cut], options[cut + 1 :]) if cut is not None else ([], options)
    module = f"semidepth.training.{what}"
    if not launcher and own and own[0] in ("-h", "--help"):
        return replace_process([sys.executable, "-m", module, *own])
    from accelerate.commands import launch  # takes seconds

    sys.argv = ["accelerate launch", *launcher, "-m", module, *own]
    try:
        launch.main()
    except subprocess.CalledProcessError as error:  # the command has said what was wrong
        return error.returncode
    return 0


def demo(rest: Sequence[str]) -> int:
    """The Space's app, which takes the place of this process."""
    if any(word in ("-h", "--help") for word in rest):
        print(DEMO_HELP, flush=True)
    if find_spec("gradio") is None:
        raise UsageError("the demo needs the package gradio, which is missing; pip install 'semidepth[space]'.")
    if not APP.is_file():
        raise UsageError(f"the demo's page is missing at {APP}; install semidepth anew or run it from its source tree.")
    return replace_process([sys.executable, str(APP), *rest])


def replace_process(command: Sequence[str]) -> int:
    """Runs a command in the place of this one, so that signals and the exit status are its own."""
    sys.stdout.flush()
    if os.name == "posix":
        os.execv(command[0], list(command))
    return subprocess.run(list(command), check=False).returncode  # elsewhere the caller would not wait for exec


if __name__ == "__main__":
    sys.exit(main())
