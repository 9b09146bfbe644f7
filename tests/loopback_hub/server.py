"""A small Hub on this machine: repositories of models, datasets and Spaces that can be made, pushed to and read.

    with LoopbackHub() as hub:
        hub.add("dataset", "org/frames", {"data/train.parquet": content})
        hub.faults.fail("train.parquet", status=503)
        subprocess.run([...], env=os.environ | hub.environment(tmp_path))

huggingface_hub reads its address when it is imported: clients run in a process of their own. Everything is in memory.
TOKEN is of a person who may write to what is theirs and their organization's; others are of those in `people`.
"""

import asyncio
import threading
import time
from contextlib import suppress
from pathlib import Path

import uvicorn
from flaky_server import FaultPlan
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loopback_hub.pages import Pages, RefusedError, error_page
from loopback_hub.repositories import Person, Repository

TOKEN = "hf_" + "loopback" * 4
READ_TOKEN = "hf_" + "readonly" * 4
OTHER_TOKEN = "hf_" + "somebody" * 4
GIT_ATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"


class LoopbackHub:
    """Serves on a free port until it is closed."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.faults = FaultPlan()
        self.released = threading.Event()  # ends all stalls
        self.calls: list[tuple[str, str, int]] = []  # method, path and status of each
        self.blobs: dict[str, bytes] = {}
        self.people = {
            TOKEN: Person("tester", organizations=("org",)),
            READ_TOKEN: Person("tester", role="read", organizations=("org",)),
            OTHER_TOKEN: Person("somebody"),
        }
        app = _Faulty(Starlette(routes=Pages(self).routes(), exception_handlers={RefusedError: _refused}), self)
        self._server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def __enter__(self) -> "LoopbackHub":
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.should_exit = True
        self._thread.join(timeout=10)

    def environment(self, home: Path, token: str = TOKEN) -> dict[str, str]:
        """What a client's process needs in its environment to take this for the Hub; it keeps its cache in `home`."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": token,
            "HF_HOME": str(home / "hf_home"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "false",
            "HF_HUB_OFFLINE": "0",
        }

    def add(self, kind: str, name: str, files: dict[str, bytes]) -> Repository:
        """Makes a repository with these files, or adds them to it; kind is model, dataset or space."""
        repository = self.repositories.setdefault((kind, name), Repository(kind, name))
        if not repository.commits:
            repository.commit("initial commit", {".gitattributes": GIT_ATTRIBUTES})
        repository.commit("files", repository.commits[-1].files | files)
        return repository

    def wait_for(self, path: str, seconds: float = 60.0) -> None:
        """Waits until a call to a path that ends like this was answered."""
        end = time.monotonic() + seconds
        while not any(called.endswith(path) for _, called, _ in self.calls):
            if time.monotonic() > end:
                raise TimeoutError(f"nobody called {path}")
            time.sleep(0.05)

    def files(self, kind: str, name: str) -> dict[str, bytes]:
        """What a repository holds now."""
        return self.repositories[kind, name].commits[-1].files


async def _refused(request: Request, error: Exception) -> Response:
    return error_page(*error.args)


class _Faulty:
    """Runs planned faults, and keeps a list of all calls."""

    def __init__(self, app: ASGIApp, hub: LoopbackHub) -> None:
        self._app = app
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        fault = self._hub.faults.next(scope["method"], scope["path"])
        if fault is not None and fault.status is not None:
            self._hub.calls.append((scope["method"], scope["path"], fault.status))
            await error_page(fault.status, "Planned", "as planned")(scope, receive, send)
            return
        if fault is not None and fault.stall_after is not None:
            while not self._hub.released.wait(0.0):
                await asyncio.sleep(0.05)
        if fault is not None and scope["method"] == "PUT" and fault.drop_after is not None:
            await _cut_upload(fault.drop_after, receive, send)
            self._hub.calls.append((scope["method"], scope["path"], 0))
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._hub.calls.append((scope["method"], scope["path"], message["status"]))
            elif fault is not None and fault.drop_after is not None:
                await send(message | {"body": message["body"][: fault.drop_after], "more_body": True})
                raise _DroppedError
            await send(message)

        with suppress(_DroppedError):  # the answer is not finished then: uvicorn closes the connection
            await self._app(scope, receive, watched)


class _DroppedError(Exception):
    """A connection that is closed as planned."""


async def _cut_upload(after: int, receive: Receive, send: Send) -> None:
    """Reads so many bytes of what is sent, then closes the connection without an answer to speak of."""
    read = 0
    while read < after:
        message = await receive()
        read += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
