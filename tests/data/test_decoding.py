"""Decoding: every kind of image and depth file that turns up, compared with numbers worked out by hand."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from sample_files import encoded, npy

from semidepth.data import decoding
from semidepth.data.decoding import BrokenSampleError, decode_image
from semidepth.data.depth_decoding import DepthCoding, decode_depth, match_depth_to_image

# What EXIF orientation 1 to 8 asks a viewer to do with an (H, W) array, from the EXIF standard's own table
# (which side the stored first row and first column are on).
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: a.T[:, ::-1],
    7: lambda a: a.T[::-1, ::-1],
    8: lambda a: a.T[::-1],
}


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.fixture
def gradient() -> np.ndarray:
    """(40, 64, 3) smooth colours, so that JPEG keeps them within a few steps."""
    rows, columns = np.mgrid[0:40, 0:64]
    return np.stack([rows * 5, columns * 3, 200 - rows * 2 - columns], axis=-1).astype(np.uint8)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF"])
def test_lossless_rgb_is_exact(gradient, format):
    image = decode_image(encoded(gradient, format))
    assert image.dtype == torch.uint8
    np.testing.assert_array_equal(image.numpy(), gradient.transpose(2, 0, 1))


def test_jpeg_bytes_path_and_pil_agree(gradient, tmp_path):
    data = encoded(gradient, "JPEG", quality=98, subsampling=0)
    (tmp_path / "a.jpg").write_bytes(data)
    image = decode_image(data)
    assert np.abs(image.numpy().astype(int) - gradient.transpose(2, 0, 1)).max() <= 6
    assert torch.equal(image, decode_image(tmp_path / "a.jpg"))
    assert torch.equal(image, decode_image(str(tmp_path / "a.jpg")))
    assert torch.equal(image, decode_image(Image.open(io.BytesIO(data))))


def test_tensor_is_handed_back():
    image = torch.zeros(3, 4, 5, dtype=torch.uint8)
    assert decode_image(image) is image


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_grayscale_fills_three_channels(format):
    gray = np.full((16, 24), 90, dtype=np.uint8)
    assert torch.equal(decode_image(encoded(gray, format)), torch.full((3, 16, 24), 90, dtype=torch.uint8))


def test_transparency_is_composited_on_white():
    pixels = np.zeros((1, 3, 4), dtype=np.uint8)
    pixels[0, 0] = (10, 20, 30, 255)  # opaque
    pixels[0, 1] = (10, 20, 30, 0)  # hidden colour
    pixels[0, 2] = (0, 100, 200, 102)  # 0.4 of the colour, 0.6 of white
    image = decode_image(encoded(pixels))
    assert image[:, 0, 0].tolist() == [10, 20, 30]
    assert image[:, 0, 1].tolist() == [255, 255, 255]
    assert image[:, 0, 2].tolist() == [153, 193, 233]


def test_palette_with_and_without_transparency():
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putdata([0, 1])
    assert decode_image(saved(palette, "PNG"))[:, 0].T.tolist() == [[255, 0, 0], [0, 0, 255]]
    assert decode_image(saved(palette, "PNG", transparency=0))[:, 0].T.tolist() == [[255] * 3, [0, 0, 255]]


def test_16_bit_gray_is_scaled_not_clipped():
    pixels = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    expected = [round(value * 255 / 65535) for value in pixels[0].tolist()]
    for format in ("PNG", "TIFF"):
        image = decode_image(encoded(pixels, format))
        assert image.shape == (3, 1, 6)
        assert image[1, 0].tolist() == expected == [0, 0, 1, 1, 128, 255]


def test_cmyk_becomes_rgb():
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan: red
    red, green, blue = decode_image(saved(ink, "JPEG", quality=95))[:, 8, 8].tolist()
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_exif_rotation_is_applied(orientation, format):
    stored = np.zeros((24, 40), dtype=np.uint8)
    stored[:8, :8] = 200  # one bright corner tells all eight apart
    stored[:8, 32:] = 100
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode_image(encoded(np.stack([stored] * 3, -1), format, exif=exif))
    expected = UPRIGHT[orientation](stored)
    assert tuple(image.shape[1:]) == expected.shape
    assert np.abs(image[0].numpy().astype(int) - expected).max() <= 12


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("kept", [0.5, 0.97])
@pytest.mark.parametrize("lenient_pillow", [False, True])
def test_truncated_files_are_refused_by_name(noise, format, kept, lenient_pillow, monkeypatch):
    data = encoded(noise, format)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient_pillow)
    with pytest.raises(BrokenSampleError, match=r"^shelf/a\.img cannot be decoded as an image: \w"):
        decode_image(data[: int(len(data) * kept)], name="shelf/a.img")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is lenient_pillow


@pytest.mark.parametrize("data", [b"", b"no image at all", b"\xff\xd8\xff"])
def test_other_bytes_are_refused(data):
    with pytest.raises(BrokenSampleError, match="image cannot be decoded"):
        decode_image(data)


def test_missing_file_is_refused_by_its_path(tmp_path):
    with pytest.raises(BrokenSampleError, match=r"gone\.jpg"):
        decode_image(tmp_path / "gone.jpg")


@pytest.mark.parametrize("side", [9000, 14000])  # above our own limit, and above Pillow's
def test_decompression_bombs_are_refused(side):
    bomb = saved(Image.new("1", (side, side)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(BrokenSampleError, match="pixels"):
        decode_image(bomb)
    with pytest.raises(BrokenSampleError, match="pixels"):
        decode_depth(bomb, DepthCoding(scale=0.001))


def test_pixel_limit_is_on_pixels(monkeypatch, gradient):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 40 * 64)
    decode_image(encoded(gradient))
    monkeypatch.setattr(decoding, "MAX_PIXELS", 40 * 64 - 1)
    with pytest.raises(BrokenSampleError, match="64x40 pixels"):
        decode_image(encoded(gradient))


def test_float_and_32_bit_images_are_refused():
    with pytest.raises(BrokenSampleError, match="float pixels"):
        decode_image(encoded(np.ones((4, 4), dtype=np.float32), "TIFF"))
    with pytest.raises(BrokenSampleError, match="32-bit"):
        decode_image(encoded(np.full((4, 4), 70000, dtype=np.int32), "TIFF"))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_depth_in_metres(format):
    stored = np.array([[0, 1, 1500], [65535, 2, 40000]], dtype=np.uint16)
    depth = decode_depth(encoded(stored, format), DepthCoding(scale=0.001))
    assert depth.dtype == torch.float32
    expected = [[np.nan, 0.001, 1.5], [65.535, 0.002, 40.0]]
    np.testing.assert_allclose(depth.numpy(), expected, rtol=1e-6)


def test_float_depth_of_every_carrier():
    stored = np.array([[0.0, -1.0, np.nan], [np.inf, 2.5, -np.inf]], dtype=np.float32)
    expected = np.array([[np.nan, np.nan, np.nan], [np.inf, 2.5, np.nan]])
    for carrier in (npy(stored), npy(stored[..., None]), encoded(stored, "TIFF"), stored, stored[None]):
        np.testing.assert_array_equal(decode_depth(carrier).numpy(), expected)
    np.testing.assert_array_equal(decode_depth(torch.from_numpy(stored)).numpy(), expected)
    np.testing.assert_array_equal(decode_depth(stored.tolist()).numpy(), expected)
    np.testing.assert_array_equal(
        decode_depth(npy(stored.astype(np.float64)), DepthCoding(scale=2.0))[1].numpy(), expected[1] * 2
    )


def test_depth_from_a_path(tmp_path):
    np.save(tmp_path / "d.npy", np.full((2, 3), 4.0))
    assert decode_depth(tmp_path / "d.npy").tolist() == [[4.0] * 3] * 2


def test_disparity_becomes_depth():
    stored = np.array([[0.0, 0.5, -0.1, np.nan, 4.0]], dtype=np.float32)
    expected = [[np.inf, 2.0, np.nan, np.nan, 0.25]]
    np.testing.assert_array_equal(decode_depth(npy(stored), DepthCoding(kind="disparity")).numpy(), expected)
    png = encoded(np.array([[0, 1000, 4000]], dtype=np.uint16))
    depth = decode_depth(png, DepthCoding(scale=0.0005, kind="disparity", zero="sky"))
    np.testing.assert_allclose(depth.numpy(), [[np.inf, 2.0, 0.5]], rtol=1e-6)


def test_range_makes_unknown_and_keeps_sky():
    stored = np.array([[0.1, 0.5, 5.0, 10.0, 10.1, np.inf]], dtype=np.float32)
    depth = decode_depth(stored, DepthCoding(min_depth_m=0.5, max_depth_m=10.0))
    np.testing.assert_array_equal(depth.numpy(), np.array([[np.nan, 0.5, 5.0, 10.0, np.nan, np.inf]], np.float32))


def test_integers_need_a_scale():
    with pytest.raises(ValueError, match=r"a\.png holds uint16 depth without a scale; give depth_scale"):
        decode_depth(encoded(np.ones((2, 2), np.uint16)), name="a.png")


def test_8_bit_is_for_disparity_or_where_depth_is_said():
    data = encoded(np.array([[0, 51]], dtype=np.uint8))
    with pytest.raises(BrokenSampleError, match="8-bit depth"):
        decode_depth(data, DepthCoding(scale=0.1))
    for kind in ("disparity", "depth"):  # or where it is said
        expected = 5.0 if kind == "disparity" else 0.2
        found = decode_depth(data, DepthCoding(scale=1 / 255, kind=kind))
        np.testing.assert_allclose(found.numpy(), [[np.nan, expected]], rtol=1e-6)


def test_unusable_depth_is_refused():
    with pytest.raises(BrokenSampleError, match="RGB pixels"):
        decode_depth(encoded(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)), DepthCoding(scale=1.0))
    with pytest.raises(BrokenSampleError, match="shape"):
        decode_depth(np.ones((2, 3, 4), np.float32))
    with pytest.raises(BrokenSampleError, match="values"):
        decode_depth(np.ones((2, 3), np.complex64))
    pickled = io.BytesIO()
    np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(BrokenSampleError, match="allow_pickle"):
        decode_depth(pickled.getvalue())


@pytest.mark.parametrize("carrier", ["PNG", "TIFF", "npy"])
def test_truncated_depth_is_refused(noise, carrier):
    stored = noise[..., 0].astype(np.uint16) * 200
    data = npy(stored) if carrier == "npy" else encoded(stored, carrier)
    with pytest.raises(BrokenSampleError, match="deep cannot be decoded as depth"):
        decode_depth(data[: len(data) // 2], DepthCoding(scale=0.001), name="deep")


def test_smaller_depth_is_matched_by_nearest_neighbour():
    depth = torch.tensor([[1.0, torch.nan], [torch.inf, 4.0]])
    matched = match_depth_to_image(depth, torch.zeros(3, 4, 6), "s")
    expected = np.repeat(np.repeat(depth.numpy(), 2, axis=0), 3, axis=1)
    np.testing.assert_array_equal(matched.numpy(), expected[:, :6])


def test_depth_of_another_aspect_is_refused():
    assert match_depth_to_image(torch.ones(185, 612), torch.zeros(3, 370, 1224), "s").shape == (370, 1224)
    assert match_depth_to_image(torch.ones(160, 213), torch.zeros(3, 480, 640), "s").shape == (
        480,
        640,
    )  # rounded
    with pytest.raises(BrokenSampleError, match="another aspect ratio"):
        match_depth_to_image(torch.ones(64, 40), torch.zeros(3, 40, 64), "s")


def test_a_pseudo_label_is_stretched_over_its_image():
    """A teacher of patches of 14 sees 640 x 480 as 686 x 518."""
    label = torch.arange(518 * 686, dtype=torch.float32).view(518, 686)
    image = torch.zeros(3, 480, 640, dtype=torch.uint8)
    with pytest.raises(BrokenSampleError, match="another aspect ratio"):
        match_depth_to_image(label, image, "a.jpg")
    fitted = match_depth_to_image(label, image, "a.jpg", stretch=True)
    assert fitted.shape == (480, 640)
    assert fitted[-1, -1] == label[-1, -1]


HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + bytes(100)


def test_heic_says_what_to_install(monkeypatch):
    monkeypatch.setattr(decoding, "heic_is_read", lambda: False)
    with pytest.raises(BrokenSampleError, match=r"b\.heic cannot be decoded .*HEIC file; install pillow-heif"):
        decode_image(HEIC, name="b.heic")


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_heic_is_read_upright(gradient, orientation):
    heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(gradient, "HEIF", quality=-1, exif=exif)
    shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode_image(data).numpy(), shown.transpose(2, 0, 1))
    with pytest.raises(BrokenSampleError, match="cannot be decoded"):
        decode_image(data[: len(data) // 2])
