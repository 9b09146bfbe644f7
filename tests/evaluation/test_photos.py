"""Photos and their depth in one picture."""

import numpy as np
import pytest
from PIL import Image
from shipped_model import save_runs, ship, take

from semidepth.evaluation.photos import EXAMPLES, draw_photos


@pytest.mark.parametrize("heads", [True, False])
def test_photos_and_their_depth_by_the_model_that_comes_with_semidepth(tmp_path, monkeypatch, heads):
    student, metric = save_runs(tmp_path)
    take(monkeypatch, ship(student, tmp_path / "semidepth-small", *(["--heads", str(metric)] if heads else [])))
    photos = sorted(EXAMPLES.glob("*.jpg"))
    told = draw_photos(photos, tmp_path / "photos.png", "cpu")
    assert f"depth of {len(photos)} photos by semidepth-small," in told
    picture = np.asarray(Image.open(tmp_path / "photos.png"))
    assert picture.shape[1] > 6 * 300
    cells = (picture[30:230, 6:306], picture[30:230, 312:612])  # the first photo below its title, and its depth
    photo, depth = (np.abs(cell.mean((0, 1)) - np.asarray(Image.open(photos[0])).mean((0, 1))).max() for cell in cells)
    assert photo < 10 < depth
    (tmp_path / "semidepth-small" / "weights.json").unlink()
    assert "no model comes with this installation" in draw_photos(photos, tmp_path / "none.png", "cpu")
    assert not (tmp_path / "none.png").exists()
