"""Background upload of a model to the Hub during training.

At a checkpoint the main process saves the model's files into a snapshot folder, which is not changed afterwards, and
continues training. A thread pushes the newest snapshot, one push at a time, in a process of its own (see
push_process.py). A push that fails is logged and tried again, with waits that grow; a newer snapshot replaces it. A
failing Hub neither stops the training run nor holds it up.
"""

import logging
import shlex
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from semidepth.common.redaction import redact
from semidepth.common.retrying import describe
from semidepth.publishing.cards.model_card import make_card
from semidepth.publishing.facts import read_facts
from semidepth.publishing.files import CARD, OPTIONS, checked_files, model_files, preview_names
from semidepth.publishing.hub import Target, growing_wait_s
from semidepth.publishing.push_process import PushProcess
from semidepth.publishing.records import public_files

logger = logging.getLogger(__name__)

SNAPSHOT = "hub-snapshot-"
FINISHED = "the finished model"
# A push that takes longer is killed and started again; parts of large files that the Hub has are not sent twice.
LONGEST_PUSH_S = 6 * 3600.0
LONGEST_CHECK_S = 60.0
# Longest wait between two attempts once the training run has ended and waits for its last push.
LAST_WAIT_S = 30.0

SaveModel = Callable[[Path], None]


class PushOptions(Protocol):
    """The options of a training command that concern pushing."""

    @property
    def hub_wait_s(self) -> float: ...

    def hub_target(self) -> Target | None: ...


def open_pusher(options: PushOptions, output_dir: str | Path, *, main_process: bool) -> "Pusher":
    """Checks that the run may push and returns its pusher; call it before anything expensive.

    Args:
        options: of the command.
        output_dir: folder of the run.
        main_process: True for the process that pushes.

    Raises:
        ValueError: no push can work with this name, token or rights.
    """
    target, prepared = options.hub_target() if main_process else None, False
    if target is not None:
        answer = PushProcess().run(target, {}, longest_s=LONGEST_CHECK_S)
        if "error" in answer and not answer["passing"]:
            raise ValueError(f"--push_to_hub: {answer['error']}")
        if "error" in answer:
            logger.warning("%s cannot be reached now (%s); the first push tries again", target.url, answer["error"])
        prepared = "error" not in answer
    return Pusher(target, Path(output_dir), wait_s=options.hub_wait_s, prepared=prepared)


class Pusher:
    """Pushes snapshots of one run. Without a target it does nothing, as in processes other than the main one.

    Args:
        target: where to push; None: nowhere.
        folder: of the run; snapshots are kept in it until they are pushed.
        wait_s: longest time in seconds that [`finish`] waits.
        prepared: True where the target is known to exist and to be writable.
    """

    def __init__(self, target: Target | None, folder: Path, *, wait_s: float = 600.0, prepared: bool = False) -> None:
        self.target = target
        self.folder = folder
        self.wait_s = wait_s
        self.known: dict[str, Any] = {}  # results that are known before the run ends, for the cards of snapshots
        self.pushed: list[str] = []  # labels of the pushed snapshots, in order
        self._prepared = prepared
        self._trouble = ""
        self._pending: tuple[Path, str] | None = None
        self._busy = False
        self._hurried = False  # the training run has ended and waits
        self._ended = False
        self._changed = threading.Condition()
        self._process = PushProcess()
        self._thread: threading.Thread | None = None
        self._remove_snapshots()  # of a run that was killed

    def offer(self, step: int, save: SaveModel) -> None:
        """Takes a snapshot of the model, to be pushed as soon as no other push runs; a newer snapshot replaces it.

        Args:
            step: number of updates done.
            save: writes the model's files into the given folder.
        """
        if self.target is not None:
            self._take(f"step {step}", save)

    def finish(self) -> bool:
        """Pushes the files of the finished run and waits for it, `wait_s` seconds at most.

        Returns:
            True if they were pushed. Else the log says what was, and shows the command that pushes the rest.
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
            "%s was not pushed to %s (%s); the newest that was is %s. Push it with: semidepth publish %s --repo %s%s",
            FINISHED, self.target.url, trouble,
            self.pushed[-1] if self.pushed else "none of this run", shlex.quote(str(self.folder)), self.target.repo,
            options,
        )  # fmt: skip
        return False

    def abandon(self) -> None:
        """Kills a running push and drops waiting snapshots; called at the end, also of a run that failed."""
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
        """Writes a snapshot, which then waits to be pushed."""
        snapshot = self.folder / f"{SNAPSHOT}{label.replace(' ', '-')}"
        try:
            snapshot.mkdir(parents=True)
            save(snapshot)
            for name in OPTIONS:
                if (self.folder / name).is_file() and not (snapshot / name).exists():
                    shutil.copy(self.folder / name, snapshot)
        except Exception as error:  # such as a full disk: training continues
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
        """Fills a snapshot with hard links to the run's files, which are replaced when they change, never rewritten."""
        for file in [*model_files(self.folder), *checked_files(self.folder, preview_names(self.folder))]:
            place = snapshot / file.path
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                place.hardlink_to(file.source)
            except OSError:  # a file system without hard links
                shutil.copy(file.source, place)

    def _work(self) -> None:
        """Pushes the newest snapshot until the run ends; runs in a thread."""
        failures = 0
        while (taken := self._next()) is not None:
            snapshot, label = taken
            answer = self._push(snapshot, label)
            if "error" not in answer:
                failures, self._trouble, self._prepared = 0, "", True
                self.pushed.append(label)
                news = "was pushed to" if answer["changed"] else "is unchanged at"
                logger.info("%s %s %s (revision %s)", label, news, answer["url"], answer["revision"])
            else:
                self._trouble = redact(answer["error"])
                failures += answer["passing"]
            if "error" not in answer or not answer["passing"] or not self._wait_again(taken, failures):
                shutil.rmtree(snapshot, ignore_errors=True)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _next(self) -> tuple[Path, str] | None:
        """Waits for a snapshot and returns it; None at the end of the run."""
        with self._changed:
            while self._pending is None and not self._ended:
                self._changed.wait()
            if self._ended:
                return None
            taken, self._pending, self._busy = self._pending, None, True
            return taken

    def _wait_again(self, taken: tuple[Path, str], failures: int) -> bool:
        """Waits before another attempt; returns True if the snapshot is still the newest one, to be tried again."""
        with self._changed:
            hurried = self._hurried
            wait_s = min(growing_wait_s(failures), LAST_WAIT_S) if hurried else growing_wait_s(failures)
            if not self._ended:
                logger.warning("%s was not pushed: %s; next attempt in %.0f s", taken[1], self._trouble, wait_s)
            until = time.monotonic() + wait_s
            # The end of the training run cuts a long wait short.
            while not self._ended and self._hurried == hurried and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            if self._pending is not None or self._ended:
                return False
            self._pending = taken
            return True

    def _push(self, snapshot: Path, label: str) -> dict[str, Any]:
        """Pushes one snapshot and returns the result of [`push_process.work`]."""
        assert self.target is not None
        try:
            self._write_card(snapshot)
            going = public_files(model_files(snapshot), snapshot / "public")
            files = [(file.path, str(file.source)) for file in going]
        except Exception as error:  # the next snapshot may be sound
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
            facts = read_facts(snapshot)
            facts = replace(facts, results=self.known | facts.results)
            card = make_card(facts, preview_names(snapshot), repo=self.target.repo)
        except Exception as error:  # the weights are pushed all the same
            logger.warning("no card could be made for this push (%s)", describe(error))
            return
        (snapshot / CARD).write_text(str(card), encoding="utf-8")
