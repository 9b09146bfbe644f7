"""Sources over http: every row once and in order from a server that drops, stalls and refuses, and what ends a run."""

import base64
import logging
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flaky_server import FlakyServer
from processes import free_port
from sample_files import HEIGHT, WIDTH, encoded, write_tar
from streams import make_loader, open_stream

from semidepth.common import http_files, retrying
from semidepth.common.http_files import SteadyHTTPFileSystem, fetch
from semidepth.common.retrying import GivenUpError
from semidepth.data.reading.sources import ROWS_PER_READ, open_source
from semidepth.data.reading.tables import open_table
from semidepth.data.source_spec import parse_source

ROWS = 60
PARQUET_BYTES = 160_000  # nearly; random pixels do not shrink
TAR_BYTES = 4_000_000


def noisy(number: int, side: int = 1) -> bytes:
    """A PNG of random pixels but for the red of the first, which tells the number."""
    shape = (HEIGHT * side, WIDTH * side, 3)
    pixels = np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)
    pixels[0, 0, 0] = number
    return encoded(pixels)


def write_noise(path, numbers) -> None:
    """A parquet file of ten rows to a group."""
    table = pa.table({"image": [noisy(n) for n in numbers], "domain": [str(n) for n in numbers]})
    pq.write_table(table, path, row_group_size=10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("served")
    write_noise(root / "a.parquet", range(ROWS))
    for part in range(3):
        write_noise(root / f"part-{part}.parquet", range(part * 20, part * 20 + 20))
    write_tar(root / "a.tar", {f"{n:03}.png": noisy(n, side=5) for n in range(ROWS)})
    for number in range(4):
        (root / f"{number}.png").write_bytes(noisy(number))
    return root


@pytest.fixture
def server(folder):
    with FlakyServer(folder) as flaky:
        yield flaky


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Short waits, and pieces so small that every file is several."""
    monkeypatch.setattr(retrying, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(retrying, "LONGEST_WAIT_S", 0.02)
    monkeypatch.setattr(retrying, "STALLED_S", 0.5)
    monkeypatch.setattr(http_files, "PIECE_BYTES", 30_000)
    SteadyHTTPFileSystem.clear_instance_cache()
    open_table.cache_clear()
    yield
    SteadyHTTPFileSystem.clear_instance_cache()


def numbers(spec: str) -> list[int]:
    """The numbers of all images of a source, in the order they come."""
    stream = open_stream([spec])
    return [int(sample["image"][0, 0, 0]) for sample in stream]


# A tar is read for its columns first, a parquet file for its footer: a skip of 2 is in the middle of either.
FAULTS = {
    "none": [],
    "busy at the start": [{"status": 503, "times": 3}],
    "busy in the middle": [{"status": 503, "skip": 2, "times": 3}],
    "too many requests": [{"status": 429, "skip": 1, "retry_after": 1, "times": 1}],
    "dropped": [{"drop_after": 20_000, "skip": 1, "times": 3}],
    "dropped before a byte": [{"drop_after": 0, "skip": 1, "times": 3}],
    "stalled amid a body": [{"stall_after": 20_000, "skip": 1}],
    "stalled without an answer": [{"stall_after": 0}],
    "HEAD is refused": [{"status": 405, "method": "HEAD", "times": 99}],
    "all in turn": [{"status": 503}, {"drop_after": 9000}, {"status": 500}, {"drop_after": 25_000, "skip": 1}],
}


@pytest.mark.parametrize("source", ["a.parquet", "part-{0..2}.parquet", "a.tar"])
@pytest.mark.parametrize("faults", FAULTS)
def test_every_row_comes_once_and_in_order(server, source, faults):
    for fault in FAULTS[faults]:
        server.fail(**fault)
    assert numbers(f"{server.url}/{source}") == list(range(ROWS))
    befallen = [request.fault for request in server.requests if request.fault is not None]
    assert len(befallen) == sum(fault.get("times", 1) for fault in FAULTS[faults]) or faults == "HEAD is refused"


@pytest.mark.parametrize("ranges", [True, False])
def test_a_tar_goes_on_from_its_byte_after_every_drop(folder, ranges):
    """A server that never sends more than a quarter of the file in one go."""
    with FlakyServer(folder, ranges=ranges) as server:
        spec = f"{server.url}/a.tar"
        assert len(list(open_table(parse_source(spec), labeled=False).rows.take(1))) == 1
        server.mend()
        if ranges:
            server.fail("a.tar", drop_after=(folder / "a.tar").stat().st_size // 4, times=1000)
        else:  # it starts over: so much can be lost only if a later try gets through
            server.fail("a.tar", drop_after=1_000_000, times=3)
        assert numbers(spec) == list(range(ROWS))
        opened = [request for request in server.gets() if request.sent > 512]
        starts = [request.range[0] for request in opened if request.range is not None]
        if ranges:
            assert len(starts) >= 3
            assert starts == sorted(starts)
            assert starts[0] > 100_000  # what had come but was not yet read is asked for again
        else:
            assert starts == []
            assert sum(request.fault is not None for request in opened) == 3


def test_a_large_part_is_asked_for_in_pieces_of_which_one_is_lost(server):
    server.fail("a.parquet", drop_after=20_000, skip=3)
    assert numbers(f"{server.url}/a.parquet") == list(range(ROWS))
    parts = [request.range for request in server.gets()]
    assert all(last is not None and last - first < 30_000 for first, last in parts)
    lost = [place for place, request in enumerate(server.gets()) if request.fault is not None]
    assert len(lost) == 1
    assert parts[lost[0] + 1] == parts[lost[0]]
    assert parts[lost[0] + 2] != parts[lost[0]]


def test_a_stall_ends_after_its_time_and_the_log_says_so(server, caplog):
    server.fail(stall_after=1000)
    assert len(fetch(f"{server.url}/0.png")) > 1000
    assert re.search(r"access to http://127\S+/0.png failed \(\w*TimeoutError.*attempt 2 of 5", caplog.text)


def test_a_servers_wish_is_waited_for(server, caplog):
    server.fail(status=429, retry_after=1)
    fetch(f"{server.url}/0.png")
    assert "attempt 2 of 5 in 1.0 s" in caplog.text
    assert len(server.gets()) == 2


@pytest.mark.parametrize("file", ["a.parquet", "a.tar"])
@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_is_missing_or_forbidden_is_told_at_once(server, file, status, caplog):
    server.fail(status=status, method=None, times=1000)
    with pytest.raises(ValueError, match=f"{server.url}/{file}") as caught:
        open_source(parse_source(f"{server.url}/{file}"), labeled=False)
    words = "is not there" if status == 404 else f"may not be read here: its server answers {status}"
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(server.gets()) == 1
    assert not caplog.records


@pytest.mark.parametrize("file", ["a.parquet", "a.tar"])
@pytest.mark.parametrize("when", ["at the start", "in the middle"])
def test_a_server_that_stays_broken_ends_the_run(server, file, when, monkeypatch):
    monkeypatch.setattr(retrying, "ATTEMPTS", 4)
    if when == "in the middle":
        open_source(parse_source(f"{server.url}/{file}"), labeled=False)
        server.mend()
    server.fail(status=503, method=None, times=1000)
    with pytest.raises(
        ValueError, match=f"{server.url}/{file} was tried 4 times in a row, at last with .*503"
    ) as caught:
        numbers(f"{server.url}/{file}")
    assert "\n" not in str(caught.value)
    assert len(server.gets()) == 4  # not four times four


def test_nobody_listens(monkeypatch):
    monkeypatch.setattr(retrying, "ATTEMPTS", 3)
    with pytest.raises(ValueError, match="was tried 3 times in a row, at last with ClientConnectorError"):
        numbers(f"http://127.0.0.1:{free_port()}/a.parquet")


@pytest.fixture
def cut_at(folder, tmp_path):
    """Writes the tar up to a byte of the 31st member, counted from its header."""
    whole = (folder / "a.tar").read_bytes()

    def write(byte: int):
        (tmp_path / "a.tar").write_bytes(whole[: whole.index(b"030.png") + byte])
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("byte", "rows", "words"),
    [
        pytest.param(0, 30, "was cut off: it lacks the empty block that ends a tar", id="between two members"),
        pytest.param(100, 30, "was cut off: it lacks the empty block that ends a tar", id="within a header"),
        pytest.param(9000, ROWS_PER_READ, "ReadError: unexpected end of data", id="within a member"),
    ],
)
def test_a_tar_that_is_cut_off_does_not_end_quietly(cut_at, byte, rows, words):
    """Rows before the cut are used, but for less than a read's; then an error that names the file ends the run."""
    read = []
    with FlakyServer(cut_at(byte)) as server:
        with pytest.raises(ValueError, match=words) as caught:
            read += (number for number, _ in open_source(parse_source(f"{server.url}/a.tar"), labeled=False).rows(0))
        assert f"{server.url}/a.tar" in str(caught.value)
    assert read == list(range(rows))


def test_a_cut_between_members_is_not_seen_where_the_server_tells_no_length(cut_at):
    """The one gap: nothing tells the end of such a body from a lost connection."""
    with FlakyServer(cut_at(0), sizes=False, ranges=False) as server:
        assert numbers(f"{server.url}/a.tar") == list(range(30))


def test_images_named_by_url(server, folder, tmp_path, caplog):
    names = [f"{server.url}/{name}" for name in ("0.png", "1.png", "none.png", "2.png", "3.png")]
    pq.write_table(pa.table({"image": names}), tmp_path / "list.parquet")
    server.fail("0.png", status=503)
    server.fail("1.png", drop_after=500, times=2)
    server.fail("2.png", stall_after=500)
    server.fail("3.png", status=403, times=1000)
    assert numbers(str(tmp_path / "list.parquet")) == [0, 1, 2]
    skipped = [record.message for record in caplog.records if record.message.startswith("skipped")]
    assert len(skipped) == 2
    assert "none.png" in skipped[0]
    assert "answers 403" in skipped[1]


def test_workers_read_urls_too(server):
    server.fail(drop_after=20_000, skip=2, times=3)
    loader = make_loader(
        [f"{server.url}/part-{{0..2}}.parquet"], labeled=False, batch_size=2, size=8, num_workers=2, repeat=False,
    )  # fmt: skip
    assert sum(len(batch["origin"]) for batch in loader) == ROWS


def test_errors_and_rows_name_the_file_of_several(server):
    opened = open_source(parse_source(f"{server.url}/part-{{0..2}}.parquet"), labeled=False)
    assert next(opened.rows(1))[1]["origin"] == f"{server.url}/part-1.parquet#row 0"
    server.fail("part-2", status=403, times=1000)
    with pytest.raises(ValueError, match=r"cannot be read at http\S+/part-2.parquet \("):
        next(opened.rows(2))


def test_passwords_come_from_netrc_and_are_refused_in_a_source(folder, tmp_path, monkeypatch, caplog):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password pa55word\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with FlakyServer(folder, password=base64.b64encode(b"me:pa55word").decode()) as server:
        pq.write_table(pa.table({"image": [f"{server.url}/3.png"]}), tmp_path / "addresses.parquet")
        for name in (f"{server.url}/a.parquet", f"{server.url}/a.tar"):
            assert numbers(name) == list(range(ROWS))
        assert numbers(str(tmp_path / "addresses.parquet")) == [3]
        spec = server.url.replace("://", "://me:pa55word@") + "/a.parquet"
        with pytest.raises(ValueError, match=r"'http://\*\*\*@127.* carries a password or token") as caught:
            parse_source(spec)
    assert "pa55word" not in str(caught.value) + caplog.text


def test_an_image_url_with_a_password_is_not_told(server, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    url = server.url.replace("://", "://me:pa55word@")
    pq.write_table(pa.table({"image": [f"{url}/0.png", f"{url}/none.png?token=t0ken"]}), tmp_path / "a.parquet")
    server.fail("0.png", status=503)
    assert numbers(str(tmp_path / "a.parquet")) == [0]
    assert server.gets("0.png")[-1].authorization is not None
    assert "none.png" in caplog.text
    assert "pa55word" not in caplog.text
    assert "t0ken" not in caplog.text


def test_a_store_whose_package_is_missing_says_what_to_install():
    with pytest.raises(ValueError, match=r"'s3://b/\*.parquet' cannot be read \(ImportError: Install s3fs") as caught:
        open_source(parse_source("s3://b/*.parquet"), labeled=False)
    assert "\n" not in str(caught.value)


def test_giving_up_is_told_as_such(server):
    server.fail(status=500, times=1000)
    with pytest.raises(GivenUpError, match="tried 5 times"):
        fetch(f"{server.url}/0.png")
