"""What a browser keeps and what the page's address carries, without a browser: there, back, and where it is wrong."""

import threading
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image
from serving import photo

OTHER = "somebody/stock"


@pytest.fixture
def photos(tmp_path):
    """Two photos of the page."""
    return [photo(tmp_path / f"{name}.png", seed=seed) for seed, name in enumerate(("bear", "cat"))]


@pytest.fixture
def upload(tmp_path, monkeypatch):
    """A visitor's photo, where gradio keeps it."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    folder = tmp_path / "gradio" / ("a" * 64)
    folder.mkdir(parents=True)
    return str(photo(folder / "mine.png", seed=7))


@pytest.fixture
def opening(work, photos, events, monkeypatch):
    """Opens the page with what is kept and an address; returns the updates, and what the visitor is told."""
    from page.photo.opening import OpeningAsked, OpeningEvents

    handlers = OpeningEvents(work, photos, events.shown)

    def opened(kept, **address):
        told = []
        monkeypatch.setattr(gr, "Warning", told.append)
        return handlers.opened(OpeningAsked(kept), address), told

    return opened


@pytest.fixture
def kept_of(work, events, photos):
    """What a browser keeps of a tab with these values."""
    from page.photo.keeping import KeepingAsked, keep

    def kept(asked, view="depth", ready=True, compared=tuple(work.models.names), also=()):
        shown = KeepingAsked(**vars(asked), view=view, compared=list(compared), also=list(also), ready=ready)
        return keep(photos, work.models, shown)

    return kept


@pytest.fixture
def of_upload(asked, events, upload):
    """The tab with a visitor's photo, its range, points and settings set by hand."""
    shown = replace(asked, picture=upload, points=[(3, 4), (50, 60)], fov="75", share=40.0, color_map="turbo")
    shown = replace(shown, domain="outdoor", before=events.fresh(replace(shown, domain="outdoor"))["before"])
    return replace(shown, legend=(20.0, 30.0))


def test_a_reload_shows_the_same_again(opening, kept_of, of_upload, upload):
    kept = kept_of(of_upload, "measure")["kept"]
    updates, told = opening(kept)
    assert told == []
    assert (updates["picture"], updates["model"], updates["domain"]) == (upload, of_upload.model, "outdoor")
    assert (updates["legend"]["near"], updates["legend"]["far"]) == (20.0, 30.0)
    assert updates["views"] == gr.update(selected="measure")
    assert (updates["points"], updates["fov"]["value"]) == ([(3, 4), (50, 60)], "75")
    assert (updates["color_map"], updates["share"], updates["ready"]) == ("turbo", 40.0, True)
    assert "75°, given" in updates["told"]
    # The picture's own event finds this very result on the page, and does nothing.
    from page.photo.image_events import is_shown

    shown = replace(of_upload, before=updates["before"], order=0)
    assert is_shown("picture", shown)
    assert is_shown("model", shown)


def test_nothing_is_kept_before_the_page_was_set_to_what_had_been_kept(opening, kept_of, of_upload):
    assert kept_of(of_upload, ready=False) == {}
    assert opening({}) == opening(None) == ({"ready": True}, [])


def test_a_range_that_nobody_set_is_that_of_the_photo(opening, kept_of, of_upload):
    own = of_upload.before.ends
    kept = kept_of(replace(of_upload, legend=own))["kept"]
    assert kept["ends"] is None
    assert not {"near", "far"} & set(kept["link"])
    assert opening(kept)[0]["legend"]["near"] == own[0]


def test_the_address_has_what_differs_from_the_start_and_shows_it_elsewhere(opening, kept_of, asked, events, photos):
    at_start = replace(asked, picture=str(photos[0]))
    at_start = replace(at_start, before=events.fresh(at_start)["before"])
    at_start = replace(at_start, legend=at_start.before.ends)
    assert kept_of(at_start)["kept"]["link"] == {}
    second = replace(at_start, picture=str(photos[1]))
    assert kept_of(second)["kept"]["link"] == {"photo": "cat"}
    set_by_hand = replace(at_start, legend=(2.0, 3.0), color_map="gray")
    link = kept_of(set_by_hand, "scene")["kept"]["link"]
    assert link == {"view": "scene", "colors": "gray", "near": 2.0, "far": 3.0, "photo": "bear"}
    updates, told = opening({}, **{name: str(value) for name, value in link.items()})
    assert told == []
    assert (updates["legend"]["near"], updates["legend"]["far"]) == (2.0, 3.0)
    assert updates["views"] == gr.update(selected="scene")
    relative = kept_of(replace(at_start, model=OTHER))["kept"]["link"]
    assert relative == {"model": OTHER, "photo": "bear"}
    assert opening({}, **relative)[0]["model"] == OTHER


def test_an_address_goes_before_what_was_kept_and_leaves_the_rest(opening, kept_of, of_upload, photos, upload):
    kept = kept_of(of_upload, "measure")["kept"]
    updates, _ = opening(kept, view="compare", far="25", utm="x")
    assert updates["picture"] == upload
    assert updates["views"] == gr.update(selected="compare")
    assert updates["legend"]["far"] == 25.0
    updates, told = opening(kept, photo="cat")  # nothing of the other photo stays
    assert told == []
    assert updates["picture"] == str(photos[1])
    assert (updates["points"], updates["domain"], updates["fov"]["value"]) == ([], "router", "")
    assert updates["legend"]["near"] == updates["before"].ends[0]


def test_what_is_compared_is_kept_and_linked(opening, kept_of, asked, work, photos):
    asked = replace(asked, picture=str(photos[0]))
    kept = kept_of(asked, "compare", compared=["the photo", OTHER], also=["gray", "turbo"])["kept"]
    assert (kept["link"]["compare"], kept["link"]["also"]) == (f"photo,{OTHER}", "gray,turbo")
    for updates, told in (opening(kept), opening({}, **kept["link"]), opening(kept, view="depth")):
        assert told == []
        assert (updates["compared"], updates["also"]) == (["the photo", OTHER], ["gray", "turbo"])
    nothing = kept_of(asked, compared=[])["kept"]
    assert opening(nothing)[0]["compared"] == []
    at_start = kept_of(asked)["kept"]
    assert not {"compare", "also"} & set(at_start["link"])
    assert "compared" not in opening({}, view="compare")[0]  # what the view starts with
    gone = opening(kept | {"compared": ["the photo", "nobody/nothing"]})[0]
    assert "compared" not in gone
    assert gone["also"] == ["gray", "turbo"]


@pytest.mark.parametrize(
    ("address", "cause"),
    [({"model": "nobody/nothing"}, "nobody/nothing"), ({"view": "upside"}, "upside"), ({"photo": "../etc"}, "../etc"),
     ({"near": "three"}, "near end"), ({"near": "3", "far": "2"}, "from 3 to 2"), ({"far": "inf"}, "far end"),
     ({"colors": "<b>"}, "&lt;b&gt;"), ({"compare": "photo,nobody/x"}, "nobody/x"), ({"also": "pink"}, "pink")],
)  # fmt: skip
def test_a_wrong_address_is_told_and_the_rest_holds(opening, address, cause):
    updates, told = opening({}, **address, **({} if "view" in address else {"view": "measure"}))
    assert len(told) == 1
    assert cause in told[0]
    assert updates["ready"]
    assert updates.get("views") == (None if "view" in address else gr.update(selected="measure"))


def test_a_browser_gets_no_other_file_of_the_server(opening, kept_of, of_upload, upload, tmp_path, photos):
    kept = kept_of(of_upload)["kept"]
    results = tmp_path / "gradio" / "results" / "x"
    results.mkdir(parents=True)
    for path in (
        "/etc/hostname",
        str(photo(tmp_path / "secret.png")),
        str(photo(results / "of_others.png")),
        str(Path(upload).parent / ".." / ".." / "secret.png"),
        str(Path(upload).parent),
        "",
        7,
        ["x"],
    ):
        updates, told = opening(kept | {"picture": path})
        assert updates["picture"] == str(photos[0])
        assert [text for text in told if "gone" in text] == told
        assert len(told) == bool(path)  # a photo that was kept and cannot be shown is told
        assert updates["points"] == []  # they were the other photo's
    Path(upload).unlink()  # it was kept for a day
    assert opening(kept)[0]["picture"] == str(photos[0])


@pytest.mark.parametrize(
    "wrong",
    [{"model": "nobody/nothing"}, {"model": 3}, {"view": []}, {"points": [[1]]}, {"ends": {"near": "x"}},
     {"share": 1e9}, {"fov": "wide"}, {"color_map": "none"}, {"domain": "ceiling"},
     {"compared": 3}, {"also": [[]]}],
)  # fmt: skip
def test_what_does_not_hold_any_longer_is_left_out(opening, kept_of, of_upload, upload, wrong):
    updates, told = opening(kept_of(of_upload)["kept"] | wrong)
    assert told == []
    assert updates["picture"] == upload
    assert "depth" in updates


def test_answers_of_the_page_s_photos_are_computed_before_and_kept(work, monkeypatch, tmp_path, caplog):
    """Also where visitors' photos push others out, and around a photo that is damaged."""
    import server
    import work as space_work

    monkeypatch.setattr(space_work, "KEPT_PIXELS", 1)
    damaged = tmp_path / "damaged.jpg"
    damaged.write_text("no picture")
    photos = [*server.example_pictures()[:2], damaged, *server.example_pictures()[2:]]
    server.keep_answers(work, photos, threading.Event()).join()
    assert "damaged.jpg" in caplog.text
    for seed in range(2):
        work.see(str(photo(tmp_path / f"{seed}.png", seed=seed)), None)
    calls, predict = [], work.models.predict
    monkeypatch.setattr(work.models, "predict", lambda *given: calls.append(given) or predict(*given))
    for path in server.example_pictures():
        assert work.see(str(path), None).prediction.values.shape == Image.open(path).size[::-1]
    assert calls == []
    stopped = threading.Event()
    stopped.set()
    server.keep_answers(work, [photo(tmp_path / "late.png", seed=9)], stopped).join()
    assert calls == []
