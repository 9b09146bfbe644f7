"""Asking again: how long between, how often, what is final, and that nothing secret is told."""

import email.utils
import time
from tarfile import ReadError

import pytest
from aiohttp import ClientPayloadError

from semidepth.common import retrying
from semidepth.common.redaction import redact
from semidepth.common.retrying import (
    GivenUpError,
    is_final,
    read_on,
    retry,
    wished_wait,
)

TOKEN = "hf_" + "aB3" * 11


@pytest.fixture
def waits(monkeypatch):
    """The waits that were made, in seconds; none takes any time."""
    made: list[float] = []
    monkeypatch.setattr(retrying.time, "sleep", made.append)
    return made


def failing(times: int, error: Exception):
    """A call that raises so often, then returns how often it was called."""
    calls = []

    def call() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return len(calls)

    return call


def test_waits_double_up_to_a_limit_with_half_drawn(waits):
    assert retry(failing(11, ConnectionError("gone")), "a") == 12
    for number, wait in enumerate(waits):
        whole = min(60.0, 1.0 * 2**number)
        assert whole / 2 <= wait <= whole
    assert len(waits) == 11


def test_after_too_many_attempts_one_sentence_names_the_file_and_the_cause(waits):
    with pytest.raises(GivenUpError, match=r"^https://host/a was tried 12 times in a row, at last with OSError: gone$"):
        retry(failing(99, OSError("gone")), "https://host/a")
    with pytest.raises(GivenUpError, match="tried 3 times"):
        retry(failing(99, OSError("gone")), "a", attempts=3)
    assert len(waits) == 11 + 2


class WithStatus(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (ClientPayloadError("cut"), False),
        (TimeoutError(), False),
        (ConnectionResetError(), False),
        (WithStatus(503), False),
        (WithStatus(429), False),
        (WithStatus(404), True),
        (WithStatus(403), True),
        (FileNotFoundError("a"), True),
        (caused(FileNotFoundError("a"), WithStatus(503)), False),  # fsspec calls a busy server's file missing
        (caused(FileNotFoundError("a"), WithStatus(404)), True),
        (
            FileNotFoundError("Couldn't find 'o/n' on the Hub: LocalEntryNotFoundError: An error"),
            False,
        ),
        (caused(ConnectionError("Server Disconnected"), WithStatus(403)), True),  # `datasets` on anything
        (ConnectionError("Couldn't reach 'o/n' on the Hub (OfflineModeIsEnabled)"), True),
        (ImportError("s3fs"), True),
        (ReadError("unexpected end of data"), True),  # the file itself: its bytes came whole
        (ValueError("not a parquet file"), True),
        (GivenUpError("a"), True),
        (TypeError("a mistake"), True),
    ],
)
def test_what_is_final(error, final, waits):
    assert is_final(error) == final
    if final:
        with pytest.raises(type(error)):
            retry(failing(1, error), "a")
        assert waits == []


def test_reading_goes_on_after_the_last_item(waits):
    opened = []

    def read(first: int):
        opened.append(first)
        for number in range(first, 10):
            if number in (3, 4, 7) and opened.count(number) == 0:
                raise ConnectionError("gone")
            yield number, f"item {number}"

    assert list(read_on(read, 1, "a")) == [(number, f"item {number}") for number in range(1, 10)]
    assert opened == [1, 3, 4, 7]


def test_only_failures_without_an_item_between_them_are_counted(waits):
    """Each item comes at the eleventh try: far more than twelve failures, never twelve in a row."""
    opened = []

    def read(first: int):
        opened.append(first)
        if opened.count(first) < 11:
            raise ConnectionError("gone")
        yield first, first
        if first < 3:
            raise ConnectionError("gone")

    assert [item for _, item in read_on(read, 0, "a")] == [0, 1, 2, 3]
    assert len(waits) == 4 * 10 + 3


def test_retry_after_in_seconds_or_as_a_date():
    assert wished_wait({"Retry-After": "7"}) == 7.0
    later = email.utils.formatdate(time.time() + 90, usegmt=True)
    assert wished_wait({"Retry-After": later}) == pytest.approx(90, abs=5)
    assert wished_wait({"Retry-After": "soon"}) == wished_wait({}) == 0.0


def test_a_servers_wish_is_kept_within_reason(caplog):
    assert retrying.wait_or_raise(OSError("a"), 1, "a", wish_s=40.0) == 40.0
    assert retrying.wait_or_raise(OSError("a"), 1, "a", wish_s=86400.0) == retrying.LONGEST_WISH_S


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pa55@host/a", "https://***@host/a"),
        (f"https://{TOKEN}@host/a", "https://***@host/a"),
        (f"401 for {TOKEN}, sorry", "401 for hf_***, sorry"),
        ("https://h/a?X-Amz-Signature=ab%2F&x=1", "https://h/a?X-Amz-Signature=***&x=1"),
        ("https://h/a?x=1&token=ab'", "https://h/a?x=1&token=***'"),
        ("hf://datasets/o/n@main/a.parquet", "hf://datasets/o/n@main/a.parquet"),
        ("frames/hf_downloads/a@2x.png", "frames/hf_downloads/a@2x.png"),
    ],
)
def test_secrets_are_replaced(text, shown):
    assert redact(text) == shown


def test_logs_and_errors_hold_no_secret(waits, caplog):
    with pytest.raises(GivenUpError) as caught:
        retry(failing(99, OSError(f"no answer from https://me:pa55@host/a with {TOKEN}")), "https://me:pa55@host/a")
    told = caplog.text + str(caught.value)
    assert "***@host/a" in told
    assert "pa55" not in told
    assert TOKEN not in told
