"""What the Hub on this machine holds: people with their tokens, repositories, their branches and states."""

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any

LFS_SUFFIXES = (".safetensors", ".bin", ".parquet", ".png", ".jpg", ".tar", ".glb", ".npy", ".onnx")
LFS_BYTES = 10_000_000


@dataclass(frozen=True)
class Person:
    """Who a token belongs to, and what it allows: role is write or read."""

    name: str
    role: str = "write"
    organizations: tuple[str, ...] = ()

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Below which names this person may make and change repositories."""
        return (self.name, *self.organizations)

    def may_write(self, name: str) -> bool:
        """Whether the token may change a repository of this name."""
        return self.role == "write" and name.split("/")[0] in self.namespaces


@dataclass
class Commit:
    """One state of a repository: what each path holds."""

    oid: str
    title: str
    files: dict[str, bytes]


@dataclass
class Repository:
    """A model, dataset or Space."""

    kind: str
    name: str
    private: bool = False
    sdk: str | None = None
    branches: dict[str, list[Commit]] = field(default_factory=lambda: {"main": []})

    @property
    def commits(self) -> list[Commit]:
        """The states of main, oldest first."""
        return self.branches["main"]

    @property
    def pull_requests(self) -> list[str]:
        """Names of the pull requests' branches."""
        return [name for name in self.branches if name.startswith("refs/pr/")]

    def commit(self, title: str, files: dict[str, bytes], branch: str = "main") -> Commit:
        """Adds a state to a branch."""
        oid = hashlib.sha1(f"{title}{time.time_ns()}".encode()).hexdigest()
        self.branches[branch].append(Commit(oid, title, files))
        return self.branches[branch][-1]

    def branch(self, name: str, start: Commit) -> None:
        """Makes a branch that begins with a state."""
        self.branches[name] = [start]

    def at(self, revision: str) -> Commit | None:
        """A state by its name, or the last one of a branch."""
        if revision in self.branches or revision == "HEAD":
            return self.branches["main" if revision == "HEAD" else revision][-1]
        named = [commit for commits in self.branches.values() for commit in commits if commit.oid == revision]
        return named[-1] if named else None


def git_oid(content: bytes) -> str:
    """As git names a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(path: str, size: int) -> bool:
    return size >= LFS_BYTES or path.endswith(LFS_SUFFIXES)


def entry_of(path: str, content: bytes) -> dict[str, Any]:
    """A file as the Hub describes it."""
    entry = {"type": "file", "oid": git_oid(content), "size": len(content), "path": path}
    if is_large(path, len(content)):
        sha256 = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 120 + len(str(len(content)))}
    return entry


def info_of(repository: Repository, commit: Commit, blobs: bool) -> dict[str, Any]:
    siblings = [
        {"rfilename": path} | ({"size": len(content), "blobId": git_oid(content)} if blobs else {})
        for path, content in sorted(commit.files.items())
    ]
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    return {
        "_id": repository.name, "id": repository.name, "modelId": repository.name,
        "author": repository.name.split("/")[0], "sha": commit.oid, "private": repository.private, "gated": False,
        "disabled": False, "sdk": repository.sdk, "tags": [], "downloads": 0, "likes": 0, "lastModified": now,
        "createdAt": now, "siblings": siblings,
    }  # fmt: skip
