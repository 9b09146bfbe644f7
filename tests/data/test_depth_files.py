"""Numbers of depth files as they are stored, against arrays and bytes laid out here."""

import io
import struct
import sys
import zipfile
import zlib

import numpy as np
import OpenEXR
import pytest
from PIL import Image, PngImagePlugin
from sample_files import encoded, npy

from semidepth.data import decoding
from semidepth.data.decoding import BrokenSampleError
from semidepth.data.depth_files import stored_numbers

MAP = np.array([[0.5, np.inf, 3.0], [np.nan, 2.25, 1e5]], np.float32)


def npz(**arrays: np.ndarray) -> bytes:
    """One compressed `.npz` file's bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def exr(channels: dict[str, np.ndarray], **header: object) -> bytes:
    """One EXR file's bytes."""
    buffer = io.BytesIO()
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage} | header
    OpenEXR.File(header, channels).write(buffer)
    return buffer.getvalue()


def pfm(values: np.ndarray, order: str) -> bytes:
    """One PFM file's bytes: rows from the bottom up, the sign of the scale tells the order of bytes."""
    rows, columns = values.shape
    header = f"Pf\n{columns} {rows}\n{'-1.0' if order == '<' else '1.0'}\n".encode()
    return header + b"".join(struct.pack(f"{order}{columns}f", *row) for row in values[::-1])


@pytest.mark.parametrize("order", ["<", ">"])
def test_pfm_begins_at_the_bottom_in_either_order_of_bytes(order):
    np.testing.assert_array_equal(stored_numbers(pfm(MAP, order), "a.pfm"), MAP)


def test_pfm_cut_off_or_of_three_channels_is_refused():
    with pytest.raises(BrokenSampleError, match="cannot be decoded as depth"):
        stored_numbers(pfm(MAP, "<")[:-4], "a.pfm")
    with pytest.raises(BrokenSampleError, match="three channels"):
        stored_numbers(b"PF\n1 1\n-1.0\n" + bytes(12), "a.pfm")


def test_the_array_of_an_npz_is_named_or_found():
    other = np.ones((4, 4), np.float32)
    for key, kind, arrays in (
        (None, "depth", {"x": MAP}),
        (None, "depth", {"conf": other, "depth": MAP}),
        (None, "disparity", {"depth": other, "disparity": MAP}),
        (None, "disparity", {"conf": other, "depth": MAP}),
        ("inverse", "disparity", {"depth": other, "inverse": MAP}),
    ):
        np.testing.assert_array_equal(stored_numbers(npz(**arrays), "a.npz", key=key, kind=kind), MAP)
    with pytest.raises(ValueError, match=r"arrays conf, pred; say which one is the depth with key=") as told:
        stored_numbers(npz(conf=other, pred=MAP), "a.npz")
    assert not isinstance(told.value, BrokenSampleError)  # ends a run, is not skipped
    with pytest.raises(ValueError, match=r"has no 'd' among its arrays depth"):
        stored_numbers(npz(depth=MAP), "a.npz", key="d")


def test_damaged_and_huge_npz_are_refused(monkeypatch):
    data = npz(depth=np.random.default_rng(0).random((30, 30)))
    for broken in (data[:-30], data[:60] + b"1234" + data[64:]):
        with pytest.raises(BrokenSampleError, match="cannot be decoded as depth"):
            stored_numbers(broken, "a.npz")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("depth.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (90, 10**6)})
        for _ in range(90):
            member.write(bytes(8 * 10**6))
    with pytest.raises(BrokenSampleError, match=r"720,000,\d+ bytes of 'depth(.npy)?'"):
        stored_numbers(buffer.getvalue(), "a.npz")
    with pytest.raises(BrokenSampleError, match="allow_pickle"):
        stored_numbers(npz(depth=np.array([{}], dtype=object)), "a.npz")


def test_the_channel_of_an_exr_is_named_or_found():
    half = (MAP / 10).astype(np.float16)
    gray = np.stack([MAP] * 3, axis=-1)
    for key, channels in (
        (None, {"Y": MAP}),  # as OpenCV writes one channel
        (None, {"V": MAP}),
        (None, {"RGB": gray}),
        (None, {"RGB": gray * 2, "Z": MAP}),
        (None, {"RGB": gray * 2, "ViewLayer.Depth.Z": MAP, "ViewLayer.Normal.X": MAP * 3}),
        ("B", {"RGB": gray * np.array([3, 2, 1], np.float32)}),
    ):
        np.testing.assert_array_equal(stored_numbers(exr(channels), "a.exr", key=key), MAP)
    np.testing.assert_array_equal(stored_numbers(exr({"Z": half}), "a.exr"), half)
    with pytest.raises(ValueError, match="channels B, G, R; say which one is the depth with key=") as told:
        stored_numbers(exr({"RGB": gray * np.array([3, 2, 1], np.float32)}), "points.exr")
    assert not isinstance(told.value, BrokenSampleError)


def test_broken_and_partial_exr_are_refused(monkeypatch, capfd):
    whole = exr({"Y": MAP})
    with pytest.raises(BrokenSampleError, match=r"a\.exr cannot be decoded as depth"):
        stored_numbers(whole[: len(whole) // 2], "a.exr")
    cropped = {"displayWindow": (np.array([0, 0], np.int32), np.array([9, 9], np.int32))}
    with pytest.raises(BrokenSampleError, match="part of its picture"):
        stored_numbers(exr({"Y": MAP}, **cropped), "a.exr")
    monkeypatch.setattr(decoding, "MAX_PIXELS", 5)
    with pytest.raises(BrokenSampleError, match="3x2 pixels"):
        stored_numbers(whole, "a.exr")


def test_an_exr_without_its_package_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(ValueError, match=r"pip install 'semidepth\[exr\]'"):
        stored_numbers(exr({"Y": MAP}), "a.exr")


def test_gray_written_as_a_colour_is_one_channel():
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(stored_numbers(encoded(np.stack([gray] * 3, -1)), "a.png"), gray)


def test_16_bit_colour_is_refused():
    """Pillow would hand out its upper 8 bits without a word."""
    deep = np.arange(12, dtype=">u2").reshape(2, 6) * 1000  # (2, 2, 3) pixels
    raw = b"".join(b"\0" + row.tobytes() for row in deep)
    data = PngImagePlugin._MAGIC
    for kind, content in (
        (b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(raw)), (b"IEND", b""),
    ):  # fmt: skip
        data += struct.pack(">I", len(content)) + kind + content
        data += struct.pack(">I", zlib.crc32(kind + content))
    assert Image.open(io.BytesIO(data)).mode == "RGB"
    with pytest.raises(BrokenSampleError, match="16-bit RGB pixels"):
        stored_numbers(data, "a.png")


def test_npy_is_as_it_is():
    assert stored_numbers(npy(MAP.astype(np.float64)), "a.npy").dtype == np.float64
