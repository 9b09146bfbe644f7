"""The view of the picture in 3D: its parts, where they stand, and what they do."""

import html
import itertools
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypedDict

import gradio as gr
from refusal import Refusal
from results.read_outs import number_of
from results.scenes import Scene, build_scene
from work import DepthWork

from page.appearance import progress_html, refused
from page.browser_files import browser_file
from page.wiring import QUICK, Latest, Wiring
from semidepth.media.meshes import MAX_JUMP

MESH, POINTS = "Mesh", "Point cloud"
VIEW = "scene"  # its name among the views
FRONT_DEG = (90.0, 90.0)  # the viewer looks along the camera's axis
OBLIQUE_DEG = (75.0, 88.0)  # 15 degrees beside it, where depth is seen
SMALLEST_JUMP, LARGEST_JUMP = 1.01, 2.0
SMALLEST_POINT, LARGEST_POINT = 0.2, 3.0
CUT_LABELS = {True: "Leave out what is farther than, metres", False: "Leave out what is farther than, % of near to far"}
NO_SCENE = progress_html(None, "The scene is being built …")  # seen while the view is open alone
SWAYED = "(sway) => ({__type__: 'update', camera_position: sway.at})"  # what sway.js sets goes to the viewer
_NUDGE = itertools.cycle((0.0, 0.001))  # degrees: gradio sends a view on only where it differs from the last one


@dataclass(frozen=True, kw_only=True)
class SceneParts:
    """The parts of the view.

    Args:
        sway: moves the scene a little as it is first seen.
        glb: button for this file; likewise `ply`.
        built: what the scene that is shown was made from, a `SceneAsked`, or None.
        metric: whether `cut` is in metres.
    """

    shape: gr.Radio
    cut: gr.Textbox
    jump: gr.Slider
    point_size: gr.Slider
    front: gr.Button
    no_scene: gr.HTML
    viewer: gr.Model3D
    note: gr.Markdown
    sway: gr.HTML
    glb: gr.Button
    ply: gr.Button
    built: gr.State
    metric: gr.State


@dataclass(frozen=True)
class SceneAsked:
    """The values of the tab's parts that a scene depends on, each under its part's name.

    Args:
        picture: path of the uploaded file; None without one.
        model: name.
        domain: head that is chosen, or "router".
        shape: mesh or point cloud.
        fov: horizontal field of view in degrees, as it was typed.
        cut: what is farther is left out, metres or per cent, as it was typed.
        jump: factor of depth at which edges are cut.
        point_size: of a point cloud, as a share of the distance between neighbours.
        view: name of the view that is open.
        built: what the scene that is shown was made from; None without one.
        metric: whether `cut` is in metres.
        latest: see `wiring.Latest`.
    """

    picture: str | None
    model: str
    domain: str
    shape: str
    fov: str
    cut: str
    jump: float | None
    point_size: float | None
    view: str
    built: "tuple[SceneAsked, float] | None"
    metric: bool
    latest: Latest = field(default_factory=Latest)

    def wish(self) -> "SceneAsked":
        """Returns the same without what is shown, to compare two of them."""
        return replace(self, view="", built=None, metric=False, latest=Latest())


class SceneUpdates(TypedDict, total=False):
    """Updates of the parts that show a scene; `built` is what it was made from and its first distance, metres."""

    no_scene: Any
    viewer: Any
    sway: Any
    note: str
    built: tuple[SceneAsked, float] | None


class UnitUpdates(TypedDict, total=False):
    """Another unit of what is left out."""

    cut: Any
    metric: bool


def build(metric: bool) -> dict[str, Any]:
    """Lays out the view.

    Args:
        metric: whether the first model predicts metres.
    """
    empty = gr.HTML(NO_SCENE, elem_id="scene_empty")
    viewer = gr.Model3D(
        show_label=False, elem_id="scene", camera_position=(*OBLIQUE_DEG, None), interactive=False,
        clear_color=(0.07, 0.08, 0.11, 1.0), visible="hidden",
    )  # fmt: skip
    sway = gr.HTML(html_template="<i hidden></i>", js_on_load=browser_file("sway.js"), elem_id="sway")
    with gr.Row(elem_id="scene_line"):
        note = gr.Markdown("", elem_id="scene_note")
        front = gr.Button("Front view", size="md", min_width=110, scale=0, elem_id="front")
    with gr.Accordion("Settings of the scene", open=False, elem_id="scene_settings"), gr.Row():
        shape = gr.Radio([MESH, POINTS], value=MESH, label="Shape", elem_id="shape", min_width=180)
        cut = gr.Textbox(label=CUT_LABELS[metric], placeholder="nothing", elem_id="cut", min_width=180)
        jump = gr.Slider(
            SMALLEST_JUMP, LARGEST_JUMP, MAX_JUMP, step=0.01, label="Cut where depth jumps by a factor of",
            elem_id="jump", info="What is behind is so many times as far as what is before it.", min_width=220,
        )  # fmt: skip
        point_size = gr.Slider(
            SMALLEST_POINT, LARGEST_POINT, 1.0, step=0.1, label="Size of points", elem_id="point_size",
            info="Of a point cloud; 1 leaves no gap seen from the front.", min_width=220,
        )  # fmt: skip
    return {
        "no_scene": empty, "viewer": viewer, "sway": sway, "note": note, "front": front, "shape": shape, "cut": cut,
        "jump": jump, "point_size": point_size,
    }  # fmt: skip


class SceneEvents:
    """The view's handlers.

    Args:
        work: of this Space.
    """

    def __init__(self, work: DepthWork) -> None:
        self.work = work

    def connect(self, parts: Any, predicted: Any) -> None:
        """Binds the handlers.

        Args:
            parts: of the tab, the view's own among them.
            predicted: event after which another result is shown.
        """
        wiring = Wiring(parts, SceneAsked)
        line: dict[str, Any] = {
            "concurrency_id": "scene", "concurrency_limit": 2, "show_progress_on": [parts.viewer], "drop_late": True,
            "trigger_mode": "always_last",
        }  # fmt: skip
        for event in (
            predicted.then, parts.shape.input, parts.jump.release, parts.point_size.release, parts.fov.submit,
            parts.fov.blur, parts.cut.submit, parts.cut.blur,
        ):  # fmt: skip
            wiring.on(event, self.follow, SceneUpdates, **line)
        wiring.on(parts.scene_tab.select, self.opened, SceneUpdates, **line)
        parts.sway.input(None, parts.sway, parts.viewer, js=SWAYED, api_visibility="private", queue=False, **QUICK)
        wiring.on(parts.front.click, front, SceneUpdates, **QUICK)
        wiring.on(parts.model.change, self.unit, UnitUpdates, **QUICK)
        for kind, mesh in (("glb", True), ("ply", False)):
            wiring.hand_out(getattr(parts, kind), partial(self.file, kind, mesh))

    def opened(self, asked: SceneAsked) -> SceneUpdates:
        """Builds the scene when the view is opened, unless this very scene is shown."""
        return self.follow(replace(asked, view=VIEW))

    def follow(self, asked: SceneAsked) -> SceneUpdates:
        """Shows the scene of what is chosen now; where the view is not open only a scene of something else goes.

        A scene of the same picture stays where a setting is refused.
        """
        if asked.latest.is_other(asked.picture):
            return {}
        if not asked.picture:
            return no_scene()
        before = asked.built[0] if asked.built else None
        if asked.wish() == before:
            return {}
        if asked.view != VIEW:
            return no_scene() if before else {}
        try:
            scene = self.scene(asked, mesh=asked.shape == MESH)
        except Refusal as refusal:
            if before and same_prediction(asked, before):
                gr.Warning(html.escape(refusal.message), title=html.escape(refusal.title))
                return {}
            return no_scene(refused(refusal))
        # With other settings the same picture is seen from where it was, also if Front view was clicked meanwhile.
        stays = before is not None and same_prediction(asked, before)
        updates: SceneUpdates = {
            "no_scene": gr.update(visible=False),
            "note": scene.note,
            "built": (asked.wish(), scene.radius_m),
        }
        if stays:
            return updates | {"viewer": gr.update(value=scene.view, visible=True)}
        first = gr.update(value=scene.view, visible=True, camera_position=(*OBLIQUE_DEG, scene.radius_m))
        sway = {"from": OBLIQUE_DEG, "to": FRONT_DEG, "radius": scene.radius_m, "scene": scene.view}
        return updates | {"viewer": first, "sway": sway}

    def scene(self, asked: SceneAsked, *, mesh: bool) -> Scene:
        """The scene of a picture.

        Raises:
            Refusal: there is no picture, a setting is wrong, or nothing is left of it.
        """
        fov_deg, far = number_of(asked.fov, "field of view"), number_of(asked.cut, "far end")
        if not asked.picture:
            raise Refusal("Choose a photo first.", title="There is no picture yet")
        seen = self.work.see(asked.picture, asked.model, asked.domain)
        jump = within(asked.jump, SMALLEST_JUMP, LARGEST_JUMP, MAX_JUMP)
        size = within(asked.point_size, SMALLEST_POINT, LARGEST_POINT, 1.0)
        return build_scene(seen, asked.picture, mesh=mesh, given_deg=fov_deg, far=far, max_jump=jump, point_size=size)

    def file(self, kind: str, mesh: bool, asked: SceneAsked) -> str:
        """Writes the scene as a file; returns its path.

        Args:
            kind: "glb" or "ply".
            mesh: with triangles; else points.
            asked: values of the tab's parts.
        """
        return getattr(self.scene(asked, mesh=mesh), kind)

    def unit(self, asked: SceneAsked) -> UnitUpdates:
        """Sets another unit of what is left out; its number is not taken over from one unit to the other."""
        metric = self.work.models.card(asked.model).metric
        if metric == asked.metric:
            return {}
        return {"cut": gr.update(label=CUT_LABELS[metric], value=""), "metric": metric}


def front(asked: SceneAsked) -> SceneUpdates:
    """Looks at the scene from where the photo was taken."""
    if not asked.built:
        return {}
    beside, above = FRONT_DEG
    return {"viewer": gr.update(camera_position=(beside + next(_NUDGE), above, asked.built[1]))}


def no_scene(why: str = NO_SCENE) -> SceneUpdates:
    """Takes the scene away.

    Args:
        why: HTML in its place.
    """
    return {"no_scene": gr.update(value=why, visible=True), "viewer": gr.update(value=None, visible="hidden"),
            "sway": None, "note": "", "built": None}  # fmt: skip


def same_prediction(first: SceneAsked, second: SceneAsked) -> bool:
    """Returns whether both are of the same picture, model and head."""
    return (first.picture, first.model, first.domain) == (second.picture, second.model, second.domain)


def within(typed: float | None, smallest: float, largest: float, default: float) -> float:
    """Returns the number that was typed, moved into the slider's range; the default for an emptied field."""
    return min(max(default if typed is None else typed, smallest), largest)
