"""Pushing a model to the Hub while it trains, without holding the training up or ending it.

At a checkpoint the main process saves the model's files into a snapshot of its own, which nobody writes to again, and
trains on. A thread hands the newest snapshot to a process that pushes it, one at a time: a Hub that stalls, a client
that hangs or its memory are that process's, which can be ended. What fails is told and tried again after growing waits.
"""

import logging
import shlex
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from semidepth.common.redaction import redact
from semidepth.common.retrying import describe
from semidepth.publishing.cards import make_card
from semidepth.publishing.files import (
    CARD,
    OPTIONS,
    checked_files,
    model_files,
    preview_names,
)
from semidepth.publishing.hub import Target, growing_wait_s
from semidepth.publishing.push_process import PushProcess
from semidepth.publishing.records import public_files
from semidepth.training.arguments.run import HubArguments

logger = logging.getLogger(__name__)

SNAPSHOT = "hub-snapshot-"
FINISHED = "the finished model"
# A push that takes longer is ended and begun anew; what went up of large files stays up.
LONGEST_PUSH_S = 6 * 3600.0
LONGEST_CHECK_S = 60.0
# Between two attempts of a training that waits for its last push.
LAST_WAIT_S = 30.0

SaveModel = Callable[[Path], None]


def open_pusher(arguments: HubArguments, output_dir: str, *, main_process: bool) -> "Pusher":
    """The pusher of a run, after a look whether it may push; called before anything expensive.

    Args:
        arguments: of the command.
        output_dir: the run's folder.
        main_process: whether this process is the one that pushes.

    Raises:
        ValueError: in one sentence, for a name, a token or rights with which no push can work.
    """
    target, prepared = arguments.hub_target() if main_process else None, False
    if target is not None:
        answer = PushProcess().run(target, {}, longest_s=LONGEST_CHECK_S)
        if "error" in answer and not answer["passing"]:
            raise ValueError(f"--push_to_hub: {answer['error']}")
        if "error" in answer:
            logger.warning("%s cannot be reached now (%s); the first push tries again", target.url, answer["error"])
        prepared = "error" not in answer
    return Pusher(target, Path(output_dir), wait_s=arguments.hub_wait_s, prepared=prepared)


class Pusher:
    """Pushes snapshots of one run; does nothing without a target, as in processes other than the main one.

    Args:
        target: where to; None: nowhere.
        folder: the run's, below which snapshots are kept until they are up.
        wait_s: the longest that [`finish`] waits.
        prepared: whether it is known that the target is there and may be written to.
    """

    def __init__(self, target: Target | None, folder: Path, *, wait_s: float = 600.0, prepared: bool = False) -> None:
        self.target = target
        self.folder = folder
        self.wait_s = wait_s
        self.pushed: list[str] = []  # labels of what is or was up, in order
        self._prepared = prepared
        self._trouble = ""
        self._pending: tuple[Path, str] | None = None
        self._busy = False
        self._hurried = False  # the training has ended and waits
        self._ended = False
        self._changed = threading.Condition()
        self._process = PushProcess()
        self._thread: threading.Thread | None = None
        self._remove_snapshots()  # of a run that was stopped

    def offer(self, step: int, save: SaveModel) -> None:
        """Takes a snapshot of the model after a step, to be pushed when its turn comes; a newer one takes its place.

        Args:
            step: updates done.
            save: writes the model's files into the folder that it gets.
        """
        if self.target is not None:
            self._take(f"step {step}", save)

    def finish(self) -> bool:
        """Pushes the finished run's files and waits for it, but not longer than `wait_s`.

        Returns:
            Whether all is up. Where it is not, the log says what is, and the command to push the rest.
        """
        if self.target is None:
            return True
        self._take(FINISHED, self._link_finished)
        with self._changed:
            self._hurried = True
            self._changed.notify_all()
        until = time.monotonic() + self.wait_s
        with self._changed:
            while not self._idle and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            trouble = self._trouble or f"not done after {self.wait_s:.0f} s"
        self.abandon()
        if FINISHED in self.pushed:
            return True
        options = f" --branch {self.target.branch}" if self.target.branch else ""
        options += " --private" if self.target.private else ""
        logger.warning(
            "%s is not up at %s (%s), %s is; push it with: python training/publish.py %s --repo %s%s",
            FINISHED, self.target.url, trouble,
            self.pushed[-1] if self.pushed else "nothing of this run", shlex.quote(str(self.folder)), self.target.repo,
            options,
        )  # fmt: skip
        return False

    def abandon(self) -> None:
        """Ends a push that is under way, and forgets what waits; the training itself may have failed."""
        if self.target is None:
            return
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._process.end()
        if self._thread is not None:
            self._thread.join(10)
        self._remove_snapshots()

    @property
    def _idle(self) -> bool:
        return self._pending is None and not self._busy

    def _remove_snapshots(self) -> None:
        if self.target is not None:
            for stray in self.folder.glob(f"{SNAPSHOT}*"):
                shutil.rmtree(stray, ignore_errors=True)

    def _take(self, label: str, save: SaveModel) -> None:
        """Writes a snapshot and makes it the one that waits."""
        snapshot = self.folder / f"{SNAPSHOT}{label.replace(' ', '-')}"
        try:
            snapshot.mkdir(parents=True)
            save(snapshot)
            for name in OPTIONS:
                if (self.folder / name).is_file() and not (snapshot / name).exists():
                    shutil.copy(self.folder / name, snapshot)
        except Exception as error:  # a full disk, whatever: it ends no training
            shutil.rmtree(snapshot, ignore_errors=True)
            self._trouble = f"no snapshot could be written: {describe(error)}"
            logger.warning("%s is not pushed: %s", label, self._trouble)
            return
        with self._changed:
            replaced, self._pending = self._pending, (snapshot, label)
            self._changed.notify_all()
        if replaced is not None:
            shutil.rmtree(replaced[0], ignore_errors=True)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="push_to_hub", daemon=True)
            self._thread.start()

    def _link_finished(self, snapshot: Path) -> None:
        """The run's own files, as links: a file that is written again is replaced, not changed."""
        for file in [*model_files(self.folder), *checked_files(self.folder, preview_names(self.folder))]:
            place = snapshot / file.path
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                place.hardlink_to(file.source)
            except OSError:  # a file system without such links
                shutil.copy(file.source, place)

    def _work(self) -> None:
        """The thread: pushes the newest snapshot there is, until the run ends."""
        failures = 0
        while (taken := self._next()) is not None:
            snapshot, label = taken
            answer = self._push(snapshot, label)
            if "error" not in answer:
                failures, self._trouble, self._prepared = 0, "", True
                self.pushed.append(label)
                news = "is up" if answer["changed"] else "was up already"
                logger.info("%s %s at %s (revision %s)", label, news, answer["url"], answer["revision"])
            else:
                self._trouble = redact(answer["error"])
                failures += answer["passing"]
            if "error" not in answer or not answer["passing"] or not self._wait_again(taken, failures):
                shutil.rmtree(snapshot, ignore_errors=True)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _next(self) -> tuple[Path, str] | None:
        """Waits for a snapshot and takes it; None at the end."""
        with self._changed:
            while self._pending is None and not self._ended:
                self._changed.wait()
            if self._ended:
                return None
            taken, self._pending, self._busy = self._pending, None, True
            return taken

    def _wait_again(self, taken: tuple[Path, str], failures: int) -> bool:
        """Waits before another attempt; whether this snapshot is still the newest, and now waits again."""
        with self._changed:
            hurried = self._hurried
            wait_s = min(growing_wait_s(failures), LAST_WAIT_S) if hurried else growing_wait_s(failures)
            if not self._ended:
                logger.warning("%s was not pushed: %s; next attempt in %.0f s", taken[1], self._trouble, wait_s)
            until = time.monotonic() + wait_s
            # The end of the training cuts a long wait short.
            while not self._ended and self._hurried == hurried and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            if self._pending is not None or self._ended:
                return False
            self._pending = taken
            return True

    def _push(self, snapshot: Path, label: str) -> dict[str, Any]:
        """What came of the push of one snapshot; see [`push_once.work`]."""
        assert self.target is not None
        try:
            self._write_card(snapshot)
            going = public_files(model_files(snapshot), snapshot / "public")
            files = [(file.path, str(file.source)) for file in going]
        except Exception as error:  # whatever is wrong with a snapshot, the next one may be sound
            return {"error": describe(error), "passing": False}
        message = f"{label[0].upper()}{label[1:]}"
        request = {"files": files, "message": message, "prepared": self._prepared}
        answer = self._process.run(self.target, request, longest_s=LONGEST_PUSH_S)
        if "error" in answer and not answer["passing"] and not self._ended:
            logger.warning("%s was not pushed: %s", label, redact(answer["error"]))
        return answer

    def _write_card(self, snapshot: Path) -> None:
        assert self.target is not None
        if (snapshot / CARD).exists():
            return
        try:
            card = make_card(snapshot, repo=self.target.repo)
        except Exception as error:  # amid a training its results are not there yet; the weights go up all the same
            logger.warning("no card could be made for this push (%s)", describe(error))
            return
        (snapshot / CARD).write_text(str(card), encoding="utf-8")
