"""Materials of the built-in scenes."""

import colorsys

import numpy as np

from semidepth.data.scenes.draws import Draws, uniform_table
from semidepth.data.scenes.materials import MATERIAL, draw_materials, hsv_to_linear
from semidepth.data.scenes.rooms import layout_rooms
from semidepth.data.scenes.streets import layout_streets

PALETTE = np.tile([0.0, 0.3, 0.6], (64, 1))


def drawn(domain: int, mode: int) -> dict[str, np.ndarray]:
    table = uniform_table(2, domain, range(64), 1400)
    layout = (layout_rooms, layout_streets)[domain](Draws(table[:, :320]))
    material = draw_materials(Draws(table[:, 320:]), layout, np.full(64, mode), PALETTE)
    assert material.shape == (64, len(MATERIAL), len(layout.slots.roles) + 1)
    return dict(zip(MATERIAL, material.transpose(1, 0, 2), strict=True))


def test_hsv_against_the_standard_library():
    values = np.random.default_rng(0).uniform(0, 1, (50, 3))
    expected = [np.square(colorsys.hsv_to_rgb(*row)) for row in values]
    np.testing.assert_allclose(hsv_to_linear(*values.T), expected, atol=1e-12)


def test_numbers_are_in_range():
    for domain in (0, 1):
        for mode in (-1, 0, 1, 2, 3):
            material = drawn(domain, mode)
            for name in (
                "red",
                "green",
                "blue",
                "pane_red",
                "pane_green",
                "pane_blue",
                "cover",
                "check",
                "vein",
            ):
                assert material[name].min() >= 0, name
                assert material[name].max() <= 1, name
            assert min(material["per_m_u"].min(), material["per_m_v"].min(), material["frequency"].min()) > 0
            assert (material["key"] == np.round(material["key"])).all()
            assert material["key"].max() < 2**24  # exact as a float32


def test_wild_is_louder_than_studio():
    for domain in (0, 1):
        studio = drawn(domain, -1)
        for mode in (0, 1, 2, 3):
            wild = drawn(domain, mode)
            assert wild["noise"].mean() > 4 * studio["noise"].mean()
            assert wild["frequency"].mean() > 1.5 * studio["frequency"].mean()


def test_windows_are_lit_at_night_only():
    assert drawn(1, 0)["lit"].max() > 0.2
    assert max(drawn(1, mode)["lit"].max() for mode in (-1, 1, 2, 3)) == 0
