"""Tars: what makes a sample, in which case, and that nothing of it is dropped in silence."""

import gzip
import io
import logging
import tarfile
from pathlib import Path

import numpy as np
import pytest
from sample_files import HEIGHT, WIDTH, depth_mm, encoded, npy, picture, write_tar

from semidepth.data.reading import tars
from semidepth.data.reading.sources import open_source
from semidepth.data.source_spec import parse_source
from semidepth.data.streaming.loading import evaluation_samples


def samples(spec: object, labeled: bool = False) -> list[dict]:
    return list(evaluation_samples([parse_source(str(spec))], labeled=labeled))


def skipped(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("skipped")]


def pictures(*names: str) -> dict[str, bytes]:
    return {name: encoded(picture(number)) for number, name in enumerate(names)}


@pytest.mark.parametrize(("image", "depth"), [("JPG", "Depth.png"), ("PNG", "DEPTH.NPY"), ("Jpg", "depth.PNG")])
def test_endings_count_in_any_case(tmp_path, image, depth):
    members = {}
    for number in range(3):
        members[f"X{number}.{image}"] = encoded(picture(number), "JPEG" if image.lower() == "jpg" else "PNG")
        label = npy(depth_mm(0)) if depth.endswith("NPY") else encoded(depth_mm(0))
        members[f"X{number}.{depth}"] = label
    path = write_tar(tmp_path / "a.tar", members)
    assert [sample["origin"] for sample in samples(f"{path}?depth_scale=0.001", True)] == [
        f"{path}#X{n}" for n in range(3)
    ]
    assert len(samples(f"{path}?depth_scale=0.001&image={image}&depth={depth}", True)) == 3


def test_endings_may_be_mixed_in_case(tmp_path):
    write_tar(tmp_path / "a.tar", pictures("a.png", "b.PNG", "c.Png"))
    assert len(samples(tmp_path)) == 3


def test_scale_and_domain_are_read_from_members(tmp_path):
    members = {"a.png": encoded(picture(0)), "a.depth.png": encoded(depth_mm(0)), "a.depth_scale": b" 0.001\n"}
    write_tar(tmp_path / "a.tar", members | {"a.domain": b"indoor\n"})
    (sample,) = samples(tmp_path, True)
    assert (sample["domain"], float(sample["depth"][1, 1])) == ("indoor", pytest.approx(1.0))


def test_a_compressed_member_is_read(tmp_path):
    write_tar(tmp_path / "a.tar", {"a.png": encoded(picture(0)), "a.depth.npy.gz": gzip.compress(npy(np.ones((2, 2))))})
    (sample,) = samples(tmp_path, True)
    assert sample["depth"].shape == (HEIGHT, WIDTH)


def test_later_samples_with_several_pictures_are_skipped_and_told(tmp_path, caplog):
    names = [*(f"{number}.png" for number in range(6)), "clip.png", "clip.0001.png", "clip.normals.png", "last.png"]
    path = write_tar(tmp_path / "a.tar", pictures(*names))
    assert [sample["origin"].rpartition("#")[2] for sample in samples(path)] == [*"012345", "last"]
    (message,) = skipped(caplog)
    assert f"{path}#clip has more pictures than the first samples: 0001.png" in message
    assert len(samples(f"{path}?image=png")) == 8  # as was asked for


def test_of_a_second_tar_too(tmp_path, caplog):
    write_tar(tmp_path / "a.tar", pictures("a.png"))
    write_tar(tmp_path / "b.tar", pictures("b.png", "b.jpg", "c.jpg"))
    assert len(samples(tmp_path)) == 1
    assert ["b has more pictures" in message for message in skipped(caplog)] == [True, False]


def test_first_samples_of_different_members_are_refused(tmp_path):
    write_tar(tmp_path / "a.tar", pictures("clip.0000.png", "clip.0001.png", "take.0000.png"))
    with pytest.raises(
        ValueError, match=r"different members, clip \(0000.png, 0001.png\) and take \(0000.png\).*first dot"
    ):
        open_source(parse_source(str(tmp_path)), labeled=False)


def test_members_without_an_ending_are_counted(tmp_path, caplog):
    write_tar(tmp_path / "a.tar", pictures("a.png", "0001", "0002", "b.png"))
    with caplog.at_level(logging.WARNING):
        assert len(samples(tmp_path)) == 2
    assert "2 members without an ending are not read, the first is 0001" in caplog.text


def test_a_member_beyond_any_image_is_not_held(tmp_path, monkeypatch, caplog):
    """A sparse tar says in a few bytes that it holds gigabytes of zeros."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        info = tarfile.TarInfo("a.png")
        info.size = 5000
        tar.addfile(info, io.BytesIO(bytes(5000)))
        content = encoded(picture(0))
        info = tarfile.TarInfo("b.png")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    monkeypatch.setattr(tars, "MAX_MEMBER_BYTES", 4000)
    assert len(samples(path)) == 1
    assert "a has a member of more than 4,000 bytes (png)" in skipped(caplog)[0]


def test_members_that_are_not_needed_are_not_decoded(tmp_path):
    """`datasets` would load them, with torch if they say so."""
    members = pictures("a.png") | {"a.pth": b"broken", "a.json": b"{", "a.cls": b"x", "a.npz": b"y"}
    write_tar(tmp_path / "a.tar", members)
    assert len(samples(Path(tmp_path))) == 1
