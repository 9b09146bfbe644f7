"""Repositories on the Hub: checked for the right to write, created, and pushed to in one commit.

huggingface_hub's `upload_folder(delete_patterns=...)` does nearly this, but it spreads a folder over several commits if
it has more than 250 files or takes more than five minutes. Others could load half a model, and a run that is killed
would leave one. tests/publishing/test_library_faults.py shows it. `create_commit` makes one.

Nothing here needs torch, so that a push can run in a process of its own that starts in half a second.
"""

import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import huggingface_hub
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id

from semidepth.common.retrying import describe, is_final
from semidepth.publishing.files import HubFile, Kind, is_stale

logger = logging.getLogger(__name__)

ATTEMPTS = 5
FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 300.0
# In one commit; only a large set of pseudo labels has more, and any part of it can be used.
FILES_PER_COMMIT = 1000
# Seconds without a byte from or to the Hub; huggingface_hub itself waits without limit.
STALLED_S = 120.0
TOKENS_PAGE = "https://huggingface.co/settings/tokens"

_BRANCH = re.compile(r"(refs/pr/\d+|(?!refs/)[\w][\w./-]*)")
Given = TypeVar("Given")


class HubDownError(RuntimeError):
    """The Hub cannot be reached, is busy, or somebody else is writing to the repository; a later try may work."""


@dataclass(frozen=True)
class Target:
    """A repository to push to.

    Attributes:
        repo: org/name.
        kind: of repository.
        private: create it as a private one, and refuse an existing public one.
        branch: other than main, created if missing; `refs/pr/N` is pull request N.
        pull_request: open a pull request instead of writing to the branch.
        sdk: of a Space.
    """

    repo: str
    kind: Kind = "model"
    private: bool = False
    branch: str | None = None
    pull_request: bool = False
    sdk: str | None = None

    def validate(self, option: str = "repo") -> None:
        """Raises ValueError for an impossible name of repository or branch.

        Args:
            option: name of the option that gave the repository.
        """
        try:
            validate_repo_id(self.repo)
        except HFValidationError as error:
            raise ValueError(f"--{option} {self.repo!r} cannot be a repository's name: {describe(error)}") from None
        if self.repo.count("/") != 1:
            raise ValueError(f"--{option} is {self.repo!r}; give org/name, or your user name in place of org.")
        if self.branch is not None and not _BRANCH.fullmatch(self.branch):
            raise ValueError(f"the branch is {self.branch!r}; give a name such as trial, or refs/pr/N.")
        if self.pull_request and self.branch is not None:
            raise ValueError("a pull request goes to main; leave out the branch, or give refs/pr/N to add to one.")

    @property
    def url(self) -> str:
        """Address of the repository's page."""
        prefix = "" if self.kind == "model" else f"{self.kind}s/"
        return f"{constants.ENDPOINT}/{prefix}{self.repo}"


@dataclass(frozen=True)
class Pushed:
    """Result of a push.

    Attributes:
        revision: that holds the files.
        changed: True if the push made a commit.
        url: page of the repository or pull request.
    """

    revision: str
    changed: bool
    url: str


def limit_waiting(seconds: float = STALLED_S) -> None:
    """Sets a time limit for all requests of this process; for commands and processes that only push."""
    plain = huggingface_hub.get_session()
    kind, hooks = type(plain), plain.event_hooks
    huggingface_hub.set_client_factory(lambda: kind(event_hooks=hooks, follow_redirects=True, timeout=seconds))


def growing_wait_s(failures: int) -> float:
    """Returns the seconds to wait after a number of failures in a row: exponential, with a random part."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (failures - 1)) * random.Random().uniform(0.75, 1.0)


def prepare(target: Target, attempts: int = ATTEMPTS) -> None:
    """Checks that files can be pushed to a target, and creates a missing repository or branch.

    Raises:
        ValueError: token, name or rights do not allow it.
        HubDownError: the Hub cannot be reached.
    """
    if get_token() is None:
        raise ValueError(f"pushing to {target.repo} needs a token that may write; run `hf auth login` or set HF_TOKEN.")
    _try(target, lambda: _prepare(target, HfApi()), attempts)


def _prepare(target: Target, api: HfApi) -> None:
    me = api.whoami()
    role = me.get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise ValueError(
            f"the token of {me['name']!r} may only read; make one that may write ({TOKENS_PAGE}) to push to "
            f"{target.repo}."
        )
    namespaces = [me["name"], *(org["name"] for org in me.get("orgs", []))]
    own = target.repo.split("/")[0] in namespaces
    try:
        info: Any = api.repo_info(target.repo, repo_type=target.kind)
    except RepositoryNotFoundError:
        info = None
    by_request = target.pull_request or (target.branch or "").startswith("refs/pr/")
    if info is None and by_request:
        raise ValueError(f"there is no {target.kind} {target.repo} to open a pull request for; check its name.")
    if info is None and not own:
        raise ValueError(
            f"{target.repo} cannot be made by {me['name']!r}, who belongs to {', '.join(namespaces)}; choose a name "
            "below one of these."
        )
    if info is None:
        api.create_repo(
            target.repo, repo_type=target.kind, private=target.private or None, exist_ok=True, space_sdk=target.sdk
        )
    elif not own and not by_request:
        raise ValueError(
            f"{target.repo} is there already and not of {me['name']!r}; choose another name, such as "
            f"{me['name']}/{target.repo.split('/')[1]}, or open a pull request."
        )
    elif target.private and not info.private and not by_request:
        raise ValueError(
            f"{target.repo} is there already and public; make it private in its settings, or do not ask for private "
            "(--hub_private false, or no --private)."
        )
    if target.branch is not None and not by_request:
        api.create_branch(target.repo, branch=target.branch, repo_type=target.kind, exist_ok=True)


def push(target: Target, files: Sequence[HubFile], message: str, attempts: int = ATTEMPTS) -> Pushed:
    """Uploads files in one commit. Unchanged files are not sent, and without changes there is no commit.

    Weights, exports, scores and parts of label sets that become obsolete are removed in the same commit. Other files of
    the repository stay.

    Raises:
        ValueError: the Hub refuses the push.
        HubDownError: the Hub cannot be reached. It keeps the large files that were sent, for the next push.
    """
    revision, pushed = target.branch, None
    before = _try(
        target, lambda: HfApi().repo_info(target.repo, repo_type=target.kind, revision=revision).sha, attempts
    )
    stale = _stale(target, files, attempts) if target.kind != "space" else []
    for first in range(0, len(files), FILES_PER_COMMIT):
        part = files[first : first + FILES_PER_COMMIT]
        deletions = stale if first == 0 else []
        create_pr = target.pull_request and revision is None
        pushed = _try(target, lambda: _commit(target, part, deletions, message, revision, create_pr), attempts)  # noqa: B023
        if pushed.pr_url is not None:
            revision = pushed.pr_revision
    if pushed is None:
        raise ValueError(f"there is nothing to push to {target.repo}; name a folder with files.")
    changed = pushed.oid != before
    return Pushed(pushed.oid, changed, (pushed.pr_url if target.pull_request else None) or target.url)


def _commit(
    target: Target, files: Sequence[HubFile], stale: list[str], message: str, revision: str | None, create_pr: bool
) -> Any:
    # New ones for each attempt: huggingface_hub writes into them.
    operations = [CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=file.source) for file in files]
    deletions = [CommitOperationDelete(path_in_repo=path) for path in stale]
    return HfApi().create_commit(
        target.repo,
        [*operations, *deletions],
        repo_type=target.kind,
        commit_message=message,
        revision=revision,
        create_pr=create_pr,
    )


def _stale(target: Target, files: Sequence[HubFile], attempts: int) -> list[str]:
    """Returns the files in the repository that the new ones make obsolete."""
    present = _try(
        target,
        lambda: HfApi().list_repo_files(target.repo, repo_type=target.kind, revision=target.branch),
        attempts,
    )
    going = {file.path for file in files}
    return [path for path in present if is_stale(path, going, target.kind)]


def _try(target: Target, call: Callable[[], Given], attempts: int) -> Given:
    """Returns the result of a call, which is tried again with growing waits while the Hub is down or busy."""
    failures = 0
    while True:
        try:
            return call()
        except Exception as error:  # httpx, huggingface_hub and hf_xet have their own kinds
            told = in_one_sentence(error, target)
            failures += 1
            if isinstance(told, ValueError) or failures >= attempts:
                raise told from error
            wait_s = growing_wait_s(failures)
            logger.warning("%s: %s; attempt %d of %d in %.0f s", target.repo, told, failures + 1, attempts, wait_s)
            time.sleep(wait_s)


def in_one_sentence(error: Exception, target: Target) -> ValueError | HubDownError:
    """Returns a HubDownError where another try may help, else a ValueError that says what to do."""
    *_, error = _causes(error)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if type(error) is ValueError:
        return ValueError(describe(error))
    if status == 401 and not isinstance(error, RepositoryNotFoundError):
        return ValueError(
            f"the Hub does not know the token in use; make one that may write ({TOKENS_PAGE}) and run "
            "`hf auth login` or set HF_TOKEN."
        )
    if status == 403:
        return ValueError(
            f"the Hub does not let this token write to {target.repo} ({_words(error)}); ask for the right to, choose "
            "another name, or open a pull request."
        )
    if status in (401, 404):
        return ValueError(
            f"{target.repo} is not there, or not for this token ({describe(error)}); check name and branch."
        )
    if status in (409, 412):
        return HubDownError(f"somebody else is writing to {target.repo} ({_words(error)})")
    if is_final(error):
        return ValueError(f"{target.repo} was not pushed ({describe(error)}); mend that and push again.")
    return HubDownError(describe(error))


def _words(error: Exception) -> str:
    """Returns the Hub's own words, or the error's."""
    words = getattr(error, "server_message", None) if isinstance(error, HfHubHTTPError) else None
    return " ".join(words.split()) if words else describe(error)


def _causes(error: BaseException) -> Iterator[Any]:
    """Yields an error, then the causes of errors that only say that an upload failed."""
    yield error
    while type(error) is RuntimeError and error.__cause__ is not None:
        error = error.__cause__
        yield error
