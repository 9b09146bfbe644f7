"""What the Hub on this machine answers: repositories, uploads small and large, commits, listings, files."""

import base64
import hashlib
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from card_rules import card_errors
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from loopback_hub import LoopbackHub

LFS_SUFFIXES = (".safetensors", ".bin", ".parquet", ".png", ".jpg", ".tar", ".glb", ".npy")
LFS_BYTES = 10_000_000


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
    commits: list[Commit] = field(default_factory=list)

    def commit(self, title: str, files: dict[str, bytes]) -> Commit:
        """Adds a state."""
        oid = hashlib.sha1(f"{title}{time.time_ns()}".encode()).hexdigest()
        self.commits.append(Commit(oid, title, files))
        return self.commits[-1]

    def at(self, revision: str) -> Commit | None:
        """A state by its name; the last one is called main."""
        named = [commit for commit in self.commits if revision in ("main", "HEAD", commit.oid)]
        return named[-1] if named else None


class MissingError(Exception):
    """A repository or revision that is not there: the code of the Hub, and words."""


def error_page(status: int, code: str, words: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error as the Hub tells it."""
    told = {"X-Error-Code": code, "X-Error-Message": words}
    return JSONResponse({"error": words}, status, headers=told | (headers or {}))


def _oid(content: bytes) -> str:
    """As git names a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _is_large(path: str, size: int) -> bool:
    return size >= LFS_BYTES or path.endswith(LFS_SUFFIXES)


def _entry(path: str, content: bytes) -> dict[str, Any]:
    """A file as the Hub describes it."""
    entry = {"type": "file", "oid": _oid(content), "size": len(content), "path": path}
    if _is_large(path, len(content)):
        sha256 = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 120 + len(str(len(content)))}
    return entry


def _info(repository: Repository, commit: Commit, blobs: bool) -> dict[str, Any]:
    siblings = [
        {"rfilename": path} | ({"size": len(content), "blobId": _oid(content)} if blobs else {})
        for path, content in sorted(commit.files.items())
    ]
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    return {
        "_id": repository.name, "id": repository.name, "modelId": repository.name,
        "author": repository.name.split("/")[0], "sha": commit.oid, "private": repository.private, "gated": False,
        "disabled": False, "tags": [], "downloads": 0, "likes": 0, "lastModified": now, "createdAt": now,
        "siblings": siblings,
    }  # fmt: skip


class Pages:
    """The Hub's answers, one method to a kind of request."""

    def __init__(self, hub: "LoopbackHub") -> None:
        self.hub = hub

    def found(self, request: Request) -> tuple[Repository, Commit]:
        """The repository and the state that a request names."""
        place = request.path_params
        repository = self.hub.repositories.get((place.get("kinds", "models")[:-1], f"{place['ns']}/{place['name']}"))
        if repository is None:
            raise MissingError("RepoNotFound", "Repository not found")
        commit = repository.at(place.get("rev", "main"))
        if commit is None:
            raise MissingError("RevisionNotFound", "Invalid rev id")
        return repository, commit

    async def whoami(self, request: Request) -> Response:
        access = {"type": "access_token", "accessToken": {"role": "write", "displayName": "t"}}
        person = {"type": "user", "id": "1", "name": "tester", "fullname": "Tester", "orgs": [], "auth": access}
        return (
            JSONResponse(person)
            if request.headers.get("authorization")
            else error_page(401, "Unauthorized", "no token")
        )

    async def create(self, request: Request) -> Response:
        body = await request.json()
        kind, name = body.get("type") or "model", f"{body.get('organization') or 'tester'}/{body['name']}"
        url = f"{self.hub.url}/{'' if kind == 'model' else kind + 's/'}{name}"
        if (kind, name) in self.hub.repositories:
            return JSONResponse({"error": "You already created this repo", "url": url}, 409)
        self.hub.add(kind, name, {}).private = bool(body.get("private")) or body.get("visibility") == "private"
        return JSONResponse({"url": url, "name": name, "id": name})

    async def delete(self, request: Request) -> Response:
        body = await request.json()
        name = f"{body.get('organization') or 'tester'}/{body['name']}"
        self.hub.repositories.pop((body.get("type") or "model", name), None)
        return JSONResponse({})

    async def validate_card(self, request: Request) -> Response:
        body = await request.json()
        errors = card_errors(body["content"]) if body.get("repoType", "model") == "model" else []
        told = {"errors": [{"message": error} for error in errors], "warnings": []}
        return JSONResponse(told, 400 if errors else 200)

    async def before_upload(self, request: Request) -> Response:
        """Which files go up as large ones."""
        _, commit = self.found(request)
        answers = []
        for file in (await request.json())["files"]:
            mode = "lfs" if _is_large(file["path"], file["size"]) else "regular"
            answer = {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
            if (old := commit.files.get(file["path"])) is not None:
                answer["oid"] = hashlib.sha256(old).hexdigest() if mode == "lfs" else _oid(old)
            answers.append(answer)
        return JSONResponse({"files": answers})

    async def large_batch(self, request: Request) -> Response:
        """Where large files that are not here go."""
        objects = []
        for wanted in (await request.json())["objects"]:
            place = f"{self.hub.url}/_lfs/{wanted['oid']}"
            actions = {"upload": {"href": place}, "verify": {"href": f"{place}/verify"}}
            have = wanted["oid"] in self.hub.blobs
            objects.append({"oid": wanted["oid"], "size": wanted["size"]} | ({} if have else {"actions": actions}))
        return JSONResponse({"transfer": "basic", "objects": objects}, media_type="application/vnd.git-lfs+json")

    async def large_put(self, request: Request) -> Response:
        content, oid = await request.body(), request.path_params["oid"]
        if hashlib.sha256(content).hexdigest() != oid:
            return error_page(400, "BadOid", "sha256 mismatch")
        self.hub.blobs[oid] = content
        return Response()

    async def large_verify(self, request: Request) -> Response:
        body = await request.json()
        whole = len(self.hub.blobs.get(body["oid"], b"")) == body["size"]
        return Response(status_code=200 if whole else 404)

    async def commit(self, request: Request) -> Response:
        """A new state from lines of JSON, each of which adds, deletes or names."""
        if not request.headers.get("authorization"):
            return error_page(401, "Unauthorized", "no token")
        repository, last = self.found(request)
        files, title = dict(last.files), ""
        for line in filter(None, (await request.body()).splitlines()):
            step = json.loads(line)
            key, value = step["key"], step["value"]
            if key == "header":
                title = value["summary"]
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in self.hub.blobs:
                    return error_page(400, "LfsMissing", "lfs object missing")
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif key == "deletedFile":
                files.pop(value["path"], None)
            elif key == "deletedFolder":
                below = value["path"].rstrip("/") + "/"
                files = {path: content for path, content in files.items() if not path.startswith(below)}
        oid = repository.commit(title, files).oid
        url = f"{self.hub.url}/{repository.name}/commit/{oid}"
        return JSONResponse({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    async def info(self, request: Request) -> Response:
        return JSONResponse(_info(*self.found(request), "blobs" in request.query_params))

    async def tree(self, request: Request) -> Response:
        """Files and folders below a folder, all or those right in it."""
        _, commit = self.found(request)
        above = request.path_params.get("path", "").strip("/")
        whole = request.query_params.get("recursive", "").lower() == "true"
        entries, folders = [], set()
        for path, content in sorted(commit.files.items()):
            if above and not path.startswith(f"{above}/"):
                continue
            parts = path.removeprefix(above).strip("/").split("/")
            for depth in range(1, len(parts) if whole else min(2, len(parts))):
                folders.add("/".join([*filter(None, [above]), *parts[:depth]]))
            if whole or len(parts) == 1:
                entries.append(_entry(path, content))
        if above and not entries and not folders:
            return error_page(404, "EntryNotFound", "no such path")
        named = [{"type": "directory", "oid": _oid(name.encode()), "size": 0, "path": name} for name in sorted(folders)]
        return JSONResponse(named + entries)

    async def paths_info(self, request: Request) -> Response:
        _, commit = self.found(request)
        is_json = "json" in request.headers.get("content-type", "")
        paths = (await request.json())["paths"] if is_json else (await request.form()).getlist("paths")
        return JSONResponse([_entry(path, commit.files[path]) for path in paths if path in commit.files])

    async def references(self, request: Request) -> Response:
        _, commit = self.found(request)
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": commit.oid}
        return JSONResponse({"branches": [main], "tags": [], "converts": [], "pullRequests": []})

    async def resolve(self, request: Request) -> Response:
        """A file, or a part of it."""
        _, commit = self.found(request)
        content = commit.files.get(request.path_params["path"])
        if content is None:
            return error_page(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit.oid})
        entry = _entry(request.path_params["path"], content)
        oid = entry.get("lfs", entry)["oid"]
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{oid}"', "Accept-Ranges": "bytes"}
        if "lfs" in entry:
            headers |= {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{oid}"'}
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if part is None:
            return Response(content, headers=headers, media_type="application/octet-stream")
        first, last = int(part[1]), min(int(part[2] or len(content)), len(content) - 1)
        if first >= len(content):
            return Response(status_code=416, headers={"Content-Range": f"bytes */{len(content)}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return Response(content[first : last + 1], 206, headers=headers, media_type="application/octet-stream")

    async def unknown(self, request: Request) -> Response:
        return error_page(404, "NotImplemented", "not implemented here")

    def routes(self) -> list[Route]:
        """All pages by their address."""
        repository, any_method = "/{ns}/{name}", ["GET", "HEAD", "POST", "PUT", "DELETE"]
        api = "/api/{kinds}" + repository
        routes = [
            Route("/api/whoami-v2", self.whoami),
            Route("/api/repos/create", self.create, methods=["POST"]),
            Route("/api/repos/delete", self.delete, methods=["DELETE"]),
            Route("/api/validate-yaml", self.validate_card, methods=["POST"]),
            Route("/_lfs/{oid}", self.large_put, methods=["PUT"]),
            Route("/_lfs/{oid}/verify", self.large_verify, methods=["POST"]),
            Route(f"{api}/preupload/{{rev:path}}", self.before_upload, methods=["POST"]),
            Route(f"{api}/commit/{{rev:path}}", self.commit, methods=["POST"]),
            Route(f"{api}/tree/{{rev}}", self.tree),
            Route(f"{api}/tree/{{rev}}/{{path:path}}", self.tree),
            Route(f"{api}/paths-info/{{rev}}", self.paths_info, methods=["POST"]),
            Route(f"{api}/refs", self.references),
            Route(f"{api}/revision/{{rev}}", self.info),
            Route(api, self.info),
        ]
        for place in ("/{kinds}" + repository, repository):  # models have no word before their name
            routes.append(Route(f"{place}.git/info/lfs/objects/batch", self.large_batch, methods=["POST"]))
            routes.append(Route(f"{place}/resolve/{{rev}}/{{path:path}}", self.resolve, methods=["GET", "HEAD"]))
        return [*routes, Route("/{path:path}", self.unknown, methods=any_method)]
