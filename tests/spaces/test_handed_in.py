"""What visitors hand in, damaged in every way: a sentence, never a trace."""

import io
import random

import numpy as np
import pytest
from PIL import Image


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
            find_field_of_view(work.open_image(tmp_path / "x"), None)
        except Refusal:
            refused += 1
    assert refused  # else the damage was none


@pytest.mark.parametrize("stored", [0, 65535, (1, 2)])
def test_a_focal_length_that_is_none_is_a_guess(work, tmp_path, stored):
    from measuring import GUESSED_FOV_DEG, find_field_of_view

    exif = Image.Exif()
    exif[0x8769] = {0xA405: stored}
    Image.new("RGB", (40, 30)).save(tmp_path / "x.jpg", exif=exif)
    assert find_field_of_view(work.open_image(tmp_path / "x.jpg"), None).degrees == GUESSED_FOV_DEG


@pytest.mark.parametrize("size", [(3, 500), (2000, 100), (5, 5)])
def test_strips_are_refused(work, tmp_path, size):
    from refusal import Refusal

    Image.new("RGB", size).save(tmp_path / "x.png")
    with pytest.raises(Refusal):
        work.open_image(tmp_path / "x.png")


def test_a_picture_that_is_gone_is_asked_for_again(work, tmp_path):
    from refusal import Refusal

    with pytest.raises(Refusal, match="this one is gone; upload it again"):
        work.open_image(tmp_path / "gone.png")


def test_sixteen_bits_and_transparency_look_as_in_a_viewer(work, tmp_path):
    grey = np.tile(np.array([0, 65535 // 2, 65535], np.uint16), (9, 3))
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.asarray(work.open_image(tmp_path / "grey.png"))[0, :3, 0].tolist() == [0, 127, 255]
    Image.fromarray(grey - grey + 200).save(tmp_path / "dark.png")
    assert np.asarray(work.open_image(tmp_path / "dark.png")).max() == 1  # rounded, not cut off
    Image.new("RGBA", (9, 9), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert np.asarray(work.open_image(tmp_path / "clear.png")).min() == 255
