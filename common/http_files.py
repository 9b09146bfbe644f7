"""Files over http(s), read with retries; replaces fsspec's http file system in this process.

fsspec's own takes a server that is busy for a file that is not there, and starts a broken body from its first byte.
Here every request is asked again where that may help, and a body goes on from the byte that it broke at, below the
readers of parquet and tar, which never see it. It is registered when this module is imported; options of each call
would not do: `datasets` keeps those of the source that was opened last, for all.
"""

import asyncio
import re
from functools import partial
from typing import Any

import fsspec
from aiohttp import ClientError, ClientHandlerType, ClientRequest, ClientResponse, ClientSession, ClientTimeout
from fsspec.asyn import sync
from fsspec.core import url_to_fs
from fsspec.implementations.http import HTTPFile, HTTPFileSystem, HTTPStreamFile

from semidepth.common import retrying
from semidepth.common.retrying import (
    GivenUpError,
    passing,
    retry,
    wait_or_raise,
    wished_wait,
)

FETCH_ATTEMPTS = 5  # for one image by its URL: about a quarter of a minute
PIECE_BYTES = 4 * 2**20
_PART = re.compile(r"bytes=\d+-\d+")


def fetch(url: str) -> bytes:
    """The content of one small file.

    Args:
        url: that fsspec reads.

    Returns:
        All its bytes.

    Raises:
        GivenUpError: it could not be read in `FETCH_ATTEMPTS`.
        Exception: another one of its file system, where asking again cannot help.
    """
    files, path = url_to_fs(url, **({"attempts": FETCH_ATTEMPTS} if url.startswith("http") else {}))
    return retry(partial(files.cat_file, path), url, FETCH_ATTEMPTS)


class SteadyHTTPFileSystem(HTTPFileSystem):
    """fsspec's HTTPFileSystem with retried requests and resumed streams.

    Args:
        arguments: HTTPFileSystem's.
        attempts: the most requests for one thing in a row; by default `retrying.ATTEMPTS`.
        options: HTTPFileSystem's.
    """

    def __init__(self, *arguments: Any, attempts: int | None = None, **options: Any) -> None:
        super().__init__(*arguments, **{"get_client": partial(_client, attempts=attempts)} | options)

    async def _info(self, url: str, **options: Any) -> dict[str, Any]:
        """Asks HEAD, or else GET, for a file's size and type; raises the true error where fsspec would say missing."""
        try:
            return await super()._info(url, **options)
        except FileNotFoundError as error:
            cause = error.__cause__
            if isinstance(cause, Exception) and getattr(cause, "status", None) not in (404, 410):
                raise cause from None
            raise FileNotFoundError(f"{url} is not there") from None

    async def _exists(self, path: str, strict: bool = False, **options: Any) -> bool:
        """True if the file is there; asks for no content."""
        try:
            await self._info(path, **options)
        except FileNotFoundError:
            if strict:
                raise
            return False
        return True

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **_: Any) -> HTTPFile | HTTPStreamFile:
        block_size = self.block_size if block_size is None else block_size
        found = self.info(path) if block_size else {}
        given = {"mode": mode, "session": sync(self.loop, self.set_session), "loop": self.loop, **self.kwargs}
        if found.get("size") and found.get("partial", True):
            cache = {"cache_type": self.cache_type, "cache_options": self.cache_options}
            return SteadyFile(self, path, block_size=block_size, size=found["size"], **cache, **given)
        return SteadyStreamFile(self, path, **given)


class SteadyFile(HTTPFile):
    """A file of which any part can be read; a large part is asked for in pieces, so that a loss costs one."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        pieces = range(start, end, PIECE_BYTES)
        return b"".join(super(SteadyFile, self)._fetch_range(at, min(at + PIECE_BYTES, end)) for at in pieces)


class SteadyStreamFile(HTTPStreamFile):
    """A body read from front to end, resumed at the same byte when its connection is lost."""

    r: ClientResponse
    _lost = False
    _over = False

    def read(self, length: int = -1) -> bytes:
        """The next bytes, `length` or less; none at the end."""
        return retry(partial(self._read_once, length), f"{self.url} at byte {self.loc}")

    def _read_once(self, length: int) -> bytes:
        if self._lost:
            sync(self.loop, self._resume)
            self._lost = False
        try:
            return b"" if self._over else super().read(length)
        except Exception:
            self._lost = True
            raise

    async def _resume(self) -> None:
        self.r.close()
        options = {**self.kwargs, "headers": {**self.kwargs.get("headers", {}), "Range": f"bytes={self.loc}-"}}
        self.r = await self.session.get(self.fs.encode_url(self.url), **options)
        self._over = self.r.status == 416  # the loss came after the last byte
        if not self._over:
            self.fs._raise_not_found_for_status(self.r, self.url)
        if self.r.status == 200:  # a server that gives whole files only
            left = self.loc
            while left and (passed := await self.r.content.read(min(left, 2**20))):
                left -= len(passed)


async def _client(attempts: int | None = None, **options: Any) -> ClientSession:
    """A session that gives up on a server that stops sending, and asks again. A tar may stream for hours."""
    wait_s = retrying.STALLED_S
    steady: dict[str, Any] = {
        "timeout": ClientTimeout(total=None, sock_connect=wait_s, sock_read=wait_s),
        "trust_env": True,  # passwords of ~/.netrc, and the proxy of this machine
        "middlewares": (partial(_ask_again, attempts=attempts),),
    }
    return ClientSession(**steady | options)


async def _ask_again(request: ClientRequest, handler: ClientHandlerType, attempts: int | None = None) -> ClientResponse:
    """Sends a request until it is answered; a GET of a part of a file until the whole part is here."""
    if request.method != "GET":  # fsspec asks with HEAD first, and with GET where that failed
        return await handler(request)
    name, failures = str(request.url), 0
    while True:
        wish_s = 0.0
        try:
            response = await handler(request)
            if response.status in (401, 403):
                response.close()
                answer = f"{response.status} ({response.reason})"
                raise GivenUpError(f"{name} may not be read here: its server answers {answer}")
            if passing(response.status):
                wish_s = wished_wait(response.headers)
                response.close()
                response.raise_for_status()
            if response.status == 206 and _PART.fullmatch(request.headers.get("Range", "")):
                await response.read()  # kept in the response for whoever reads it next
            return response
        except (TimeoutError, ClientError, OSError) as error:
            failures += 1
            await asyncio.sleep(wait_or_raise(error, failures, name, attempts, wish_s))


for _protocol in ("http", "https"):
    fsspec.register_implementation(_protocol, SteadyHTTPFileSystem, clobber=True)
