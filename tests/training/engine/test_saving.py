"""The best weights of a run: kept over its parts, and never those of steps that are done anew."""

import json
import math

import pytest

from semidepth.training.engine.saving import BestWeights, copy_model

FILES = ("config.json", "model.safetensors")


def write(text):
    def save(folder):
        for name in FILES:
            (folder / name).write_text(text)

    return save


def best_of(folder, resumed=0, rank=lambda scores: scores.get("error", math.nan)):
    return BestWeights(folder, rank, resumed=resumed, writes=True)


def test_the_lowest_is_kept_and_becomes_the_result(tmp_path):
    best = best_of(tmp_path)
    for step, error in ((1, 0.5), (2, 0.2), (3, 0.3)):
        write(f"step {step}")(tmp_path)
        best.offer(step, {"error": error}, write(f"step {step}"))
    assert best.finish({"error": 0.3}, 3) == {"error": 0.2, "kept_step": 2}
    assert all((tmp_path / name).read_text() == "step 2" for name in FILES)
    assert not (tmp_path / "best.json").exists()


def test_a_tie_keeps_the_earlier_and_nan_says_nothing(tmp_path):
    best = best_of(tmp_path)
    best.offer(1, {"error": math.nan}, write("nan"))
    assert best.finish({}, 1) == {}
    best.offer(2, {"error": 0.5}, write("2"))
    best.offer(3, {"error": 0.5}, write("3"))
    assert best.step == 2


def test_a_resumed_run_goes_on_with_the_record_unless_it_is_of_a_later_step(tmp_path):
    best_of(tmp_path).offer(5, {"error": 0.1}, write("5"))
    again = best_of(tmp_path, resumed=6)
    again.offer(7, {"error": 0.2}, write("7"))
    assert again.finish({"error": 0.2}, 7) == {"error": 0.1, "kept_step": 5}
    assert (tmp_path / "config.json").read_text() == "5"
    anew = best_of(tmp_path, resumed=4)
    assert anew.step is None
    anew.offer(5, {"error": 0.3}, write("other 5"))
    record = json.loads((tmp_path / "best/best.json").read_text())
    assert (record["step"], record["scores"]) == (5, {"error": 0.3})


@pytest.mark.parametrize("damage", ["weights", "record", "record of zeros", "no damage"])
def test_damaged_best_weights_are_told_and_not_used(tmp_path, caplog, damage):
    """Of the right size: what a power cut or a flipped bit leaves."""
    best_of(tmp_path).offer(1, {"error": 0.1}, write("1"))
    if damage == "weights":
        (tmp_path / "best/model.safetensors").write_text("\0")
    elif damage != "no damage":
        (tmp_path / "best/best.json").write_text('{"step": 1' if damage == "record" else "\0" * 40)
    again = best_of(tmp_path, resumed=2)
    assert again.step == (1 if damage == "no damage" else None)
    assert ("damaged" in caplog.text) == (damage != "no damage")
    again.offer(3, {"error": 0.2}, write("3"))
    kept = "1" if damage == "no damage" else "3"
    assert (tmp_path / "best/model.safetensors").read_text() == kept
    assert best_of(tmp_path, resumed=3).step == int(kept)


def test_a_record_never_speaks_of_other_weights(tmp_path):
    best = best_of(tmp_path)
    best.offer(1, {"error": 0.5}, write("1"))

    def killed(folder):
        (folder / "config.json").write_text("2")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        best.offer(2, {"error": 0.4}, killed)
    assert best_of(tmp_path, resumed=1).step is None


def test_without_a_rank_the_last_weights_stay(tmp_path):
    best = best_of(tmp_path, rank=None)
    best.offer(1, {"error": 0.5}, write("1"))
    assert best.finish({"error": 0.5}, 1) == {}
    assert not list(tmp_path.iterdir())


def test_a_copy_replaces_a_model_whole(tmp_path):
    source, folder = tmp_path / "a", tmp_path / "b"
    for place, text in ((source, "new"), (folder, "old")):
        place.mkdir()
        write(text)(place)
    (source / "best.json").write_text("{}")
    copy_model(source, folder, leave=("best.json",))
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(FILES, "new")
