"""Bad input all the way from a source's string to batches: each kind has the outcome that docs/data.md states.

Broken and truncated images are in test_decoding.py and test_streaming.py, wrong columns in test_tables.py, wrong
sources in test_source_spec.py, broken connections in test_remote.py and test_hub.py.
"""

import gzip
import io
import json
import os
import re
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image as Pillow
from sample_files import HEIGHT, WIDTH, depth_mm, encoded, npy, picture, write_images, write_parquet, write_tar
from streams import make_loader, open_stream

from semidepth.common.console import run_command
from semidepth.common.options import save_options
from semidepth.data.reading.sources import ROWS_PER_READ, open_source
from semidepth.data.samples import Sample
from semidepth.data.source_spec import parse_source
from semidepth.data.streaming.loading import evaluation_samples
from semidepth.training.engine.setup import check_sources
from semidepth.training.options.teacher import TeacherOptions
from semidepth.training.recipes.teacher import labeled_terms

UNKNOWN = np.full((HEIGHT, WIDTH), np.nan, dtype=np.float32)
KNOWN = np.ones((HEIGHT, WIDTH), dtype=np.float32)


def origins(spec: str, labeled: bool = False) -> list[str]:
    """The names of all samples of one pass, without their folders."""
    stream = open_stream([spec], labeled=labeled)
    return [sample["origin"].rpartition("/")[2] for sample in stream]


def refused(spec: str, labeled: bool = False) -> str:
    """What a command says of a source before it starts anything."""
    with pytest.raises(ValueError) as caught:
        check_sources([parse_source(spec)], labeled=labeled)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def stopped(spec: str, labeled: bool = False) -> tuple[int, str]:
    """How many samples come before a run ends that could begin, and with what words."""
    open_source(parse_source(spec), labeled=labeled)
    read: list[Sample] = []
    with pytest.raises(ValueError) as caught:
        read.extend(evaluation_samples([parse_source(spec)], labeled=labeled))
    assert "\n" not in str(caught.value)
    return len(read), str(caught.value)


def skipped(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("skipped")]


def members(numbers: range, suffix: str = "png") -> dict[str, bytes]:
    return {f"{number:03}.{suffix}": encoded(picture(number)) for number in numbers}


# Empty folders and sources that end at once


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({}, ""),
        ({"notes.txt": b"x"}, " (found: 1 with the ending .txt (notes.txt))"),
        ({".hidden.png": b"x"}, " (found: 1 hidden (.hidden.png))"),
    ],
)
def test_a_folder_without_samples_is_refused(tmp_path, content, found):
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    assert refused(str(tmp_path)) == (
        f"source {str(tmp_path)!r} holds no image, .parquet or .tar file{found}; point it at some"
    )


def test_sources_that_end_at_once_are_refused(tmp_path):
    write_parquet(tmp_path / "none.parquet", range(0))
    write_tar(tmp_path / "none.tar", {})
    write_tar(tmp_path / "other.tar", {"README": b"x"})
    for suffix in ("parquet", "tar"):
        (tmp_path / f"zero.{suffix}").write_bytes(b"")
    assert "none.parquet' is empty" in refused(str(tmp_path / "none.parquet"))
    assert "none.tar has no member that is named KEY.EXT" in refused(str(tmp_path / "none.tar"))
    assert "other.tar has no member that is named KEY.EXT" in refused(str(tmp_path / "other.tar"))
    assert "zero.parquet was cut off" in refused(str(tmp_path / "zero.parquet"))
    assert "zero.tar was cut off" in refused(str(tmp_path / "zero.tar"))


def test_an_empty_shard_among_others_is_no_harm(tmp_path):
    write_parquet(tmp_path / "a.parquet", range(2))
    write_parquet(tmp_path / "b.parquet", range(0))
    write_parquet(tmp_path / "c.parquet", range(2, 3))
    assert len(origins(str(tmp_path), labeled=True)) == 3


# Shards cut off in the middle


@pytest.mark.parametrize("kept", [0.3, 0.999])
def test_a_parquet_file_that_is_cut_off_is_refused_by_name(tmp_path, kept):
    write_parquet(tmp_path / "a.parquet", range(3))
    path = write_parquet(tmp_path / "b.parquet", range(3, 6))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    assert f"{path} was cut off: it lacks the mark that ends a parquet file" in refused(str(tmp_path))


@pytest.mark.parametrize("byte", [0, 100, 512, 600])
def test_a_tar_that_is_cut_off_is_refused_by_name(tmp_path, byte):
    """At a member's end, within a header, after it, within its content; of the first two tarfile says nothing."""
    write_tar(tmp_path / "a.tar", members(range(5)))
    path = write_tar(tmp_path / "b.tar", members(range(5)))
    path.write_bytes(path.read_bytes()[: path.read_bytes().index(b"003.png") + byte])
    assert f"{path} was cut off: it lacks the empty block that ends a tar" in refused(str(tmp_path))


def test_a_tar_without_mark_is_seen_by_tarfile_as_whole(tmp_path):
    """Why the end is looked at: the library below takes the cut for the end."""
    path = write_tar(tmp_path / "b.tar", members(range(5)))
    path.write_bytes(path.read_bytes()[: path.read_bytes().index(b"003.png")])
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["000.png", "001.png", "002.png"]


def test_compressed_tars_are_read(tmp_path):
    plain = write_tar(tmp_path / "plain.tar", members(range(5))).read_bytes()
    (tmp_path / "plain.tar").unlink()
    (tmp_path / "a.tar").write_bytes(gzip.compress(plain))
    assert origins(str(tmp_path)) == [f"a.tar#{number:03}" for number in range(5)]
    (tmp_path / "a.tar").write_bytes(gzip.compress(plain)[:-200])
    with pytest.raises(ValueError, match=r"a\.tar|cannot be read"):
        origins(str(tmp_path))


# Shards damaged in the middle


def test_a_damaged_tar_stops_the_run_where_readers_would_end_quietly(tmp_path):
    path = write_tar(tmp_path / "a.tar", members(range(40)))
    content = bytearray(path.read_bytes())
    at = content.index(b"030.png")
    content[at : at + 100] = b"\xff" * 100
    path.write_bytes(content)
    count, words = stopped(str(path))
    assert count == 30
    assert f"{path} is damaged at byte {at}: what follows cannot be read" in words


def test_a_damaged_parquet_file_stops_the_run_by_name(tmp_path):
    write_parquet(tmp_path / "a.parquet", range(ROWS_PER_READ))
    path = write_parquet(tmp_path / "b.parquet", range(5))
    content = bytearray(path.read_bytes())
    content[200:400] = b"\xff" * 200
    path.write_bytes(content)
    count, words = stopped(str(tmp_path), labeled=True)
    assert count == ROWS_PER_READ
    assert f"cannot be read at {path} (ArrowInvalid" in words
    assert refused(str(tmp_path), labeled=True) == words  # where it is among the samples that are looked at first


def test_a_shard_without_the_column_of_the_others_stops_the_run_by_name(tmp_path):
    """A whole source without it is refused at the start: test_tables.py."""
    write_parquet(tmp_path / "a.parquet", range(ROWS_PER_READ))
    pq.write_table(pa.table({"image": [encoded(picture(0))]}), tmp_path / "b.parquet")
    count, words = stopped(str(tmp_path), labeled=True)
    assert count == ROWS_PER_READ
    assert f"{tmp_path / 'b.parquet'} (" in words


# Sizes


def test_images_of_one_pixel_and_of_108_megapixels(tmp_path, caplog):
    (tmp_path / "a.png").write_bytes(encoded(np.full((1, 1, 3), 9, dtype=np.uint8)))
    (tmp_path / "a_depth.npy").write_bytes(npy(np.full((1, 1), 2.0, dtype=np.float32)))
    # A header alone, as no decoder is to see more than that: 12,000 x 9,000 pixels of one colour, cut off.
    Pillow.new("P", (12000, 9000)).save(tmp_path / "b.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:1000])
    (tmp_path / "b_depth.npy").write_bytes(npy(KNOWN))
    batches = iter(make_loader([str(tmp_path)], labeled=True, batch_size=2, size=14))
    batch = next(batches)
    assert batch["origin"] == [str(tmp_path / "a.png")] * 2
    assert (batch["image"] == 9).all()
    assert (batch["depth"] == 2.0).all()
    (message,) = skipped(caplog)
    assert f"{tmp_path / 'b.png'} has 12000x9000 pixels; the most that is decoded is 80,000,000" in message


def test_a_source_of_nothing_but_huge_images_is_told(tmp_path):
    Pillow.new("P", (12000, 9000)).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"has no usable sample: all 1 are broken, the first because .*12000x9000"):
        next(iter(make_loader([str(tmp_path)], labeled=False, batch_size=1, size=14)))


def test_depth_of_another_size_is_fitted_or_its_image_skipped(tmp_path, caplog):
    write_images(tmp_path, range(2))
    (tmp_path / "0000_depth.npy").write_bytes(npy(np.ones((HEIGHT // 2, WIDTH // 2), dtype=np.float32)))
    (tmp_path / "0001_depth.npy").write_bytes(npy(np.ones((WIDTH, HEIGHT), dtype=np.float32)))
    (sample,) = evaluation_samples([parse_source(str(tmp_path))])
    assert sample["depth"].shape == (HEIGHT, WIDTH)
    (message,) = skipped(caplog)
    assert f"{tmp_path / '0001.png'} has an image of 32x24 and depth of 24x32, of another aspect ratio" in message


# Depth of which nothing is known


def test_an_image_of_unknown_depth_takes_part_in_nothing(tmp_path, caplog):
    write_images(tmp_path, range(3))
    for number, depth in enumerate((KNOWN, UNKNOWN, KNOWN * np.inf)):
        (tmp_path / f"{number:04}_depth.npy").write_bytes(npy(depth))
    assert origins(str(tmp_path), labeled=True) == ["0000.png", "0002.png"]  # sky is known
    (message,) = skipped(caplog)
    assert "0001.png has no pixel of known depth" in message


def test_limits_that_leave_no_depth_make_it_unknown(tmp_path):
    write_parquet(tmp_path / "a.parquet", range(3))  # 1.0 m and a little
    with pytest.raises(ValueError, match=r"no usable sample: all 3 are broken, the first because .*no pixel of known"):
        origins(f"{tmp_path}?min_depth_m=50", labeled=True)


def test_a_source_of_unknown_depth_alone_is_told(tmp_path):
    write_images(tmp_path, range(2))
    for number in range(2):
        (tmp_path / f"{number:04}_depth.npy").write_bytes(npy(UNKNOWN))
    with pytest.raises(ValueError, match=f"no usable sample: all 2 are broken, the first because {tmp_path}/0000.png"):
        next(iter(make_loader([str(tmp_path)], labeled=True, batch_size=1, size=14)))


def test_crops_of_unknown_depth_alone_leave_the_loss_finite(tmp_path):
    """Known depth in one corner: most crops see none of it, and count in neither loss nor gradient."""
    wide = np.zeros((28, 2800, 3), dtype=np.uint8)
    depth = np.full((28, 2800), np.nan, dtype=np.float32)
    depth[:, :30] = np.linspace(1, 2, 30)
    (tmp_path / "a.png").write_bytes(encoded(wide))
    (tmp_path / "a_depth.npy").write_bytes(npy(depth))
    batch = next(iter(make_loader([str(tmp_path)], labeled=True, batch_size=4, size=28)))
    assert torch.isnan(batch["disparity"]).all()
    labels = torch.cat([batch["disparity"][:1], torch.rand(1, 28, 28) + 0.1])
    predicted = torch.rand(2, 28, 28, requires_grad=True)
    weights = {"affine": 1.0, "gradient": 0.5, "local_4": 1.0}
    terms = labeled_terms(predicted, {"disparity": labels, "labels": ["dense"] * 2}, weights)
    assert all(term.isfinite() for term in terms.values())
    alone = labeled_terms(predicted[1:], {"disparity": labels[1:], "labels": ["dense"]}, weights)
    torch.testing.assert_close(terms["labeled"], alone["labeled"])
    terms["labeled"].backward()
    assert predicted.grad is not None
    assert (predicted.grad[0] == 0).all()
    assert predicted.grad.isfinite().all()
    nothing = labeled_terms(predicted, {"disparity": batch["disparity"][:2], "labels": ["dense"] * 2}, weights)
    assert [term.item() for term in nothing.values()] == [0.0, 0.0, 0.0]


# Names that come twice


def test_one_name_in_two_folders_is_two_samples_each_with_its_depth(tmp_path):
    for number, folder in enumerate("xy"):
        write_images(tmp_path / folder, range(1))
        (tmp_path / folder / "0000_depth.npy").write_bytes(npy(KNOWN * (number + 1)))
    read = list(evaluation_samples([parse_source(str(tmp_path))]))
    assert [sample["origin"] for sample in read] == [str(tmp_path / folder / "0000.png") for folder in "xy"]
    assert [float(sample["depth"].mean()) for sample in read] == [1.0, 2.0]


def test_images_that_differ_in_their_suffix_alone_share_a_depth(tmp_path):
    (tmp_path / "a.bmp").write_bytes(encoded(picture(1), "BMP"))
    (tmp_path / "a.png").write_bytes(encoded(picture(2)))
    (tmp_path / "a_depth.png").write_bytes(encoded(depth_mm(0)))
    read = list(evaluation_samples([parse_source(f"{tmp_path}?depth_scale=0.001")]))
    assert [int(sample["image"][0, 0, 0]) for sample in read] == [1, 2]
    torch.testing.assert_close(read[0]["depth"], read[1]["depth"], equal_nan=True)
    assert [sample["origin"] for sample in read] == [str(tmp_path / "a.bmp"), str(tmp_path / "a.png")]


def write_members(path: Path, content: list[tuple[str, bytes]]) -> str:
    """A tar whose members' names may come twice."""
    with tarfile.open(path, "w") as tar:
        for name, data in content:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return str(path)


def test_a_key_that_comes_again_later_in_a_tar_is_another_sample(tmp_path):
    content = list(members(range(3)).items())
    spec = write_members(tmp_path / "a.tar", [*content, content[0]])
    assert origins(spec) == ["a.tar#000", "a.tar#001", "a.tar#002", "a.tar#000"]


def test_a_member_that_comes_twice_in_one_sample_stops_the_run_by_name(tmp_path):
    content = list(members(range(40)).items())
    spec = write_members(tmp_path / "a.tar", [*content, content[-1]])
    count, words = stopped(spec)
    assert count <= 40
    assert f"cannot be read at {spec}" in words
    assert "Duplicate field 'png' for sample '039'" in words


def test_a_sample_with_other_members_than_the_first_ones_is_skipped(tmp_path, caplog):
    content = [*members(range(6)).items(), ("late.jpg", encoded(picture(9), "JPEG")), *members(range(7, 8)).items()]
    spec = write_members(tmp_path / "a.tar", content)
    assert origins(spec) == [*(f"a.tar#{number:03}" for number in range(6)), "a.tar#007"]
    (message,) = skipped(caplog)
    assert "a.tar#late has no image" in message


# Names that are not UTF-8


@pytest.fixture
def latin(tmp_path):
    """A folder with an image and its depth, and a broken image, whose names are in another encoding."""
    root = os.fsencode(tmp_path)
    for name, content in (
        (b"caf\xe9.png", encoded(picture(1))),
        (b"caf\xe9_depth.npy", npy(KNOWN)),
        (b"\xe9.png", b"no"),
    ):
        with open(os.path.join(root, name), "wb") as file:  # noqa: PTH118, PTH123 - bytes make no Path
            file.write(content)
    return tmp_path


def test_images_of_other_encodings_are_used_and_named_in_ascii(latin, caplog):
    batch = next(iter(make_loader([str(latin)], labeled=True, batch_size=1, size=14)))
    assert batch["origin"] == [f"{latin}/caf\\xe9.png"]
    assert origins(str(latin)) == ["caf\\xe9.png"]
    (message,) = skipped(caplog)
    assert f"{latin}/\\xe9.png" in message
    message.encode()  # what a log file in UTF-8 takes


def test_places_and_options_of_such_names_can_be_saved(latin, tmp_path_factory):
    folder = os.fsdecode(os.fsencode(latin) + b"/f\xe9")
    write_images(Path(folder), range(3))
    loader = make_loader([folder], labeled=False, batch_size=1, size=14)
    first = next(iter(loader))["origin"]
    state = json.loads(json.dumps(loader.state(), default=lambda array: array.tolist()))
    again = make_loader([folder], labeled=False, batch_size=1, size=14)
    again.restore([state])
    assert {*first, *next(iter(again))["origin"]} <= {f"{latin}/f\\xe9/000{number}.png" for number in range(3)}
    path = tmp_path_factory.mktemp("run") / "config.yaml"
    save_options(TeacherOptions(labeled=[folder]), path)
    assert yaml.safe_load(path.read_text())["labeled"] == [folder]


@pytest.mark.parametrize("kind", ["parquet", "tar"])
def test_shards_of_such_names_are_refused_in_words_that_can_be_printed(latin, kind):
    path = Path(os.fsdecode(os.fsencode(latin) + b"/f\xe9." + kind.encode()))
    path.write_bytes(b"whatever")
    words = refused(f"{latin}/*.{kind}")
    assert re.search(rf"the name of '.*f\\udce9\.{kind}' is not UTF-8; rename it", words)
    words.encode()


def test_a_member_of_such_a_name_stops_the_run(tmp_path):
    spec = write_members(tmp_path / "a.tar", [("caf\udce9.png", encoded(picture(0)))])
    words = refused(spec)
    assert "a.tar" in words
    assert r"caf\udce9.png', whose name is not UTF-8" in words
    words.encode()


# What a command says


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_command_ends_with_the_sentence(tmp_path, num_workers, capsys):
    write_images(tmp_path, range(2))
    for number in range(2):
        (tmp_path / f"{number:04}_depth.npy").write_bytes(npy(UNKNOWN))

    def command() -> None:
        next(iter(make_loader([str(tmp_path)], labeled=True, batch_size=1, size=14, num_workers=num_workers)))

    assert run_command(command) == 2
    assert f"error: source '{tmp_path}' has no usable sample: all 2 are broken" in capsys.readouterr().err
