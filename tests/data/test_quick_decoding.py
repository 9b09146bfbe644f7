"""The quick decoders: equal to Pillow, or to numbers put into the file by hand, and as strict about files cut short."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from sample_files import encoded

from semidepth.data import decoding, depth_files
from semidepth.data.decoding import BrokenSampleError, decode_image
from semidepth.data.depth_decoding import DepthCoding, decode_depth
from semidepth.data.depth_files import stored_numbers


@pytest.fixture
def photo() -> np.ndarray:
    """(210, 333, 3) smooth colours with texture and sharp edges; odd sides, so that blocks are cut."""
    rows, columns = np.mgrid[0:210, 0:333]
    smooth = np.stack([rows, columns * 0.7, 200 - rows * 0.5], axis=-1)
    texture = np.random.default_rng(1).normal(0, 25, smooth.shape)
    edges = 60 * ((rows // 30 + columns // 45) % 2)[..., None]
    return (smooth + texture + edges).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 30, "subsampling": 2},
        {"quality": 75, "subsampling": 1},
        {"quality": 100, "subsampling": 0},
        {"quality": 85, "progressive": True},
        {"quality": 90, "restart_marker_blocks": 5},
        {"quality": 90, "keep_rgb": True},
        {"quality": 80, "comment": b"a", "icc_profile": b"none", "dpi": (72, 72)},
    ],
    ids=str,
)
@pytest.mark.parametrize("gray", [False, True])
def test_jpeg_equals_pillow_to_the_bit(photo, options, gray, monkeypatch):
    data = encoded(photo[..., 1] if gray else photo, "JPEG", **options)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).transpose(2, 0, 1)
    monkeypatch.delattr(decoding, "_to_rgb")  # Pillow's part: not used for these
    np.testing.assert_array_equal(decode_image(data).numpy(), expected)


def test_jpeg_damaged_inside_is_what_pillow_makes_of_it(photo):
    data = bytearray(encoded(photo, "JPEG"))
    data[len(data) // 2] ^= 0x55
    assert torch.equal(decode_image(bytes(data)), decode_image(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 4}], ids=str)
def test_jpeg_cut_anywhere_is_refused(photo, options):
    data = encoded(photo, "JPEG", **options)
    for end in [*range(2, 700, 83), *np.linspace(700, len(data) - 60, 40, dtype=int).tolist()]:
        with pytest.raises(BrokenSampleError, match=r"^cut\.jpg cannot be decoded"):
            decode_image(data[:end], name="cut.jpg")


def test_jpeg_cut_within_its_thumbnail_is_refused(photo):
    """There the file ends in the mark of a JPEG's end: the thumbnail's."""
    thumbnail = encoded(photo[:40, :40], "JPEG")
    data = encoded(photo, "JPEG", exif=b"Exif\0\0" + thumbnail)
    end = data.index(thumbnail) + len(thumbnail)
    assert data[:end].endswith(b"\xff\xd9")
    with pytest.raises(BrokenSampleError, match="header"):
        decode_image(data[:end])


def test_jpeg_with_bytes_after_its_end_is_read(photo):
    data = encoded(photo, "JPEG")
    assert torch.equal(decode_image(data + b"maker's notes"), decode_image(data))


@pytest.mark.parametrize(
    ("at_least", "factor"), [(None, 1), (211, 1), (106, 1), (105, 2), (80, 2), (53, 4), (28, 4), (27, 8), (5, 8)]
)
def test_jpeg_is_reduced_only_while_it_keeps_the_size(photo, at_least, factor):
    image = decode_image(encoded(photo, "JPEG", quality=95, subsampling=0), at_least=at_least)
    assert tuple(image.shape) == (3, -(-210 // factor), -(-333 // factor))
    height, width = 210 // factor, 333 // factor  # whole blocks, each of which becomes its mean
    blocks = photo[: height * factor, : width * factor].reshape(height, factor, width, factor, 3).mean(axis=(1, 3))
    difference = np.abs(image[:, :height, :width].permute(1, 2, 0).numpy() - blocks)
    assert difference.mean() < 3.5


def test_reduced_jpeg_is_upright_and_limited_by_its_full_size(photo, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(photo, "JPEG", exif=exif)
    assert tuple(decode_image(data, at_least=50).shape) == (3, 84, 53)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 210 * 333 - 1)
    with pytest.raises(BrokenSampleError, match="333x210 pixels"):
        decode_image(data, at_least=50)


def test_jpeg_is_reduced_in_eighths(photo):
    assert tuple(decode_image(encoded(photo, "JPEG"), at_least=79).shape) == (3, 79, 125)  # 3/8, rounded up


def test_only_jpeg_is_reduced(photo):
    assert tuple(decode_image(encoded(photo, "PNG"), at_least=50).shape) == (3, 210, 333)
    assert tuple(decode_image(Image.fromarray(photo), at_least=50).shape) == (3, 210, 333)


def png(header: bytes, pixels: bytes, *chunks: tuple[bytes, bytes], split: int = 2**20) -> bytes:
    """A PNG file put together by hand: header, further chunks, compressed pixels in pieces, end."""
    packed = zlib.compress(pixels)
    pieces = [(b"IDAT", packed[start : start + split]) for start in range(0, len(packed), split)]
    body = [(b"IHDR", header), *chunks, *pieces, (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in body
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture
def deep() -> np.ndarray:
    """(300, 401) uint16 with every number among them, smooth in part."""
    values = np.arange(300 * 401, dtype=np.uint32) * 7
    values[60_000:] = np.random.default_rng(2).integers(0, 65536, len(values) - 60_000)
    values[: 2**16] = np.arange(2**16)
    return values.astype(np.uint16).reshape(300, 401)


@pytest.mark.parametrize("level", [0, 1, 9])
def test_16_bit_png_is_exact_to_the_bit(deep, level, monkeypatch):
    data = encoded(deep, compress_level=level)
    monkeypatch.delattr(depth_files, "load_pixels")  # Pillow's decoder: not used for these
    np.testing.assert_array_equal(stored_numbers(data, "d"), deep)
    metres = deep.astype(np.float32) * np.float32(0.001)
    metres[deep == 0] = np.nan
    np.testing.assert_array_equal(decode_depth(data, DepthCoding(scale=0.001)).numpy(), metres)


def test_16_bit_png_of_every_row_filter(deep):
    """Each of the five filters of the PNG standard, done here in plain loops."""
    raw = deep[:30, :40].astype(">u2").view(np.uint8).astype(int)  # (30, 80) bytes, 2 to a pixel
    rows = []
    for number, row in enumerate(raw):
        above = raw[number - 1] if number else np.zeros_like(row)
        coded = [number % 5]
        for place, byte in enumerate(row):
            left, up = (row[place - 2] if place > 1 else 0), above[place]
            corner = above[place - 2] if place > 1 else 0
            nearest = min((left, up, corner), key=lambda value: abs(left + up - corner - value))
            coded.append((byte - (0, left, up, (left + up) // 2, nearest)[number % 5]) % 256)
        rows.append(bytes(int(byte) for byte in coded))
    header = struct.pack(">IIBBBBB", 40, 30, 16, 0, 0, 0, 0)
    chunks = (b"gAMA", struct.pack(">I", 20000)), (b"tRNS", b"\x03\xe8"), (b"sBIT", b"\x0c"), (b"tEXt", b"a\0b")
    np.testing.assert_array_equal(stored_numbers(png(header, b"".join(rows)), "d"), deep[:30, :40])
    data = png(header, b"".join(rows), *chunks, split=97)
    np.testing.assert_array_equal(stored_numbers(data, "d"), deep[:30, :40])


def test_interlaced_16_bit_png_is_exact(deep):
    # Adam7: first row, first column, step of rows and of columns of each of the seven passes.
    passes = (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)
    parts = [deep[row::down, column::right].astype(">u2") for row, column, down, right in passes]
    pixels = b"".join(b"\0" + row.tobytes() for part in parts for row in part)
    data = png(struct.pack(">IIBBBBB", 401, 300, 16, 0, 0, 0, 1), pixels)
    np.testing.assert_array_equal(stored_numbers(data, "d"), deep)


def test_damaged_16_bit_png_is_refused(deep):
    data = bytearray(encoded(deep))
    data[len(data) // 2] ^= 0x55
    with pytest.raises(BrokenSampleError, match=r"cannot be decoded as depth: .*CRC"):
        decode_depth(bytes(data), DepthCoding(scale=0.001))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep[:299])  # one row too few
    with pytest.raises(BrokenSampleError, match=r"cannot be decoded as depth: .*enough data"):
        decode_depth(png(struct.pack(">IIBBBBB", 401, 300, 16, 0, 0, 0, 0), rows), DepthCoding(scale=0.001))


@pytest.mark.parametrize("kind", ["depth", "disparity"])
@pytest.mark.parametrize("limits", [(None, None), (0.5, 10.0)])
def test_integers_become_the_same_metres_in_large_and_small_maps(deep, kind, limits):
    coding = DepthCoding(scale=0.0007, kind=kind, min_depth_m=limits[0], max_depth_m=limits[1], unknown=(65535,))
    whole = decode_depth(deep, coding)
    rows = torch.stack([decode_depth(row[None], coding)[0] for row in deep])
    np.testing.assert_array_equal(whole.numpy(), rows.numpy())
    whole.zero_()  # a map of its own, not one that later maps are made from
    np.testing.assert_array_equal(decode_depth(deep, coding).numpy(), rows.numpy())


# Large pictures: band by band, one at a time, and smaller where they may be


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "L", "LA", "I;16", "1"])
def test_bands_give_what_the_whole_gives(photo, mode, monkeypatch):
    picture = Image.fromarray(photo)
    if mode == "I;16":
        picture = Image.fromarray(photo[..., 0].astype(np.uint16) * 257)
    elif mode in ("RGBA", "LA"):
        picture.putalpha(Image.fromarray(photo[..., 1]))
        picture = picture.convert(mode)
    else:
        picture = picture.convert(mode)
    whole = decode_image(picture)
    monkeypatch.setattr(decoding, "BAND_PIXELS", 333 * 7)
    assert torch.equal(decode_image(picture), whole)


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize(("at_least", "factor"), [(None, 1), (50, 3), (70, 3), (105, 2), (106, 1)])
def test_large_images_are_decoded_smaller_where_they_may_be(photo, format, at_least, factor, monkeypatch):
    monkeypatch.setattr(decoding, "LARGE_PIXELS", 210 * 333 / 8)
    monkeypatch.setattr(decoding, "BAND_PIXELS", 333 * 12)
    data = encoded(photo, format, **({"quality": 95, "subsampling": 0} if format == "JPEG" else {}))
    image, _ = decoding.decode_turned(data, large_at_least=at_least)
    if format == "JPEG" and factor == 3:
        assert min(image.shape[1:]) == 79  # in eighths: 3/8
        return
    height, width = 210 // factor, 333 // factor
    assert tuple(image.shape) == (3, -(-210 // factor), -(-333 // factor))
    blocks = photo[: height * factor, : width * factor].reshape(height, factor, width, factor, 3).mean(axis=(1, 3))
    difference = np.abs(image[:, :height, :width].permute(1, 2, 0).numpy() - blocks)
    assert difference.max() <= 1 if format == "PNG" else difference.mean() < 3.5


def test_transparency_is_put_on_white_before_pixels_are_averaged(monkeypatch):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (0, 0, 0, 255)  # one black pixel among three that are see-through
    monkeypatch.setattr(decoding, "LARGE_PIXELS", 1)
    assert decoding.decode_turned(encoded(pixels), large_at_least=1)[0].flatten().tolist() == [191] * 3


@pytest.mark.parametrize(("mode", "bytes_each"), [("RGBA", 4), ("I;16", 2)])
def test_memory_of_a_large_picture_is_bounded(tmp_path, mode, bytes_each):
    """Its own pixels, those of the result, and bands; by what the system says of a process that decodes it alone."""
    side = 5000
    Image.new(mode, (side, side), (9, 9, 9, 99) if mode == "RGBA" else 999).save(tmp_path / "a.png", compress_level=1)
    program = (
        "import resource, sys; from semidepth.data.decoding import decode_image; decode_image(sys.argv[2]);"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; decode_image(sys.argv[1]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    Image.new("RGBA", (9, 9)).save(tmp_path / "small.png")
    command = [sys.executable, "-c", program, str(tmp_path / "a.png"), str(tmp_path / "small.png")]
    used = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout) * 1024
    assert used < side**2 * (bytes_each + 3) + 130_000_000
