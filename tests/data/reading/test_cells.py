"""Cells of tables: what can be used, and that the fault of others is told in the field's words."""

import io
import tarfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Array2D, ClassLabel, Dataset, Features, Image, Value
from sample_files import HEIGHT, WIDTH, depth_mm, encoded, picture

from semidepth.data.reading import parquet_files
from semidepth.data.reading.sources import count_samples, open_source
from semidepth.data.source_spec import parse_source
from semidepth.data.streaming.loading import evaluation_samples
from semidepth.evaluation.source_report.report import report_on

PNG, MAP = encoded(picture(0)), encoded(depth_mm(0))
METRES = np.arange(1, HEIGHT * WIDTH + 1, dtype=np.float32).reshape(HEIGHT, WIDTH)
LISTS = METRES.tolist()
WHOLE = METRES.astype(np.int32).tolist()


def write(path: Path, **columns) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def labeled(spec: object) -> list[dict]:
    return list(evaluation_samples([parse_source(str(spec))]))


@pytest.mark.parametrize(
    "type_",
    [
        pa.list_(pa.list_(pa.float32())), pa.list_(pa.list_(pa.float64())), pa.large_list(pa.large_list(pa.float32())),
        pa.list_(pa.list_(pa.float32(), WIDTH), HEIGHT), pa.list_(pa.list_(pa.list_(pa.float32()))),
    ],
    ids=str,
)  # fmt: skip
def test_maps_as_lists_of_numbers(tmp_path, type_):
    cell = [LISTS] if str(type_).count("list") == 3 else LISTS
    (sample,) = labeled(write(tmp_path / "a.parquet", image=[PNG], depth=pa.array([cell], type_)))
    np.testing.assert_array_equal(sample["depth"].numpy(), METRES)


def test_maps_as_arrays_of_datasets(tmp_path):
    features = Features({"image": Image(), "depth": Array2D((HEIGHT, WIDTH), "float32")})
    cells = {"image": [{"bytes": PNG, "path": None}] * 2, "depth": [METRES, METRES * 2]}
    Dataset.from_dict(cells, features=features).to_parquet(tmp_path / "a.parquet")
    np.testing.assert_array_equal(labeled(tmp_path)[1]["depth"].numpy(), METRES * 2)


def test_null_among_floats_is_unknown(tmp_path):
    cell = [[None, *LISTS[0][1:]], *LISTS[1:]]
    (sample,) = labeled(write(tmp_path / "a.parquet", image=[PNG], depth=[cell]))
    expected = METRES.copy()
    expected[0, 0] = np.nan
    np.testing.assert_array_equal(sample["depth"].numpy(), expected)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"depth": [[[None, *WHOLE[0][1:]], *WHOLE[1:]]]}, "has NULL among integers"),
        ({"depth": [[None, *LISTS[1:]]]}, "has a NULL in place of a row of numbers"),
        (
            {"depth": [[LISTS[0][1:], *LISTS[1:]]]},
            rf"has lists of different lengths \({WIDTH - 1} and {WIDTH} numbers\)",
        ),
        ({"depth": [[["near"] * WIDTH] * HEIGHT]}, "has a list of string values, which are no numbers"),
        ({"depth": [LISTS[0]]}, "has the shape"),
        (
            {"depth": [encoded(depth_mm(0))], "depth_scale": ["a millimetre"]},
            "has depth_scale 'a millimetre', which is no",
        ),
        ({"depth": [MAP], "depth_scale": [float("nan")]}, "has depth_scale nan, which is no number"),
        ({"image": [[PNG, PNG]], "depth": [LISTS]}, "has a list of 2 values in place of one image"),
        ({"image": [[[1.0]]], "depth": [LISTS]}, "cannot be decoded as an image"),
        ({"image": [5], "depth": [LISTS]}, r"has 5 \(int\) in place of an image"),
        ({"depth": [{"near": 1, "far": 2}]}, r"has \{'near': 1, 'far': 2\} \(dict\) in place of an image or map"),
        ({"image": pa.array([0], pa.date32()), "depth": [LISTS]}, r"has 1970-01-01 \(date\)"),
    ],
)
def test_the_fault_of_a_cell_is_told_in_one_sentence(tmp_path, columns, words):
    path = write(tmp_path / "a.parquet", **{"image": [PNG]} | columns)
    with pytest.raises(ValueError, match=rf"all 1 are broken, the first because .*#row 0.* {words}") as caught:
        labeled(f"{path}{'' if 'depth_scale' in columns else '?depth_scale=1'}")
    assert "\n" not in str(caught.value)


def test_numbers_written_as_text_are_numbers(tmp_path):
    path = write(tmp_path / "a.parquet", image=[PNG] * 2, depth=[MAP] * 2, depth_scale=["0.001", " 1e-3 "])
    assert [float(sample["depth"][1, 1]) for sample in labeled(path)] == pytest.approx([1.0, 1.0])
    assert float(labeled(f"{path}?depth_scale=0.002")[0]["depth"][1, 1]) == pytest.approx(2.0)


def test_a_scale_that_is_not_needed_does_no_harm(tmp_path):
    path = write(tmp_path / "a.parquet", image=[PNG], depth=[MAP], depth_scale=["millimetres"])
    assert float(labeled(f"{path}?depth_scale=0.001")[0]["depth"][1, 1]) == pytest.approx(1.0)
    assert len(list(evaluation_samples([parse_source(str(path))], labeled=False))) == 1


def test_a_first_shard_of_nothing_but_null_does_not_say_what_a_column_is(tmp_path):
    write(tmp_path / "a.parquet", image=[PNG], depth=pa.nulls(1), domain=pa.nulls(1))
    write(tmp_path / "b.parquet", image=[PNG], depth=pa.nulls(1), domain=["indoor"])
    write(tmp_path / "c.parquet", image=[PNG] * 2, depth=[MAP] * 2, domain=["indoor"] * 2)
    (tmp_path / "d").mkdir()
    write(tmp_path / "d" / "a.parquet", image=[PNG], depth=[LISTS])
    found = labeled(f"{tmp_path}/[abc].parquet?depth_scale=0.001")
    assert [sample["origin"].rpartition("/")[2] for sample in found] == ["c.parquet#row 0", "c.parquet#row 1"]
    (tmp_path / "d" / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes())
    assert len(labeled(tmp_path / "d")) == 1


def test_rows_without_reliability_are_not_chosen_and_are_counted(tmp_path, caplog):
    path = write(tmp_path / "a.parquet", image=[PNG] * 4, reliability=[0.9, None, 0.1, float("nan")])
    for option, rows in (("min_reliability=0.5", [0]), ("max_reliability=0.5", [2])):
        source = parse_source(f"{path}?{option}")
        assert [number for number, _ in open_source(source, labeled=False).rows(0)] == rows
        assert report_on(source, labeled=False).left_out == "2 rows without reliability"
        assert count_samples(source) == 1
    assert report_on(parse_source(str(path)), labeled=False).left_out == ""
    assert not caplog.records
    # Elsewhere they are not known before they are read, and are told then, once for each file.
    for _ in range(2):
        assert len(list(open_source(parse_source(f"file://{path}?min_reliability=0.5"), labeled=False).rows(0))) == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"source file://{path}?min_reliability=0.5: 2 rows of file://{path} have no reliability and are left out"
    ]


def test_reliability_written_as_text_is_counted_as_it_is_read(tmp_path):
    path = write(tmp_path / "a.parquet", image=[PNG] * 4, reliability=["0.9", "high", "0.1", None])
    source = parse_source(f"{path}?min_reliability=0.5")
    assert [number for number, _ in open_source(source, labeled=False).rows(0)] == [0]
    assert count_samples(source) == 1
    assert report_on(source, labeled=False).left_out == "2 rows without reliability"


def test_a_domain_number_without_a_name(tmp_path):
    features = Features({"image": Image(), "domain": ClassLabel(names=["indoor"])})
    Dataset.from_dict({"image": [{"bytes": PNG, "path": None}] * 2, "domain": [0, 0]}, features=features).to_parquet(
        tmp_path / "a.parquet"
    )
    table = pq.read_table(tmp_path / "a.parquet")
    numbers = pa.array([0, 7], table["domain"].type)
    pq.write_table(table.set_column(1, table.schema.field("domain"), numbers), tmp_path / "a.parquet")
    opened = open_source(parse_source(str(tmp_path)), labeled=False)
    (_, good), (_, bad) = opened.rows(0)
    assert good["domain"] == "indoor"
    assert "has the domain number 7, of 1 domains" in str(bad["image"])


def test_integers_of_datasets_are_text_of_a_domain(tmp_path):
    features = Features({"image": Image(), "domain": Value("int32")})
    cells = {"image": [{"bytes": PNG, "path": None}], "domain": [3]}
    Dataset.from_dict(cells, features=features).to_parquet(tmp_path / "a.parquet")
    assert [row["domain"] for _, row in open_source(parse_source(str(tmp_path)), labeled=False).rows(0)] == ["3"]


# Sizes that a small file claims


def runs(path: Path, rows: int, numbers: int) -> Path:
    """Maps of one number each, which pack to nearly nothing."""
    one = pa.array(np.zeros(rows * numbers, np.float32))
    lists = pa.ListArray.from_arrays(
        pa.array(np.arange(rows + 1, dtype=np.int32)), pa.FixedSizeListArray.from_arrays(one, numbers)
    )
    pq.write_table(pa.table({"image": [PNG] * rows, "depth": lists}), path)
    return path


@pytest.mark.parametrize(("rows", "numbers"), [(1, 1001), (4, 2000)])
def test_lists_of_more_numbers_than_pixels_are_refused_by_the_footer(tmp_path, monkeypatch, rows, numbers):
    monkeypatch.setattr(parquet_files, "MAX_PIXELS", 1000)
    path = runs(tmp_path / "a.parquet", rows, numbers)
    with pytest.raises(ValueError, match=f"{path} has {rows * numbers:,} numbers in {rows} rows of depth"):
        open_source(parse_source(str(path)), labeled=True)
    open_source(parse_source(str(path)), labeled=False)  # which does not read them


def test_groups_packed_beyond_belief_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_files, "MAX_PIXELS", 100_000)
    path = runs(tmp_path / "a.parquet", 100, 50_000)
    with pytest.raises(ValueError, match=r"bytes of depth to 20,000,000, and one row may be nearly all of it"):
        open_source(parse_source(str(path)), labeled=True)


def test_images_packed_beyond_belief_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_files, "MAX_CELL_BYTES", 1_000_000)
    pq.write_table(
        pa.table({"image": [bytes(5_000_000), PNG, PNG, PNG, PNG, PNG]}), tmp_path / "a.parquet", compression="zstd"
    )
    with pytest.raises(ValueError, match="bytes of image to 5,"):
        open_source(parse_source(str(tmp_path)), labeled=False)


def test_a_long_list_takes_no_more_than_its_numbers(tmp_path):
    """As Python lists, 3 million floats took 3 s and 700 MB."""
    path = runs(tmp_path / "a.parquet", 1, 3_000_000)
    start = time.perf_counter()
    tracemalloc.start()
    ((_, row),) = open_source(parse_source(str(path)), labeled=True).rows(0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert row["depth"].shape == (1, 3_000_000)
    assert peak < 40_000_000
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("checksum", [True, False])
def test_damage_in_lists_is_found_where_pages_have_checksums(tmp_path, checksum):
    path = tmp_path / "a.parquet"
    cells = pa.table({"image": [PNG], "depth": [LISTS]})
    pq.write_table(cells, path, write_page_checksum=checksum, compression="NONE", use_dictionary=False)
    content = bytearray(path.read_bytes())
    place = content.index(METRES[5].astype(np.float64).tobytes())
    content[place + 6] ^= 0x04  # of the mantissa: still a plausible depth
    path.write_bytes(content)
    if checksum:
        with pytest.raises(ValueError, match=rf"{path} .*(CRC|[Cc]hecksum)"):
            labeled(path)
    else:  # as docs/data.md says
        assert float(labeled(path)[0]["depth"][5, 0]) != METRES[5, 0]


def test_reliability_in_a_tar_is_text_and_counts(tmp_path, caplog):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number, text in enumerate((b"0.9", b"0.1", b"high")):
            for ending, content in (("png", PNG), ("reliability", text)):
                member = tarfile.TarInfo(f"{number}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    rows = list(open_source(parse_source(f"{tmp_path}/a.tar?min_reliability=0.5"), labeled=False).rows(0))
    assert [row["origin"] for _, row in rows] == [f"{tmp_path}/a.tar#0"]
    assert "1 rows of" in caplog.text
