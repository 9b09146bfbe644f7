"""What visitors hand in, damaged in every way: a sentence, never a trace."""

import io
import random
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from serving import SPACE


@pytest.fixture
def work(space_on_path):
    import work

    return work


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow tells of damaged TIFF files
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "GIF"])
def test_damaged_pictures_are_opened_or_refused(work, tmp_path, kind):
    from measuring import find_field_of_view
    from refusal import Refusal

    draw = random.Random(0)
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(buffer, kind)
    refused = 0
    for _ in range(60):
        content = bytearray(buffer.getvalue())
        for _ in range(draw.choice([1, 3, 10])):
            content[draw.randrange(len(content))] = draw.randrange(256)
        (tmp_path / "x").write_bytes(content)
        try:
            find_field_of_view(work.open_picture(tmp_path / "x").image, None)
        except Refusal:
            refused += 1
    assert refused  # else the damage was none


@pytest.mark.parametrize("stored", [0, 65535, (1, 2)])
def test_a_focal_length_that_is_none_is_a_guess(work, tmp_path, stored):
    from measuring import GUESSED_FOV_DEG, find_field_of_view

    exif = Image.Exif()
    exif[0x8769] = {0xA405: stored}
    Image.new("RGB", (40, 30)).save(tmp_path / "x.jpg", exif=exif)
    assert find_field_of_view(work.open_picture(tmp_path / "x.jpg").image, None).degrees == GUESSED_FOV_DEG


@pytest.mark.parametrize("size", [(3, 500), (2000, 100), (5, 5)])
def test_strips_are_refused(work, tmp_path, size):
    from refusal import Refusal

    Image.new("RGB", size).save(tmp_path / "x.png")
    with pytest.raises(Refusal):
        work.open_picture(tmp_path / "x.png")


def test_a_picture_that_is_gone_is_asked_for_again(work, tmp_path):
    from refusal import Refusal

    with pytest.raises(Refusal, match="this one is gone; upload it again"):
        work.open_picture(tmp_path / "gone.png")


def test_sixteen_bits_and_transparency_look_as_in_a_viewer(work, tmp_path):
    grey = np.tile(np.array([0, 65535 // 2, 65535], np.uint16), (9, 3))
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.asarray(work.open_picture(tmp_path / "grey.png").image)[0, :3, 0].tolist() == [0, 127, 255]
    Image.fromarray(grey - grey + 200).save(tmp_path / "dark.png")
    assert np.asarray(work.open_picture(tmp_path / "dark.png").image).max() == 1  # rounded, not cut off
    Image.new("RGBA", (9, 9), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert np.asarray(work.open_picture(tmp_path / "clear.png").image).min() == 255


@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_large_pictures_are_read_at_half_their_size(work, tmp_path, monkeypatch, kind):
    import reading

    rough = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8))
    whole, path, exif = rough.resize((160, 120), Image.Resampling.BICUBIC), tmp_path / f"x.{kind}", Image.Exif()
    exif[0x0112] = 6  # to be turned to the right
    whole.save(path, exif=exif, quality=95)
    assert work.open_picture(path).image.size == work.open_picture(path).size == (120, 160)
    monkeypatch.setattr(reading, "HALVED_PIXELS", 160 * 120 - 1)
    found = work.open_picture(path)
    assert found.size == (120, 160)
    means = np.asarray(whole.rotate(-90, expand=True)).astype(float).reshape(80, 2, 60, 2, 3).mean((1, 3))
    assert found.image.size == (60, 80)
    assert np.abs(np.asarray(found.image) - means).mean() < 2


@pytest.mark.parametrize("mode", ["RGBA", "P", "I;16", "I", "1", "LA", "CMYK"])
def test_halves_of_all_kinds_of_pixels(work, tmp_path, mode):
    from reading import halved

    from semidepth.data.decoding import decode_image
    from semidepth.data.samples import to_array

    rough = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    picture = Image.fromarray(np.kron(rough, np.ones((4, 4, 1), np.uint8)))
    if mode in ("I", "I;16"):
        picture = Image.fromarray((np.asarray(picture)[..., 0].astype(np.uint16) * 257).astype(
            np.uint16 if mode == "I;16" else np.int32))  # fmt: skip
        assert picture.mode == mode
    else:
        picture = picture.convert(mode)
    expected = to_array(decode_image(picture)).reshape(6, 2, 8, 2, 3).mean((1, 3))
    found = to_array(decode_image(halved(picture)))
    assert np.abs(found - expected).max() <= 1
    odd = halved(picture.crop((0, 0, 15, 11)))
    assert odd.size == (8, 6)


def test_points_are_pixels_of_the_whole_picture(work, monkeypatch):
    seen = work.Seen(work.Picture(Image.new("RGB", (61, 81)), (121, 161)), None)
    assert [seen.pixel(x, y) for x, y in ((0, 0), (120, 160), (60, 80), (2, 3))] == [(0, 0), (60, 80), (30, 40), (1, 1)]


@pytest.mark.parametrize("kind", ["png", pytest.param("jpg", marks=pytest.mark.slow)])
def test_memory_is_bounded_where_a_picture_is_as_large_as_is_taken(tmp_path, kind):
    path = tmp_path / f"large.{kind}"
    Image.new("RGBA" if kind == "png" else "RGB", (9300, 6900), "red").save(path, compress_level=1)
    code = f"""
import resource, sys
sys.path.insert(0, {str(SPACE)!r})
import work
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
before = peak()
found = work.open_picture({str(path)!r})
print(found.image.size, peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    size, gigabytes = done.stdout.rsplit(" ", 1)
    assert size.strip() == "(4650, 3450)"
    assert float(gigabytes) < (0.8 if kind == "png" else 0.3)


def test_a_heic_photo_that_cannot_be_read_is_called_one(work, tmp_path):
    """Without pillow-heif, or as here cut off."""
    from refusal import Refusal

    (tmp_path / "x.heic").write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(100))
    with pytest.raises(Refusal, match=r"HEIC photo.*export it as JPEG"):
        work.open_picture(tmp_path / "x.heic")
    Image.new("RGB", (40, 30)).save(tmp_path / "x.avif")  # of the same family, and read
    assert work.open_picture(tmp_path / "x.avif").size == (40, 30)


def test_a_heic_photo_is_read_with_its_extra(work, tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    heif.from_pillow(Image.new("RGB", (48, 32), "red")).save(tmp_path / "x.heic")
    assert work.open_picture(tmp_path / "x.heic").size == (48, 32)
