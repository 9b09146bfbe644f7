"""The report of a source: facts, findings and pictures, on rendered scenes stored in files, right and wrong."""

import json
import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sample_files import encoded, npy, write_images, write_tar

from semidepth.cli import main
from semidepth.data.scenes.render import render_scenes
from semidepth.data.source_spec import parse_source
from semidepth.evaluation.source_report import report as reports
from semidepth.evaluation.source_report.report import report_on, tell_sources

HEIGHT, WIDTH = 120, 160


@pytest.fixture(scope="module")
def rooms():
    """Eight rooms: (120, 160, 3) uint8 and (120, 160) metres."""
    batch = render_scenes("indoor", range(8), seed=3, style="studio", height=HEIGHT, width=WIDTH)
    return list(zip(batch.image.permute(0, 2, 3, 1).numpy(), batch.depth.numpy(), strict=True))


def store(folder, pairs):
    """Writes JPEGs with `.npy` labels beside them, and returns the folder."""
    folder.mkdir(exist_ok=True, parents=True)
    for number, (image, label) in enumerate(pairs):
        (folder / f"{number}.jpg").write_bytes(encoded(image, "JPEG", quality=92))
        (folder / f"{number}_depth.npy").write_bytes(npy(np.ascontiguousarray(label)))
    return folder


def report(spec, labeled=True):
    return report_on(parse_source(str(spec)), labeled=labeled)


def names(spec, labeled=True):
    return [finding.name for finding in report(spec, labeled).findings]


# Facts


def test_facts_of_a_folder(tmp_path, rooms):
    pairs = [(image, np.where(np.arange(WIDTH) < 16, np.nan, depth)) for image, depth in rooms]
    store(tmp_path, pairs)
    (tmp_path / "notes.txt").write_text("")
    far = float(np.median([np.nanmedian(depth[depth <= 4]) for _, depth in pairs]))
    found = report(f"{tmp_path}?max_depth_m=4")
    assert (found.samples, found.shards, found.looked_at, found.findings) == (8, 8, 8, ())
    assert found.shares.unknown == pytest.approx(0.1)
    assert found.shares.beyond_range == pytest.approx(np.mean([depth > 4 for _, depth in pairs]), abs=1e-6)
    assert found.range_m[1] <= 4
    assert found.range_m[2] == pytest.approx(far)
    assert found.pairs[0] == ("0.jpg", "0_depth.npy")
    assert (found.label.dtype, found.label.height, found.label.width) == ("float32", HEIGHT, WIDTH)
    text = "\n".join(found.lines())
    for words in ("8 samples in 8 shards", "1 with the ending .txt (notes.txt)", "paired by name", "depth in metres"):
        assert words in text


def test_facts_of_tables_and_tars(tmp_path, rooms):
    stored = [(encoded(image), encoded(np.rint(depth * 1000).astype(np.uint16))) for image, depth in rooms]
    pq.write_table(
        pa.table({"image": [a for a, _ in stored], "depth": [b for _, b in stored], "depth_scale": [0.001] * 8}),
        tmp_path / "a.parquet",
    )
    table = report(tmp_path)
    assert table.pairing == "by column: image image, depth depth"
    assert table.unit == "depth in units of 0.001 metres"
    members = {
        f"{n}.{end}": each
        for n, pair in enumerate(stored)
        for end, each in zip(("png", "depth.png"), pair, strict=True)
    }
    write_tar(tmp_path / "tars" / "a.tar", members)
    tar = report(f"{tmp_path / 'tars'}?depth_scale=0.001")
    assert (tar.samples, tar.shards, tar.looked_at) == (None, 1, 8)
    assert tar.pairing == "by member: image png, depth depth.png"
    assert tar.range_m == pytest.approx(table.range_m)
    assert table.findings == tar.findings == ()


def test_scenes_and_photos_without_labels(tmp_path):
    scenes = report("scenes:outdoor")
    assert (scenes.samples, scenes.shards, scenes.findings) == (None, None, ())
    assert scenes.shares.sky > 0
    photos = report(write_images(tmp_path, range(3)), labeled=False)
    assert (photos.samples, photos.label, photos.shares, photos.findings) == (3, None, None, ())


# Findings


def turned(turn):
    return lambda pairs: [(image, turn(depth)) for image, depth in pairs]


def with_values(change):
    def changed(pairs):
        return [(image, change(depth, np.random.default_rng(number))) for number, (image, depth) in enumerate(pairs)]

    return changed


FAULTS = {
    "millimetres": (turned(lambda depth: depth * 1000), "unit"),
    "a share of the largest depth": (turned(lambda depth: depth / depth.max()), "unit"),
    "the scale applied twice": (turned(lambda depth: depth / 1000), "unit"),
    "inverse depth": (turned(lambda depth: 1 / depth), "direction"),
    "from the farthest": (turned(lambda depth: 8 - depth), "direction"),
    "mirrored": (turned(lambda depth: depth[:, ::-1]), "edges"),
    "upside down": (turned(lambda depth: depth[::-1]), "edges"),
    "turned": (turned(lambda depth: depth[::-1, ::-1]), "edges"),
    "moved": (turned(lambda depth: np.roll(depth, 12, 1)), "edges"),
    "another's": (lambda pairs: [(pairs[n][0], pairs[n - 1][1]) for n in range(8)], "edges"),
    "constant": (turned(lambda depth: np.full_like(depth, 2)), "constant labels"),
    "equal": (lambda pairs: [(image, pairs[0][1]) for image, _ in pairs], "equal labels"),
    "a far cap": (turned(lambda depth: depth.clip(max=3)), "far end"),
    "holes as sky": (
        with_values(lambda depth, rng: np.where(np.arange(HEIGHT)[:, None] > 100, np.inf, depth)), "sky indoors",
    ),
    "flipped bits": (with_values(lambda depth, _: np.where(depth == depth.max(), 1e30, depth)), "no sane depth"),
    "negative": (with_values(lambda depth, rng: np.where(rng.random(depth.shape) < 0.1, -1, depth)), "no sane depth"),
    "noise": (with_values(lambda depth, rng: rng.uniform(0.01, 60, depth.shape)), "no sane depth"),
    "classes": (turned(np.rint), "coarse labels"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(tmp_path, rooms, fault):
    change, name = FAULTS[fault]
    changed = [(image, depth.astype(np.float32)) for image, depth in change(rooms)]
    assert name in names(store(tmp_path, changed))


def test_exchanged_bytes_are_named(tmp_path, rooms):
    for folder in ("right", "wrong"):
        (tmp_path / folder).mkdir()
        for number, (image, depth) in enumerate(rooms):
            stored = np.rint(depth * 1000).astype(np.uint16)
            stored = stored.byteswap() if folder == "wrong" else stored
            (tmp_path / folder / f"{number}.jpg").write_bytes(encoded(image, "JPEG"))
            (tmp_path / folder / f"{number}_depth.png").write_bytes(encoded(stored))
    assert names(f"{tmp_path / 'right'}?depth_scale=0.001") == []
    sentences = [finding.sentence for finding in report(f"{tmp_path / 'wrong'}?depth_scale=0.001").findings]
    assert any("two bytes" in sentence for sentence in sentences)
    right = report(f"{tmp_path / 'right'}?depth_scale=0.001").label
    assert right is not None
    assert not right.swapped


def test_the_advice_names_the_unit_and_the_option(tmp_path, rooms):
    (finding,) = report(store(tmp_path, [(image, depth * 1000) for image, depth in rooms])).findings
    assert "millimetres" in finding.sentence
    assert "depth_scale=0.001" in finding.sentence


@pytest.mark.parametrize("right", [True, False])
def test_labels_of_turned_photos_are_looked_at_apart(tmp_path, rooms, right):
    for number, (image, depth) in enumerate(rooms):
        exif = Image.Exif()
        exif[0x0112] = 3 if number % 2 else 1
        turns = 2 * (number % 2)
        Image.fromarray(np.rot90(image, turns)).save(tmp_path / f"{number}.jpg", exif=exif)
        label = np.ascontiguousarray(np.rot90(depth, turns))
        (tmp_path / f"{number}_depth.npy").write_bytes(npy(label))
    found = report(f"{tmp_path}?label_frame={'stored' if right else 'upright'}")
    assert found.turned == {3: 4}
    assert [finding.name for finding in found.findings] == ([] if right else ["edges"])
    if not right:
        assert "label_frame=stored" in found.findings[0].sentence


def test_files_that_may_belong_to_the_set_are_a_finding_and_notes_are_none(tmp_path, rooms):
    for folder in (tmp_path / "clean", tmp_path / "more"):
        store(folder, rooms)
        (folder / "README.md").write_text("")
        (folder / ".hidden.jpg").write_bytes(b"")
    (tmp_path / "more" / "9.jpg").write_bytes((tmp_path / "more" / "0.jpg").read_bytes())
    (tmp_path / "more" / "9.npy").write_bytes(b"")
    assert names(tmp_path / "clean") == []
    (finding,) = report(tmp_path / "more").findings
    assert finding.name == "files left out"
    assert "9.jpg" in finding.sentence
    assert "9.npy" in finding.sentence


def test_broken_samples_are_counted(tmp_path, rooms):
    store(tmp_path, rooms)
    (tmp_path / "3.jpg").write_bytes(b"no picture")
    (finding,) = report(tmp_path).findings
    assert finding.name == "broken samples"
    assert "1 of 8 samples" in finding.sentence


# Parts


def store_parts(folder, rooms, form, change):
    """Four files or folders of eight rooms; the third one is changed."""
    for part in "abcd":
        pairs = [(image, np.float32(depth)) for image, depth in (change(rooms) if part == "c" else rooms)]
        if form == "folders":
            store(folder / part, pairs)
            continue
        files = [(encoded(image, "JPEG", quality=92), npy(np.ascontiguousarray(depth))) for image, depth in pairs]
        if form == "parquet":
            table = pa.table({"image": [image for image, _ in files], "depth": [label for _, label in files]})
            pq.write_table(table, folder / f"{part}.parquet")
        else:
            members = {
                f"{n}.{end}": each
                for n, pair in enumerate(files)
                for end, each in zip(("jpg", "depth.npy"), pair, strict=True)
            }
            write_tar(folder / f"{part}.tar", members)
    return folder


@pytest.mark.parametrize("form", ["folders", "parquet", "tar"])
@pytest.mark.parametrize("fault", ["millimetres", "mirrored", "constant", "negative"])
def test_the_one_part_that_is_wrong_is_named(tmp_path, rooms, form, fault):
    change, name = FAULTS[fault]
    part = "c" if form == "folders" else f"c.{form}"
    found = report(store_parts(tmp_path, rooms, form, change)).findings
    assert [(finding.name, finding.part) for finding in found] == [(name, part)]
    assert found[0].sentence.startswith(f"in {part}: ")


def test_what_is_wrong_in_all_parts_is_told_of_the_source(tmp_path, rooms):
    wrong = turned(lambda depth: depth * 1000)(rooms)
    found = report(store_parts(tmp_path / "all", wrong, "folders", lambda pairs: pairs)).findings
    assert [(finding.name, finding.part) for finding in found] == [("unit", "")]
    assert report(store_parts(tmp_path / "none", rooms, "folders", lambda pairs: pairs)).findings == ()


def test_of_a_small_folder_beside_a_large_one_as_many_samples_are_looked_at(tmp_path, rooms):
    for number in range(8):
        store(tmp_path / f"large/{number}", rooms)
    store(tmp_path / "small", [(image, depth / 1000) for image, depth in rooms])
    (finding,) = report(tmp_path).findings
    assert (finding.name, finding.part) == ("unit", "small")


def test_another_fault_of_the_same_kind_elsewhere_is_still_told(tmp_path, rooms):
    negative, flipped = FAULTS["negative"][0](rooms), FAULTS["flipped bits"][0](rooms)
    for part, pairs in (("a", rooms), ("b", negative), ("c", flipped[:2])):
        store(tmp_path / part, [(image, np.float32(depth)) for image, depth in pairs])
    found = report(tmp_path).findings
    assert [(finding.name, finding.part) for finding in found] == [("no sane depth", ""), ("no sane depth", "b")]
    assert "2 of 10 labels" in found[0].sentence


# The command, and the start of a run


def test_the_command_prints_lines_warnings_and_pictures(tmp_path, rooms, capsys):
    folder = store(tmp_path / "set", [(image, depth[:, ::-1]) for image, depth in rooms])
    assert main(["data", str(folder), "--pictures", str(tmp_path / "seen")]) == 0
    printed = capsys.readouterr().out
    assert "paired by name: 0.jpg + 0_depth.npy" in printed
    assert "warning, edges: " in printed
    (picture,) = (tmp_path / "seen").iterdir()
    with Image.open(picture) as opened:
        assert opened.width > 3 * WIDTH
        assert opened.height > 3 * HEIGHT


def test_the_command_prints_json_and_reads_photos_without_labels(tmp_path, rooms, capsys):
    store(tmp_path / "set", rooms)
    write_images(tmp_path / "photos", range(2))
    assert main(["data", str(tmp_path / "set"), str(tmp_path / "photos"), "--json"]) == 0
    labeled, photos = json.loads(capsys.readouterr().out)
    assert labeled["edges"]["better"] is None
    assert labeled["edges"]["fit"] > labeled["edges"]["by_chance"] + 0.1
    assert labeled["range_m"]["median"] == pytest.approx(np.median([np.median(depth) for _, depth in rooms]), rel=1e-5)
    assert (photos["labeled"], photos["samples"]) == (False, 2)
    assert main(["data", str(tmp_path / "photos"), "--labels", "yes"]) == 2


def test_labels_that_cannot_be_read_are_a_finding(tmp_path, rooms, capsys):
    """Integers without a scale: the set is not told to be one of photos without labels and without faults."""
    write_images(tmp_path / "set", range(2))
    for number, path in enumerate(sorted((tmp_path / "set").iterdir())):
        Image.fromarray(np.full((48, 64), 1000 + number, np.uint16)).save(path.with_name(f"{path.stem}_depth.png"))
    assert main(["data", str(tmp_path / "set"), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert not told["labeled"]
    assert told["findings"][0]["name"] == "labels"
    assert "depth_scale" in told["findings"][0]["sentence"]


def test_a_run_tells_facts_and_warns_of_findings_once(tmp_path, rooms, caplog, monkeypatch):
    caplog.set_level(logging.INFO, logger="semidepth")
    reports._tell_once.cache_clear()  # another test of this process may have told of these scenes
    sources = [parse_source(str(store(tmp_path, [(image, depth * 1000) for image, depth in rooms])))]
    monkeypatch.setenv("RANK", "1")
    tell_sources(sources, labeled=True)
    assert not caplog.records
    monkeypatch.setenv("RANK", "0")
    tell_sources([*sources, parse_source("scenes:indoor?count=4")], labeled=True)
    tell_sources(sources, labeled=True)
    own = [record for record in caplog.records if record.name == reports.__name__]
    assert [record.levelname for record in own if "unit:" in record.getMessage()] == ["WARNING"]
    assert sum("paired by name" in record.getMessage() for record in own) == 1
    assert own[-1].getMessage() == "source scenes:indoor?count=4: 4 rendered scenes"


def test_labels_of_a_set_that_is_used_without_them_and_other_splits_are_no_finding(tmp_path, rooms):
    store(tmp_path / "train", rooms)
    store(tmp_path / "test", rooms)
    found = report(f"{tmp_path}?split=train", labeled=False)
    assert found.samples == 8
    assert "16 not of split 'train'" in found.left_out
    assert "8 that look like depth" in found.left_out
    assert found.findings == report(f"{tmp_path}?split=train").findings == ()
