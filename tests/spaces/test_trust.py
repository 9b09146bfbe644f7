"""What the page says of a model's training and accuracy, out of the model's own folder."""

import json

import pytest
import yaml


@pytest.fixture
def trust(space_on_path):
    import trust

    return trust


def write(folder, options=None, results=None, name="student"):
    folder.mkdir(exist_ok=True)
    if options is not None:
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(options))
    if results is not None:
        (folder / "results.json").write_text(json.dumps(results))
    return str(folder)


def test_a_model_without_metres(trust, tmp_path):
    options = {"labeled": ["data/nyu_train-*.parquet", "scenes:outdoor?count=160"], "unlabeled": ["photos/*.parquet"]}
    folder = write(tmp_path / "m", options, {"loss": 0.7, "nyu_val.parquet/delta1": 0.786})
    text = trust.trust_text("a/m", trust.read_model_record(folder, metric=False))
    assert text.endswith("Trained on nyu_train and rendered scenes; without labels on photos.")
    assert "79 % of pixels in nyu_val" in text


def test_data_are_called_what_the_card_calls_them(trust, tmp_path):
    results = {"loss": 0.7, "data/nyu_val.parquet/delta1": 0.89}
    options = {"labeled": ["data/nyu_train-*.parquet", "scenes:indoor?count=8"], "unlabeled": ["b/*.tar", "c/*.tar"]}
    folder = write(tmp_path / "m", options, results)
    (tmp_path / "m" / "README.md").write_text("""# m
`b/*.tar`: not in a table
| validation | AbsRel |
|---|--:|
| `nyu_val.parquet`: 80 held-out frames of rooms | 0.1 |

| used as | source | licence |
|---|---|---|
| labeled images | `data/nyu_train-*.parquet`: 651 frames of rooms; 8 bits | research |
| images without labels | `b/*.tar` | mixed |
| images without labels | `c/*.tar`: 9 photos | mixed |
""")
    text = trust.trust_text("m", trust.read_model_record(folder, metric=False))
    assert "89 % of pixels in 80 held-out frames of rooms." in text
    assert text.endswith("Trained on 651 frames of rooms and rendered scenes; without labels on b and 9 photos.")
    heads = tmp_path / "m" / "metres"
    write(heads, {"train": ["indoor=data/nyu_train-*.parquet", "outdoor=scenes:outdoor"]}, {}, "metric")
    (heads / "heads.safetensors").touch()
    assert trust.read_model_record(str(heads), metric=True).sources == ("on 651 frames of rooms and rendered scenes",)


def test_no_shipped_model_names_a_file(trust):
    from semidepth.prediction.shipped.folder import shipped_names

    for name, metric in zip(shipped_names(), (False, True), strict=True):
        text = trust.trust_text(name, trust.read_model_record(name, metric=metric))
        assert "Trained on 651 labeled frames of NYU Depth v2 (rooms)" in text
        assert not any(part in text for part in ("_", "*", ".parquet"))


def test_a_model_with_metres(trust, tmp_path):
    results = {"indoor/abs_rel": 0.12, "outdoor/abs_rel": 0.3, "indoor/delta1": 0.9}
    record = trust.read_model_record(write(tmp_path / "m", {"labeled": ["a.tar"]}, results, "metric"), metric=True)
    assert (record.errors, record.near_enough) == ({"indoor": 0.12, "outdoor": 0.3}, {})
    assert "about ± 12 % (indoor), ± 30 % (outdoor)" in trust.trust_text("m", record)
    assert trust.error_of(record, "outdoor") == 0.3
    assert trust.error_of(record, "") is None  # of which of them is not known
    assert trust.error_of(trust.ModelRecord(errors={"indoor": 0.2}), "") == 0.2


def test_nothing_recorded_is_said(trust, tmp_path):
    record = trust.read_model_record(write(tmp_path / "m"), metric=True)
    assert "not recorded" in trust.trust_text("m", record)
    assert trust.read_model_record("somebody/on_the_hub", metric=True) == trust.ModelRecord()


@pytest.mark.parametrize("damaged", ["results.json", "student.yaml"])
def test_a_damaged_record_is_an_error(trust, tmp_path, damaged):
    (tmp_path / damaged).write_text("[1, {")
    with pytest.raises(ValueError, match=r"the record in .* is damaged"):
        trust.read_model_record(str(tmp_path), metric=False)


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [(2.434, 0.12, "2.4 m"), (2.434, 0.3, "2.5 m"), (17.9, 0.3, "20 m"), (63, 0.05, "64 m"), (0.314, 0.1, "0.32 m"),
     (2.434, 0.001, "2.43 m"), (2.434, None, "2.43 m"), (0.0, 0.1, "0.00 m")],
)  # fmt: skip
def test_metres_have_as_many_digits_as_are_true(trust, value, error, shown):
    assert trust.rounded(value, error) == shown


@pytest.mark.parametrize(
    ("source", "name"),
    [("data/nyu_train-*.parquet", "nyu_train"), ("photos/*.parquet", "photos"), ("scenes:indoor?count=80",
     "rendered scenes"), ("nyu_val.parquet", "nyu_val"), ("somebody/photos", "photos"), ("a/b-{000..9}.tar", "b")],
)  # fmt: skip
def test_names_of_sources(trust, source, name):
    assert trust.short_name(source) == name


@pytest.fixture
def about(space_on_path):
    from page import about

    return about


def test_the_card_of_a_model_is_its_folder_s_or_on_the_hub(about, tmp_path):
    from predictor import ModelCard

    folder = tmp_path / "m"
    folder.mkdir()
    card = ModelCard("runs/m", True, place=str(folder))
    assert "runs/m has no card" in about.card_text(card)
    assert str(tmp_path) not in about.card_text(card)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n\n# A model\n\n---\nof somebody\n")
    assert about.card_text(card).strip() == "# A model\n\n---\nof somebody"
    (folder / "metres").mkdir()
    (folder / "metres" / "heads.safetensors").touch()
    heads = about.card_text(ModelCard("runs/m-metric", True, place=str(folder / "metres")))
    assert heads == about.card_text(card)  # of the model that they are on
    hub = about.card_text(ModelCard("org/name", True, place="org/name"))
    assert "https://huggingface.co/org/name" in hub


def test_the_project_s_address_is_the_package_s_else_the_space_s(about, monkeypatch):
    from email.message import Message
    from importlib import metadata

    named = Message()
    monkeypatch.setattr(metadata, "metadata", lambda name: named)
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert about.repository() == ""
    assert "<b>semidepth</b>" in about.foot_html("")
    monkeypatch.setenv("SPACE_ID", "org/depth")
    assert about.repository() == "https://huggingface.co/spaces/org/depth/tree/main"
    named["Project-URL"] = "Issues, https://example.org/i"
    named["Project-URL"] = "Repository, https://example.org/r"
    assert about.repository() == "https://example.org/r"
    assert 'href="https://example.org/r"' in about.foot_html(about.repository())
    assert about.foot_html("").count("https://arxiv.org/abs/") == 4


def test_without_an_address_the_page_hands_out_its_own_source(about, page, tmp_path, monkeypatch):
    import zipfile

    assert '"Source code"' in json.dumps(page.get_config_file(), default=str)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with zipfile.ZipFile(about.source_zip()) as packed:
        assert "def source_zip" in packed.read("spaces/depth_demo/page/about.py").decode()
        assert "def find_model" in packed.read("semidepth/prediction/shipped/folder.py").decode()
        assert sum(entry.compress_size for entry in packed.infolist()) < 5_000_000
        assert not any(name.endswith((".safetensors", ".pyc")) for name in packed.namelist())


def test_the_page_has_card_papers_and_sources_at_its_foot(page):
    told = json.dumps(page.get_config_file(), default=str)
    assert "2406.09414" in told
    assert "vultilion" in told  # one of those whose photos are shown
    assert "https://huggingface.co/somebody/routed" in told
