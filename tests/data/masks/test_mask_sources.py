"""Masks from COCO json, Segment Anything's json, files beside photos, tables and tars; whole and broken."""

import io
import json
import os
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from pycocotools import mask as library
from sample_files import encoded, write_images

from semidepth.cli import main
from semidepth.data.source_spec import parse_source, parse_sources
from semidepth.data.streaming.mask_loading import MaskChoice, MaskLoader, mask_samples
from semidepth.data.streaming.plan import StreamPlan
from semidepth.evaluation.source_report.report import report_on

HEIGHT, WIDTH = 20, 30
ALL = MaskChoice(min_area=0.0, max_area=1.0)
LEFT = np.zeros((HEIGHT, WIDTH), dtype=bool)
LEFT[2:12, 3:10] = True
RIGHT = np.zeros((HEIGHT, WIDTH), dtype=bool)
RIGHT[5:18, 8:25] = True  # overlaps LEFT


def rle(mask: np.ndarray) -> dict:
    found = library.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(found["size"]), "counts": found["counts"].decode()}


def box(mask: np.ndarray) -> list[float]:
    """The polygon of a mask that is a rectangle."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return [float(each) for each in (left, top, right, top, right, bottom, left, bottom)]


def photo(path, number: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT), **options) -> None:
    pixels = np.random.default_rng(number).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95, **options)


def coco(folder, annotations: list[dict], files: dict[int, str], size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    record = {
        "images": [{"id": n, "file_name": name, "width": size[0], "height": size[1]} for n, name in files.items()],
        "annotations": annotations,
        "categories": [{"id": 7, "name": "cup"}, {"id": 8, "name": "dog"}],
    }
    (folder / "instances.json").write_text(json.dumps(record))


def samples(spec: object, **options) -> list:
    return list(mask_samples(parse_sources([str(spec)]), choice=options.pop("choice", ALL), **options))


def check(sample, *expected: np.ndarray) -> None:
    assert sample.masks.dtype == torch.bool
    assert len(sample.masks) == len(expected)
    for mask, other in zip(sample.masks.numpy(), expected, strict=True):
        np.testing.assert_array_equal(mask, other)


# COCO


def test_coco_polygons_run_lengths_and_crowds(tmp_path):
    for name in ("a.jpg", "sub/b.jpg", "c.jpg", "d.jpg"):
        photo(tmp_path / name)
    coco(
        tmp_path,
        [
            {"image_id": 1, "category_id": 7, "segmentation": [box(LEFT)]},
            {"image_id": 1, "category_id": 8, "segmentation": {"size": [HEIGHT, WIDTH], "counts": runs(RIGHT)}},
            {"image_id": 1, "category_id": 8, "segmentation": rle(LEFT | RIGHT), "iscrowd": 1},
            {"image_id": 2, "category_id": 9, "segmentation": rle(RIGHT)},
            {"image_id": 3, "category_id": 7, "segmentation": rle(RIGHT), "iscrowd": 1},
        ],
        {1: "a.jpg", 2: "sub/b.jpg", 3: "c.jpg", 4: "gone.jpg"},
    )
    first, second = samples(f"{tmp_path}?masks=instances.json")
    check(first, LEFT, RIGHT)
    assert (first.names, first.levels) == (("cup", "dog"), ("", ""))
    check(second, RIGHT)
    assert second.names == ("",)
    report = report_on(parse_source(f"{tmp_path}?masks=instances.json"), labeled=False)
    assert report.samples == 2
    assert "2 without masks (c.jpg, d.jpg)" in report.left_out
    assert (report.masks.masks, report.masks.per_picture) == (3, (1, 1.5, 2))
    assert report.masks.areas[0] == LEFT.mean()
    assert report.masks.left_out == {"of crowds": 1}
    assert "3 in 2 pictures" in "\n".join(report.lines())
    assert not [each for each in report.findings if each.name == "masks left out"]


def test_what_is_left_out_is_told_with_its_number(tmp_path, caplog):
    photo(tmp_path / "a.jpg")
    marks = [{"image_id": 1, "category_id": 7, "segmentation": rle(mask)} for mask in (LEFT, RIGHT, ~LEFT)]
    coco(tmp_path, [*marks, marks[0] | {"iscrowd": 1}], {1: "a.jpg"})
    with caplog.at_level("INFO"):
        (found,) = samples(f"{tmp_path}?masks=instances.json", choice=MaskChoice(min_area=0.2, max_area=0.8))
    check(found, RIGHT)
    (line,) = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert all(part in line for part in ("1 of crowds", "1 too small", "1 too large"))


def test_a_source_of_masks_is_not_said_to_lack_depth(tmp_path, caplog, capsys):
    photo(tmp_path / "a.jpg")
    coco(tmp_path, [{"image_id": 1, "category_id": 7, "segmentation": rle(LEFT)}], {1: "a.jpg"})
    assert main(["data", f"{tmp_path}?masks=instances.json"]) == 0
    assert "1 in 1 pictures" in capsys.readouterr().out
    assert "without labels" not in caplog.text


def runs(mask: np.ndarray) -> list[int]:
    """Run lengths counted one by one, down the columns."""
    counts, inside = [0], False
    for pixel in mask.T.reshape(-1):
        if pixel != inside:
            counts.append(0)
            inside = not inside
        counts[-1] += 1
    return counts


def test_coco_finds_images_by_the_end_of_their_path(tmp_path):
    photo(tmp_path / "images" / "x" / "a.jpg")
    photo(tmp_path / "images" / "y" / "a.jpg", 1)
    files = {1: "x/a.jpg", 2: "y/a.jpg"}
    coco(tmp_path, [{"image_id": n, "segmentation": rle(m)} for n, m in ((1, LEFT), (2, RIGHT))], files)
    found = samples(f"{tmp_path / 'images'}?masks=../instances.json")
    check(found[0], LEFT)
    check(found[1], RIGHT)


def test_broken_masks_of_a_picture_are_left_out_and_counted(tmp_path, caplog):
    photo(tmp_path / "a.jpg")
    bad = [
        {"size": [HEIGHT, WIDTH], "counts": "~~~"},
        {"size": [HEIGHT, WIDTH], "counts": rle(LEFT[:5])["counts"]},
        {"size": [10**9, 10**9], "counts": [10**18]},
        rle(np.ones((WIDTH, HEIGHT))),
        [[0, 0, 1e9, 0, 1e9, 1e9]],
        [["a", 1, 2, 3, 4, 5]],
        [],
        None,
        7,
    ]
    whole = [{"image_id": 1, "segmentation": each} for each in (rle(LEFT), *bad, [box(RIGHT)])]
    coco(tmp_path, whole, {1: "a.jpg"})
    (sample,) = samples(f"{tmp_path}?masks=instances.json")
    check(sample, LEFT, RIGHT)
    assert caplog.text.count("a.jpg") == 2  # one sentence for each of the two reasons
    assert "30x20 pixels and has masks of" in caplog.text
    report = report_on(parse_source(f"{tmp_path}?masks=instances.json"), labeled=False)
    assert report.masks.left_out == {"broken": 7, "of another size than their image": 2}
    (finding,) = [each for each in report.findings if each.name == "masks left out"]
    assert "9 masks" in finding.sentence


def test_a_picture_of_another_size_than_its_json_says_is_skipped(tmp_path, caplog):
    photo(tmp_path / "a.jpg", size=(15, 10))
    photo(tmp_path / "b.jpg")
    coco(tmp_path, [{"image_id": n, "segmentation": [box(LEFT)]} for n in (1, 2)], {1: "a.jpg", 2: "b.jpg"})
    (sample,) = samples(f"{tmp_path}?masks=instances.json")
    check(sample, LEFT)
    assert "15x10" in caplog.text
    assert "30x20" in caplog.text
    report = report_on(parse_source(f"{tmp_path}?masks=instances.json"), labeled=False)
    assert report.masks.broken == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": [], "annotations": [{}], "categories": []}', "\xff"])
def test_a_json_that_is_none_of_cocos_is_refused(tmp_path, text):
    photo(tmp_path / "a.jpg")
    (tmp_path / "m.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"COCO|no masks"):
        samples(f"{tmp_path}?masks=m.json")


def test_masks_that_name_no_file_are_refused(tmp_path):
    photo(tmp_path / "a.jpg")
    for value in ("nothing.json", "a.jpg", "column"):
        with pytest.raises(ValueError, match="masks="):
            parse_source(f"{tmp_path}?masks={value}")
    for value in ("json", "folder"):
        with pytest.raises(ValueError, match="no masks"):
            samples(f"{tmp_path}?masks={value}")


# Beside each photo


def test_segment_anythings_json_beside_photos(tmp_path):
    record = {
        "image": {"image_id": 3, "width": WIDTH, "height": HEIGHT, "file_name": "a.jpg"},
        "annotations": [
            {"segmentation": rle(LEFT), "predicted_iou": 0.7, "bbox": [3, 2, 7, 10]},
            {"segmentation": rle(RIGHT), "predicted_iou": 0.95},
        ],
    }
    photo(tmp_path / "a.jpg")
    photo(tmp_path / "b.jpg")
    photo(tmp_path / "c.jpg")
    (tmp_path / "a.json").write_text(json.dumps(record))
    (tmp_path / "b.json").write_text("{")
    (sample,) = samples(f"{tmp_path}?masks=json")
    check(sample, LEFT, RIGHT)
    (sure,) = samples(f"{tmp_path}?masks=json", choice=MaskChoice(min_area=0, max_area=1, min_score=0.88))
    check(sure, RIGHT)


def test_numbers_and_pictures_beside_photos(tmp_path):
    ids = np.zeros((HEIGHT, WIDTH), dtype=np.uint16)
    ids[LEFT], ids[RIGHT & ~LEFT] = 300, 40000
    for name in "abcdef":
        photo(tmp_path / f"{name}.jpg")
    (tmp_path / "a_mask.png").write_bytes(encoded(ids))
    palette = Image.fromarray((ids > 0).astype(np.uint8) * 3, "P")
    palette.putpalette([0, 0, 0, 9, 9, 9, 8, 8, 8, 7, 7, 7])
    palette.save(tmp_path / "b_mask.png")
    folder = tmp_path / "c_masks"
    folder.mkdir()
    Image.fromarray(RIGHT).save(folder / "0.png")  # one bit
    Image.fromarray(LEFT.astype(np.uint8) * 255).save(folder / "1.png")
    Image.fromarray(np.ones((9, 9), np.uint8)).save(folder / "2.png")  # of another size
    (folder / "3.png").write_bytes(b"no picture")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(
        tmp_path / "d_mask.png"
    )
    (tmp_path / "e_mask.png").write_bytes(b"no picture")
    found = samples(f"{tmp_path}?masks=folder")
    assert [sample.origin[-5] for sample in found] == ["a", "b", "c"]
    check(found[0], LEFT, RIGHT & ~LEFT)
    check(found[1], LEFT | RIGHT)
    check(found[2], RIGHT, LEFT)
    report = report_on(parse_source(f"{tmp_path}?masks=folder"), labeled=False)
    assert (report.samples, report.masks.broken) == (5, 2)
    [left_out] = [finding.sentence for finding in report.findings if finding.name == "files left out"]
    assert "left out are 1 without masks (f.jpg)" in left_out  # masks are read
    assert report.masks.left_out == {"of another size than their image": 1, "broken": 1}


def test_masks_of_turned_photos_lie_as_the_photo_is_shown_or_stored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # viewers turn it by 90 degrees
    photo(tmp_path / "a.jpg", exif=exif)
    photo(tmp_path / "b.jpg", exif=exif)
    Image.fromarray(LEFT.astype(np.uint8)).save(tmp_path / "a_mask.png")
    Image.fromarray(np.rot90(LEFT, -1).astype(np.uint8)).save(tmp_path / "b_mask.png")
    for sample in samples(f"{tmp_path}?masks=folder"):
        assert sample.image.shape == (3, WIDTH, HEIGHT)
        check(sample, np.rot90(LEFT, -1))


# Tables and tars


@pytest.mark.parametrize("kind", ["run lengths", "annotations", "json", "numbers", "pictures", "array"])
def test_columns_of_masks(tmp_path, kind):
    both = [LEFT, RIGHT & ~LEFT]
    ids = LEFT.astype(np.uint16) + 2 * (RIGHT & ~LEFT).astype(np.uint16)
    cells = {
        "run lengths": [{**rle(mask), "name": "cup", "predicted_iou": 0.9} for mask in both],
        "annotations": [{"segmentation": rle(mask), "category": "cup", "iscrowd": 0} for mask in both],
        "json": json.dumps([{"segmentation": rle(mask), "name": "cup"} for mask in both]),
        "numbers": encoded(ids),
        "pictures": [{"bytes": encoded(mask.astype(np.uint8) * 255), "path": None} for mask in both],
        "array": ids.astype(np.int32).tolist(),
    }
    images = [encoded(np.full((HEIGHT, WIDTH, 3), n, np.uint8)) for n in range(2)]
    pq.write_table(pa.table({"image": images, "outlines": [cells[kind]] * 2}), tmp_path / "a.parquet")
    found = samples(f"{tmp_path}?masks=outlines")
    assert len(found) == 2
    for sample in found:
        check(sample, *both)
        assert set(sample.names) == {"cup" if kind in ("run lengths", "annotations", "json") else ""}


def test_cells_without_usable_masks_are_skipped_and_the_rest_goes_on(tmp_path, caplog):
    image = encoded(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    cells = [[rle(LEFT)], None, [], [{"size": [HEIGHT, WIDTH], "counts": "~"}], [rle(RIGHT)]]
    type_ = pa.list_(pa.struct({"size": pa.list_(pa.int32()), "counts": pa.string()}))
    table = pa.table({"image": [image] * 5, "masks": pa.array(cells, type_)})
    pq.write_table(table, tmp_path / "a.parquet")
    first, second = samples(f"{tmp_path / 'a.parquet'}?masks=masks")
    check(first, LEFT)
    check(second, RIGHT)
    assert "has no masks" in caplog.text
    with pytest.raises(ValueError, match="no column 'other'"):
        samples(f"{tmp_path / 'a.parquet'}?masks=other")


def test_text_in_a_cell_is_never_the_name_of_a_file(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([rle(LEFT)]))
    image = encoded(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    pq.write_table(pa.table({"image": [image], "masks": [str(tmp_path / "a.json")]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="masks that cannot be read"):
        samples(f"{tmp_path / 'a.parquet'}?masks=masks")


def test_tars_as_segment_anything_has_them(tmp_path):
    with tarfile.open(tmp_path / "sa_0.tar", "w") as tar:
        for number, mask in enumerate((LEFT, RIGHT)):
            record = {"image": {"width": WIDTH, "height": HEIGHT}, "annotations": [{"segmentation": rle(mask)}]}
            for ending, data in (("jpg", jpeg(number)), ("json", json.dumps(record).encode())):
                info = tarfile.TarInfo(f"sa_{number}.{ending}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    first, second = samples(f"{tmp_path}?masks=json")
    check(first, LEFT)
    check(second, RIGHT)


def jpeg(number: int) -> bytes:
    return encoded(np.full((HEIGHT, WIDTH, 3), 50 * number, np.uint8), "JPEG")


def test_a_source_of_which_no_mask_can_be_given_is_told(tmp_path):
    photo(tmp_path / "a.jpg")
    coco(tmp_path, [{"image_id": 1, "segmentation": [box(LEFT)]}], {1: "a.jpg"})
    with pytest.raises(ValueError, match="min_area"):
        samples(f"{tmp_path}?masks=instances.json", choice=MaskChoice(min_area=0.5))


def test_masks_and_images_are_cropped_and_mirrored_alike(tmp_path):
    """Pictures are black but for their masks, which are white."""
    for number in range(6):
        inside = np.zeros((60, 80), dtype=bool)
        inside[10 + 5 * number : 40 + 3 * number, 5 : 25 + 8 * number] = True
        Image.fromarray(inside.astype(np.uint8) * 255).convert("RGB").save(tmp_path / f"{number}.png")
        Image.fromarray(inside).save(tmp_path / f"{number}_mask.png")
    plan = StreamPlan(
        parse_sources([f"{tmp_path}?masks=folder"]), labeled=False, size=28, repeat=True, shuffle_buffer=4,
        smallest_crop=0.5,
    )  # fmt: skip
    batches = iter(MaskLoader(plan, batch_size=4, multiple=14, choice=ALL))
    for _ in range(5):
        batch = next(batches)
        white = batch["image"].float().mean(1) / 255
        for mask, shown in zip(batch["masks"][:, 0], white, strict=True):
            assert (mask.float() - shown).abs().mean() < 0.05  # but for the edges, which are smooth in pictures
            assert mask.sum() == pytest.approx(float(shown.sum()), abs=30)


def test_pipes_among_masks_are_passed_over(tmp_path):
    """Opening one would wait for ever."""
    write_images(tmp_path, range(1))
    [photo] = tmp_path.iterdir()
    masks = tmp_path / f"{photo.stem}_masks"
    masks.mkdir()
    os.mkfifo(masks / "a.png")
    mask = np.zeros((24, 32), np.uint8)
    mask[10:20, 10:30] = 255
    Image.fromarray(mask).save(masks / "b.png")
    [sample] = samples(f"{tmp_path}?masks=folder")
    assert sample.masks.sum() == 200


def test_files_of_masks_have_their_ending_in_any_case(tmp_path):
    write_images(tmp_path, range(1))
    mask = np.zeros((24, 32), np.uint8)
    mask[10:20, 10:30] = 7
    Image.fromarray(mask).save(tmp_path / "0000_mask.PNG")
    [sample] = samples(f"{tmp_path}?masks=folder")
    assert sample.masks.sum() == 200
