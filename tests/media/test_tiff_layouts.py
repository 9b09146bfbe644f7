"""TIFF files put together by hand, in the layouts that the standard allows: exact, or refused."""

import struct

import numpy as np
import pytest

from semidepth.data.decoding import BrokenSampleError, decode_image
from semidepth.data.depth_coding import DepthCoding
from semidepth.data.depth_decoding import decode_depth

WHITE_IS_0, BLACK_IS_0, RGB = 0, 1, 2
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
NUMBERS = DepthCoding(kind="disparity", scale=1.0, zero="value")


def tiff(
    planes: list[bytes], width: int, bits: int, photometric: int, kind: int = UNSIGNED, channels: int = 1
) -> bytes:
    """A file of one row, in one strip for each plane; `planes` of several channels are kept apart."""
    tags = {
        256: ("I", [width]), 257: ("I", [1]), 258: ("H", [bits] * channels), 259: ("H", [1]), 262: ("H", [photometric]),
        277: ("H", [channels]), 278: ("I", [1]), 279: ("I", [len(plane) for plane in planes]),
        284: ("H", [2 if len(planes) > 1 else 1]), 339: ("H", [kind] * channels),
    }  # fmt: skip
    places = np.cumsum([8, *map(len, planes)]).tolist()
    tags[273] = ("I", places[:-1])
    content, entries = b"".join(planes), b""
    for tag, (code, values) in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}{code}", *values)
        if len(packed) > 4:
            place, content = 8 + len(content), content + packed
            packed = struct.pack("<I", place)
        entries += struct.pack("<HHI", tag, {"H": 3, "I": 4}[code], len(values)) + packed.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", 8 + len(content)) + content + struct.pack("<H", len(tags)) + entries + bytes(4)


def gray(values: list[float], dtype: str, photometric: int = BLACK_IS_0, bits: int | None = None) -> bytes:
    array = np.array(values, dtype)
    kind = {"u": UNSIGNED, "i": SIGNED, "f": FLOAT}[array.dtype.kind]
    return tiff([array.tobytes()], len(values), bits or array.itemsize * 8, photometric, kind)


DEEP = [0, 1000, 32768, 65535]


def test_16_bit_gray_either_way():
    expected = [round(value * 255 / 65535) for value in DEEP]
    assert decode_image(gray(DEEP, "<u2"))[0, 0].tolist() == expected
    assert decode_image(gray(DEEP, "<u2", WHITE_IS_0))[0, 0].tolist() == [255 - value for value in expected]
    assert decode_image(gray([0, 1, 255], "u1", WHITE_IS_0))[0, 0].tolist() == [255, 254, 0]


def test_12_bit_gray_fills_the_range():
    packed = bytes([0x00, 0x08, 0x00, 0xFF, 0xF1, 0x00])  # 0, 0x800, 0xFFF, 0x100 in 12 bits each
    image = decode_image(tiff([packed], 4, 12, BLACK_IS_0))
    assert image[0, 0].tolist() == [round(value * 255 / 4095) for value in (0, 0x800, 0xFFF, 0x100)]
    depth = decode_depth(tiff([packed], 4, 12, BLACK_IS_0), NUMBERS)
    assert depth.reciprocal()[0].tolist() == pytest.approx([0, 0x800, 0xFFF, 0x100])


def test_signed_pixels_are_called_so():
    for dtype, bits in (("<i2", 16), ("i1", 8)):
        with pytest.raises(BrokenSampleError, match=f"signed {bits}-bit pixels"):
            decode_image(gray([1, 2, 3, 4], dtype))


def test_16_bit_colours_plane_by_plane_are_refused_and_pixel_by_pixel_read():
    colours = np.array([[256 * 10, 256 * 20, 256 * 30], [65535, 0, 32768]], "<u2")
    image = decode_image(tiff([colours.tobytes()], 2, 16, RGB, channels=3))
    assert image[:, 0].T.tolist() == [[10, 20, 30], [255, 0, 128]]
    planes = [np.ascontiguousarray(colours[:, channel]).tobytes() for channel in range(3)]
    with pytest.raises(BrokenSampleError, match=r"a\.tif .*16-bit colours plane by plane"):
        decode_image(tiff(planes, 2, 16, RGB, channels=3), name="a.tif")
    small = [(plane := np.frombuffer(each, "<u2") >> 8).astype("u1").tobytes() for each in planes if len(each)]
    assert plane.shape == (2,)
    assert decode_image(tiff(small, 2, 8, RGB, channels=3))[:, 0].T.tolist() == [[10, 20, 30], [255, 0, 128]]


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("u1", [0, 1, 200, 255]), ("i1", [0, 1, 100, 127]), ("<u2", DEEP), ("<i2", [0, 5, 300, 32767]),
        ("<u4", [0, 1, 3_000_000_000, 2**32 - 1]), ("<i4", [0, 1, 2**30, 2**31 - 1]), ("<f4", [0.5, 1e-3, 1e6, 2.25]),
    ],
)  # fmt: skip
def test_depth_is_the_number_that_is_stored(dtype, values):
    """What is white for a viewer says nothing of a number."""
    assert decode_depth(gray(values, dtype), NUMBERS).reciprocal()[0].tolist() == pytest.approx(values)
    if dtype in ("u1", "<u2", "<f4"):  # others are refused
        assert decode_depth(gray(values, dtype, WHITE_IS_0), NUMBERS).reciprocal()[0].tolist() == pytest.approx(values)


@pytest.mark.parametrize("dtype", ["<f2", "<f8"])
def test_floats_that_are_not_read_are_refused(dtype):
    with pytest.raises(BrokenSampleError, match="cannot be decoded as depth"):
        decode_depth(gray([1.0, 2.0], dtype))
