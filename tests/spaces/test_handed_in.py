"""What visitors hand in, damaged in every way, and what is kept for them: a sentence, never a trace."""

import io
import os
import random
import threading
import time

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


def test_folders_in_use_stay_and_many_visitors_sweep_at_once(work, monkeypatch, tmp_path):
    import scratch

    monkeypatch.setattr(scratch, "RESULTS", tmp_path)
    for number in range(300):
        old = tmp_path / f"old{number}"
        old.mkdir()
        os.utime(old, (0, 0))
    busy = tmp_path / "busy"
    busy.mkdir()
    (busy / "half.part").write_text("x")
    os.utime(busy, (time.time() - 2 * scratch.KEPT_S,) * 2)
    made = []
    threads = [threading.Thread(target=lambda: made.append(scratch.new_folder())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8
    assert sorted(tmp_path.iterdir()) == sorted([busy, *made])


def test_results_together_stay_below_a_size_and_none_in_use_is_removed(work, monkeypatch, tmp_path):
    import scratch
    from refusal import Refusal

    monkeypatch.setattr(scratch, "RESULTS", tmp_path)
    monkeypatch.setattr(scratch, "MOST_BYTES", 2500)

    def results(name, age_s):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.npy").write_bytes(b"0" * 1000)
        for path in (tmp_path / name / "x.npy", tmp_path / name):
            os.utime(path, (time.time() - age_s,) * 2)

    for name, age_s in (("oldest", 3000), ("older", 2000), ("old", 1000), ("in use", 1)):
        results(name, age_s)
    made = scratch.new_folder()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["old", "in use", made.name])
    results("in use, too", 1)
    results("and this", 1)
    with pytest.raises(Refusal, match="try again in a minute"):
        scratch.new_folder()
    assert not (tmp_path / "old").exists()


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
