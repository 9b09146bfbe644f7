"""The tab that shows the picture of the first tab in 3D."""

import html
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import downloads
import gradio as gr
from appearance import EMPTY_SCENE, refused
from image_tab import ImageTab
from read_outs import number_of
from refusal import Refusal
from scenes import build_scene
from work import DepthWork, Seen

from semidepth.media.meshes import MAX_JUMP

SHAPES = ["Mesh", "Point cloud"]
KINDS = ("glb", "ply")
FRONT = (90, 90)  # degrees: the viewer looks along the camera's axis
SMALLEST_JUMP, LARGEST_JUMP = 1.01, 2.0
CUT_LABELS = {True: "Leave out what is farther than, metres", False: "Leave out what is farther than, % of near to far"}


@dataclass
class SceneTab:
    """The parts of the tab. `built` holds what the scene that is shown was made from, `made` its two files."""

    shape: gr.Radio
    fov: gr.Textbox
    far: gr.Textbox
    jump: gr.Slider
    run: gr.Button
    empty: gr.HTML
    results: gr.Column
    viewer: gr.Model3D
    note: gr.Markdown
    files: list[gr.Button]
    built: gr.State
    made: gr.State
    metric: gr.State


def build(work: DepthWork, tab: gr.Tab, image: ImageTab) -> None:
    """Lays out the tab and connects it.

    Args:
        work: what the buttons do.
        tab: it; when it is opened, the scene of the picture in the first tab is built.
        image: the first tab.
    """
    metric = work.models.card(work.models.names[0]).metric
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            left = asking(metric)
        with gr.Column(scale=3, min_width=300):
            right = answering()
    states = {"built": gr.State(()), "made": gr.State(()), "metric": gr.State(metric)}
    SceneEvents(work, SceneTab(**left, **right, **states), image).connect(tab)


def asking(metric: bool) -> dict[str, Any]:
    """The left half: how the scene is made."""
    shape = gr.Radio(SHAPES, value=SHAPES[0], label="Shape", elem_id="shape")
    fov = gr.Textbox(
        label="Horizontal field of view, degrees", placeholder="the photo's own, else 60", elem_id="scene_fov",
        info="Too wide and the scene is flat, too narrow and it is drawn out.",
    )  # fmt: skip
    far = gr.Textbox(label=CUT_LABELS[metric], placeholder="nothing", elem_id="cut")
    jump = gr.Slider(
        SMALLEST_JUMP, LARGEST_JUMP, MAX_JUMP, step=0.01, label="Cut where depth jumps by a factor of", elem_id="jump",
        info="What is behind is so many times as far as what is before it.",
    )  # fmt: skip
    jump.preprocess = within  # type: ignore[method-assign]
    run = gr.Button("Build the scene", variant="primary", elem_id="build")
    return {"shape": shape, "fov": fov, "far": far, "jump": jump, "run": run}


def answering() -> dict[str, Any]:
    """The right half: nothing yet, or the scene and its files."""
    empty = gr.HTML(EMPTY_SCENE, elem_id="scene_empty")
    with gr.Column(visible="hidden") as results:
        viewer = gr.Model3D(
            show_label=False, height=460, elem_id="scene", camera_position=(*FRONT, None), interactive=False,
            clear_color=(0.07, 0.08, 0.11, 1.0),
        )  # fmt: skip
        gr.Markdown("Drag to turn, scroll or pinch to come nearer.", elem_classes="hint")
        note = gr.Markdown(elem_id="scene_note")
        with gr.Row():
            files = [gr.Button(f"Download {kind.upper()}", size="md", min_width=120, elem_id=kind) for kind in KINDS]
    return {"empty": empty, "results": results, "viewer": viewer, "note": note, "files": files}


class SceneEvents:
    """The tab's handlers. Each is a function of what the page sends along.

    Args:
        work: what the buttons do.
        tab: its parts.
        image: the first tab, whose picture, model and head the scene is of.
    """

    def __init__(self, work: DepthWork, tab: SceneTab, image: ImageTab) -> None:
        self.work = work
        self.tab = tab
        self.image = image
        self.shown = [tab.empty, tab.results, tab.viewer, tab.note, tab.built, tab.made]

    def connect(self, opening: gr.Tab) -> None:
        """Binds the handlers to the parts."""
        tab, image = self.tab, self.image
        asked = [image.picture, image.model, image.domain, tab.built, tab.shape, tab.fov, tab.far, tab.jump]
        line: dict[str, Any] = {"api_visibility": "private", "concurrency_id": "scene", "concurrency_limit": 2}
        tab.run.click(self.make, asked, self.shown, **line)
        for event in (opening.select, tab.shape.input, tab.jump.release, tab.fov.submit, tab.fov.blur, tab.far.submit,
                      tab.far.blur):  # fmt: skip
            event(self.opened, asked, self.shown, **line)
        for number, button in enumerate(tab.files):
            downloads.connect(button, partial(kept, number), [tab.made])
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        image.model.change(self.unit, [image.model, tab.metric], [tab.far, tab.metric], **quiet)
        image.picture.change(emptied, image.picture, [tab.fov, image.fov, tab.far], **quiet)
        # One camera took the picture: what is said of it in one tab holds in the other, until there is a new picture.
        image.fov.change(None, image.fov, tab.fov, js="(value) => value", api_visibility="private")
        tab.fov.input(None, tab.fov, image.fov, js="(value) => value", api_visibility="private")

    def make(self, path: str | None, name: str, head: str, before: Any, *given: Any) -> tuple[Any, ...]:
        """The scene, and what it is of; or the reason why there is none.

        A scene of the same picture stays where it cannot be built in the way that is asked for.
        """
        what, fov_text, far_text, most = given
        try:
            fov_deg, far_end = number_of(fov_text, "field of view"), number_of(far_text, "far end")
            if not path:
                raise Refusal("Choose a picture in the Image tab first.", title="There is no picture yet")
            seen = self.work.see(path, name, head)
            scene = build_scene(seen, path, mesh=what == SHAPES[0], given_deg=fov_deg, far=far_end, max_jump=most)
        except Refusal as refusal:
            if before and tuple(before[:3]) == (path, name, head):
                gr.Warning(html.escape(refusal.message), title=html.escape(refusal.title))
                return (gr.skip(),) * len(self.shown)
            return no_scene(refused(refusal))
        return (
            gr.update(value=EMPTY_SCENE, visible=False), gr.update(visible=True),
            gr.update(value=scene.view, camera_position=(*FRONT, scene.radius_m)),
            f"{heading(path, self.work.models.card(name).label, seen)}\n\n{scene.note}",
            (path, name, head, *given), (scene.glb, scene.ply),
        )  # fmt: skip

    def opened(self, path: str | None, name: str, head: str, before: Any, *given: Any) -> tuple[Any, ...]:
        """Builds the scene when the tab is opened or an option was set, unless that is the one which is shown."""
        if not path:
            return no_scene(EMPTY_SCENE)
        if tuple(before) == (path, name, head, *given):
            return (gr.skip(),) * len(self.shown)
        return self.make(path, name, head, before, *given)

    def unit(self, name: str, before: bool) -> tuple[Any, bool]:
        """Another unit of the far end; its number is not taken over from the one to the other."""
        now = self.work.models.card(name).metric
        return gr.skip() if now == before else gr.update(label=CUT_LABELS[now], value=""), now


def no_scene(why: str) -> tuple[Any, ...]:
    """What is shown where there is no scene.

    Args:
        why: HTML in its place.
    """
    return gr.update(value=why, visible=True), gr.update(visible="hidden"), None, "", (), ()


def kept(number: int, paths: Any) -> str:
    """One of the scene's files."""
    if not paths or not Path(paths[number]).is_file():
        raise Refusal("This scene is no longer kept; build it again.", title="Download")
    return str(paths[number])


def emptied(path: str | None) -> tuple[Any, ...]:
    """What was said of a picture that is taken away does not hold for the next."""
    return (gr.skip(),) * 3 if path else ("", "", "")


def within(jump: Any) -> float:
    """The factor that was typed, or the nearest one that the slider has."""
    return min(max(float(MAX_JUMP if jump is None else jump), SMALLEST_JUMP), LARGEST_JUMP)


def heading(path: str | None, label: str, seen: Seen) -> str:
    """What a scene is of and whose depth it has, as Markdown."""
    name = re.sub(r"([^\w .-]|_)", r"\\\1", Path(str(path)).name)
    head = f" · {seen.prediction.domain} head" if seen.prediction.domain else ""
    return f"**{name}** · {label}{head}"
