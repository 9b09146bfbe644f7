"""What the Hub on this machine answers: repositories, uploads small and large, commits, listings, files."""

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loopback_hub.card_rules import card_errors
from loopback_hub.repositories import Commit, Person, Repository, entry_of, git_oid, info_of, is_large

if TYPE_CHECKING:
    from loopback_hub.server import LoopbackHub


class _Reference(StringConvertor):
    """A branch, commit or pull request; the last is the only one that may have slashes in it unquoted."""

    regex = "refs/pr/[0-9]+|[^/]+"


register_url_convertor("reference", _Reference())


class RefusedError(Exception):
    """What is not there or not allowed: status, the Hub's code, and words."""


def error_page(status: int, code: str, words: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error as the Hub tells it."""
    told = {"X-Error-Code": code, "X-Error-Message": words}
    return JSONResponse({"error": words}, status, headers=told | (headers or {}))


class Pages:
    """The Hub's answers, one method to a kind of request."""

    def __init__(self, hub: "LoopbackHub") -> None:
        self.hub = hub

    def person(self, request: Request) -> Person | None:
        """Whose token a request carries; None without one."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.people:
            raise RefusedError(401, "Unauthorized", "Invalid credentials in Authorization header")
        return self.hub.people.get(token)

    def found(self, request: Request) -> tuple[Repository, Commit]:
        """The repository and the state that a request names, if whoever asks may see it."""
        place, person = request.path_params, self.person(request)
        repository = self.hub.repositories.get((place.get("kinds", "models")[:-1], f"{place['ns']}/{place['name']}"))
        if repository is not None and repository.private and (not person or place["ns"] not in person.namespaces):
            repository = None
        if repository is None:
            raise RefusedError(404 if person else 401, "RepoNotFound", "Repository not found")
        commit = repository.at(place.get("rev", "main"))
        if commit is None:
            raise RefusedError(404, "RevisionNotFound", "Invalid rev id")
        return repository, commit

    def check_writer(self, request: Request, name: str) -> None:
        """Raises RefusedError unless whoever asks may change repositories of this name."""
        person = self.person(request)
        if person is None:
            raise RefusedError(401, "Unauthorized", "no token")
        if not person.may_write(name):
            raise RefusedError(403, "Forbidden", f"You don't have the rights to write to {name}")

    async def whoami(self, request: Request) -> Response:
        person = self.person(request)
        if person is None:
            return error_page(401, "Unauthorized", "no token")
        access = {"type": "access_token", "accessToken": {"role": person.role, "displayName": "t"}}
        organizations = [{"type": "org", "name": name} for name in person.organizations]
        return JSONResponse({"type": "user", "id": "1", "name": person.name, "orgs": organizations, "auth": access})

    async def create(self, request: Request) -> Response:
        body, person = await request.json(), self.person(request)
        kind, name = (
            body.get("type") or "model",
            f"{body.get('organization') or (person and person.name)}/{body['name']}",
        )
        url = f"{self.hub.url}/{'' if kind == 'model' else kind + 's/'}{name}"
        if (kind, name) in self.hub.repositories:
            return JSONResponse({"error": "You already created this repo", "url": url}, 409)
        self.check_writer(request, name)
        repository = self.hub.add(kind, name, {})
        repository.private = bool(body.get("private")) or body.get("visibility") == "private"
        repository.sdk = body.get("sdk")
        return JSONResponse({"url": url, "name": name, "id": name})

    async def create_branch(self, request: Request) -> Response:
        branch = request.path_params.pop("rev")
        repository, start = self.found(request)
        self.check_writer(request, repository.name)
        if branch in repository.branches:
            return error_page(409, "Conflict", "Reference already exists")
        repository.branch(branch, start)
        return JSONResponse({})

    async def delete(self, request: Request) -> Response:
        body = await request.json()
        name = f"{body.get('organization') or 'tester'}/{body['name']}"
        self.check_writer(request, name)
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
            mode = "lfs" if is_large(file["path"], file["size"]) else "regular"
            answer = {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
            if (old := commit.files.get(file["path"])) is not None:
                answer["oid"] = hashlib.sha256(old).hexdigest() if mode == "lfs" else git_oid(old)
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
        repository, last = self.found(request)
        pull_request = "create_pr" in request.query_params
        branch = request.path_params["rev"]
        if self.person(request) is None or not (pull_request or branch in repository.pull_requests):
            self.check_writer(request, repository.name)
        files, title = dict(last.files), ""
        for line in filter(None, (await request.body()).splitlines()):
            step = json.loads(line)
            key, value = step["key"], step["value"]
            if key == "header":
                title = value["summary"]
                if value.get("parentCommit", last.oid) != last.oid:
                    return error_page(412, "Conflict", "A commit has happened since. Please refresh and try again.")
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
        page = f"{self.hub.url}/{'' if repository.kind == 'model' else repository.kind + 's/'}{repository.name}"
        answer = {"success": True, "hookOutput": ""}
        if pull_request:
            number = len(repository.pull_requests) + 1
            branch = f"refs/pr/{number}"
            repository.branch(branch, last)
            answer["pullRequestUrl"] = f"{page}/discussions/{number}"
        oid = repository.commit(title, files, branch).oid
        return JSONResponse(answer | {"commitOid": oid, "commitUrl": f"{page}/commit/{oid}"})

    async def info(self, request: Request) -> Response:
        return JSONResponse(info_of(*self.found(request), "blobs" in request.query_params))

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
                entries.append(entry_of(path, content))
        if above and not entries and not folders:
            return error_page(404, "EntryNotFound", "no such path")
        named = [
            {"type": "directory", "oid": git_oid(name.encode()), "size": 0, "path": name} for name in sorted(folders)
        ]
        return JSONResponse(named + entries)

    async def paths_info(self, request: Request) -> Response:
        _, commit = self.found(request)
        is_json = "json" in request.headers.get("content-type", "")
        paths = (await request.json())["paths"] if is_json else (await request.form()).getlist("paths")
        return JSONResponse([entry_of(path, commit.files[path]) for path in paths if path in commit.files])

    async def references(self, request: Request) -> Response:
        repository, _ = self.found(request)
        named: dict[str, list[dict[str, str]]] = {"branches": [], "pullRequests": []}
        for name, commits in repository.branches.items():
            own = name in repository.pull_requests
            reference = {"name": name, "ref": name if own else f"refs/heads/{name}", "targetCommit": commits[-1].oid}
            named["pullRequests" if own else "branches"].append(reference)
        return JSONResponse(named | {"tags": [], "converts": []})

    async def resolve(self, request: Request) -> Response:
        """A file, or a part of it."""
        _, commit = self.found(request)
        content = commit.files.get(request.path_params["path"])
        if content is None:
            return error_page(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit.oid})
        entry = entry_of(request.path_params["path"], content)
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
            Route(f"{api}/tree/{{rev:reference}}", self.tree),
            Route(f"{api}/tree/{{rev:reference}}/{{path:path}}", self.tree),
            Route(f"{api}/paths-info/{{rev:reference}}", self.paths_info, methods=["POST"]),
            Route(f"{api}/refs", self.references),
            Route(f"{api}/branch/{{rev:path}}", self.create_branch, methods=["POST"]),
            Route(f"{api}/revision/{{rev:path}}", self.info),
            Route(api, self.info),
        ]
        for place in ("/{kinds}" + repository, repository):  # models have no word before their name
            routes.append(Route(f"{place}.git/info/lfs/objects/batch", self.large_batch, methods=["POST"]))
            routes.append(
                Route(f"{place}/resolve/{{rev:reference}}/{{path:path}}", self.resolve, methods=["GET", "HEAD"])
            )
        return [*routes, Route("/{path:path}", self.unknown, methods=any_method)]
