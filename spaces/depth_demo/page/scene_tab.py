"""The tab that shows the picture of the image tab in 3D: its parts, where they stand, and what they do."""

import html
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import gradio as gr
from read_outs import number_of
from refusal import Refusal
from scenes import build_scene
from work import DepthWork, Seen

from page.appearance import EMPTY_SCENE, refused
from page.image_tab import ImageParts
from page.wiring import QUICK, Wiring
from semidepth.media.meshes import MAX_JUMP

MESH, POINTS = "Mesh", "Point cloud"
FRONT = (90, 90)  # degrees: the viewer looks along the camera's axis
SMALLEST_JUMP, LARGEST_JUMP = 1.01, 2.0
CUT_LABELS = {True: "Leave out what is farther than, metres", False: "Leave out what is farther than, % of near to far"}
COPY: dict[str, Any] = {"js": "(value) => value", "api_visibility": "private"}


@dataclass(frozen=True, kw_only=True)
class SceneParts:
    """The parts of the tab, and the image tab's picture, model and head, which the scene is of.

    Args:
        image_fov: field of view in the image tab.
        glb: file of the scene that is shown, not to be seen; likewise `ply`.
        built: what that scene was made from, a `SceneAsked`, or None.
        metric: whether `cut` is in metres.
    """

    picture: gr.Image
    model: gr.Dropdown
    domain: gr.Radio
    image_fov: gr.Textbox
    shape: gr.Radio
    fov: gr.Textbox
    cut: gr.Textbox
    jump: gr.Slider
    build: gr.Button
    empty: gr.HTML
    results: gr.Column
    viewer: gr.Model3D
    note: gr.Markdown
    glb: gr.File
    ply: gr.File
    download_glb: gr.Button
    download_ply: gr.Button
    built: gr.State
    metric: gr.State


@dataclass(frozen=True)
class SceneAsked:
    """The values of the parts, each under its part's name.

    Args:
        picture: path of the uploaded file; None without one.
        model: name.
        domain: head that is chosen, or "router".
        shape: mesh or point cloud.
        fov: horizontal field of view in degrees, as it was typed.
        cut: what is farther is left out, metres or per cent, as it was typed.
        jump: factor of depth at which edges are cut.
        built: what the scene that is shown was made from; None without one.
        metric: whether `cut` is in metres.
        glb: path of the scene's file; None without one.
        ply: likewise.
    """

    picture: str | None
    model: str
    domain: str
    shape: str
    fov: str
    cut: str
    jump: float | None
    built: "SceneAsked | None"
    metric: bool
    glb: str | None
    ply: str | None

    def wish(self) -> "SceneAsked":
        """Returns the same without what is shown, to compare two of them."""
        return replace(self, built=None, metric=False, glb=None, ply=None)


class SceneUpdates(TypedDict, total=False):
    """Updates of the parts that show a scene."""

    empty: Any
    results: Any
    viewer: Any
    note: str
    glb: str | None
    ply: str | None
    built: SceneAsked | None


class UnitUpdates(TypedDict, total=False):
    """Another unit of what is left out."""

    cut: Any
    metric: bool


class SettingUpdates(TypedDict, total=False):
    """Settings that were typed for a picture."""

    fov: str
    image_fov: str
    cut: str


def build(work: DepthWork, image: ImageParts) -> SceneParts:
    """Lays out the tab.

    Args:
        work: whose models can be chosen.
        image: parts of the image tab.
    """
    metric = work.models.card(work.models.names[0]).metric
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            settings = _settings(metric)
        with gr.Column(scale=3, min_width=300):
            answer = _answer()
    return SceneParts(
        picture=image.picture, model=image.model, domain=image.domain, image_fov=image.fov, **settings, **answer,
        built=gr.State(None), metric=gr.State(metric),
    )  # fmt: skip


def _settings(metric: bool) -> dict[str, Any]:
    """Lays out the left half: how the scene is made."""
    return {
        "shape": gr.Radio([MESH, POINTS], value=MESH, label="Shape", elem_id="shape"),
        "fov": gr.Textbox(
            label="Horizontal field of view, degrees", placeholder="the photo's own, else 60", elem_id="scene_fov",
            info="Too wide and the scene is flat, too narrow and it is drawn out.",
        ),
        "cut": gr.Textbox(label=CUT_LABELS[metric], placeholder="nothing", elem_id="cut"),
        "jump": gr.Slider(
            SMALLEST_JUMP, LARGEST_JUMP, MAX_JUMP, step=0.01, label="Cut where depth jumps by a factor of",
            elem_id="jump", info="What is behind is so many times as far as what is before it.",
        ),
        "build": gr.Button("Build the scene", variant="primary", elem_id="build"),
    }  # fmt: skip


def _answer() -> dict[str, Any]:
    """Lays out the right half: nothing yet, or the scene and its files."""
    empty = gr.HTML(EMPTY_SCENE, elem_id="scene_empty")
    with gr.Column(visible="hidden") as results:
        viewer = gr.Model3D(
            show_label=False, height=460, elem_id="scene", camera_position=(*FRONT, None), interactive=False,
            clear_color=(0.07, 0.08, 0.11, 1.0),
        )  # fmt: skip
        gr.Markdown("Drag to turn, scroll or pinch to come nearer.", elem_classes="hint")
        note = gr.Markdown(elem_id="scene_note")
        with gr.Row():
            buttons = {
                f"download_{kind}": gr.Button(f"Download {kind.upper()}", size="md", min_width=120, elem_id=kind)
                for kind in ("glb", "ply")
            }
    files = {kind: gr.File(label=kind.upper(), visible="hidden") for kind in ("glb", "ply")}
    return {"empty": empty, "results": results, "viewer": viewer, "note": note, **buttons, **files}


class SceneEvents:
    """The tab's handlers.

    Args:
        work: of this Space.
    """

    def __init__(self, work: DepthWork) -> None:
        self.work = work

    def connect(self, tab: SceneParts, opening: gr.Tab) -> None:
        """Binds the handlers.

        Args:
            tab: its parts.
            opening: the tab itself; when it is opened, the scene is built.
        """
        wiring = Wiring(tab, SceneAsked)
        line: dict[str, Any] = {"concurrency_id": "scene", "concurrency_limit": 2}
        wiring.on(tab.build.click, self.make, SceneUpdates, **line)
        for event in (opening.select, tab.shape.input, tab.jump.release, tab.fov.submit, tab.fov.blur, tab.cut.submit,
                      tab.cut.blur):  # fmt: skip
            wiring.on(event, self.opened, SceneUpdates, **line)
        wiring.hand_out(tab.download_glb, lambda asked: kept(asked.glb))
        wiring.hand_out(tab.download_ply, lambda asked: kept(asked.ply))
        wiring.on(tab.model.change, self.unit, UnitUpdates, **QUICK)
        wiring.on(tab.picture.change, emptied, SettingUpdates, **QUICK)
        # One camera took the picture: its field of view in one tab holds in the other, until there is a new picture.
        tab.image_fov.change(None, tab.image_fov, tab.fov, **COPY)
        tab.fov.input(None, tab.fov, tab.image_fov, **COPY)

    def make(self, asked: SceneAsked) -> SceneUpdates:
        """Builds and shows the scene, or says why there is none.

        A scene of the same picture stays where a setting is refused.
        """
        try:
            fov_deg, far = number_of(asked.fov, "field of view"), number_of(asked.cut, "far end")
            if not asked.picture:
                raise Refusal("Choose a picture in the Image tab first.", title="There is no picture yet")
            seen = self.work.see(asked.picture, asked.model, asked.domain)
            scene = build_scene(seen, asked.picture, mesh=asked.shape == MESH, given_deg=fov_deg, far=far,
                                max_jump=within(asked.jump))  # fmt: skip
        except Refusal as refusal:
            if asked.built and same_prediction(asked, asked.built):
                gr.Warning(html.escape(refusal.message), title=html.escape(refusal.title))
                return {}
            return no_scene(refused(refusal))
        label = self.work.models.card(asked.model).label
        return {
            "empty": gr.update(value=EMPTY_SCENE, visible=False), "results": gr.update(visible=True),
            "viewer": gr.update(value=scene.view, camera_position=(*FRONT, scene.radius_m)),
            "note": f"{heading(asked.picture, label, seen)}\n\n{scene.note}",
            "glb": scene.glb, "ply": scene.ply, "built": asked.wish(),
        }  # fmt: skip

    def opened(self, asked: SceneAsked) -> SceneUpdates:
        """Builds the scene when the tab is opened or a setting is changed, unless this very scene is shown."""
        if not asked.picture:
            return no_scene(EMPTY_SCENE)
        return {} if asked.wish() == asked.built else self.make(asked)

    def unit(self, asked: SceneAsked) -> UnitUpdates:
        """Sets another unit of what is left out; its number is not taken over from one unit to the other."""
        metric = self.work.models.card(asked.model).metric
        if metric == asked.metric:
            return {}
        return {"cut": gr.update(label=CUT_LABELS[metric], value=""), "metric": metric}


def no_scene(why: str) -> SceneUpdates:
    """Takes the scene away.

    Args:
        why: HTML in its place.
    """
    return {
        "empty": gr.update(value=why, visible=True), "results": gr.update(visible="hidden"), "viewer": None,
        "note": "", "glb": None, "ply": None, "built": None,
    }  # fmt: skip


def same_prediction(first: SceneAsked, second: SceneAsked) -> bool:
    """Returns whether both are of the same picture, model and head."""
    return (first.picture, first.model, first.domain) == (second.picture, second.model, second.domain)


def kept(path: str | None) -> str:
    """Returns the path of one of the scene's files.

    Raises:
        Refusal: it has been removed.
    """
    if not path or not Path(path).is_file():
        raise Refusal("This scene is no longer kept; build it again.", title="Download")
    return path


def emptied(asked: SceneAsked) -> SettingUpdates:
    """Forgets what was typed about a picture that is taken away."""
    return {} if asked.picture else {"fov": "", "image_fov": "", "cut": ""}


def within(jump: float | None) -> float:
    """Returns the factor that was typed, moved into the slider's range; the default for an emptied field."""
    return min(max(MAX_JUMP if jump is None else jump, SMALLEST_JUMP), LARGEST_JUMP)


def heading(path: str, label: str, seen: Seen) -> str:
    """Says in Markdown what the scene is of and which model predicted it."""
    name = re.sub(r"([^\w .-]|_)", r"\\\1", Path(path).name)
    head = f" · {seen.prediction.domain} head" if seen.prediction.domain else ""
    return f"**{name}** · {label}{head}"
