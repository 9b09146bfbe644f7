"""The API: each thing that the page can do, under a readable name, stateless.

    from gradio_client import Client, handle_file
    client = Client("http://127.0.0.1:7860")
    info, colors, png16, npy = client.predict(handle_file("photo.jpg"), api_name="/predict")
    client.predict(handle_file("photo.jpg"), points=[[10, 20], [200, 90]], api_name="/distance")

Files come in through components that nobody sees: gradio checks that they were uploaded.
"""

from typing import Any

import gradio as gr
from clips import Clip, Wish, depth_of_clip
from color_maps import COLOR_MAPS, DEFAULT_COLOR_MAP
from coloring import depth_picture, limits_of
from comparing import compare_models
from image_tab import unopened
from meshes import MAX_JUMP
from read_outs import read_out
from refusal import Refusal
from result_files import result_files
from scenes import build_scene
from scratch import new_folder, safe_stem
from work import DepthWork, Seen


def build(work: DepthWork) -> None:
    """Adds the endpoints to the page that is being built."""
    Endpoints(work).connect()


class Endpoints:
    """What the endpoints do; their docstrings are their documentation.

    Args:
        work: of this Space.
    """

    def __init__(self, work: DepthWork) -> None:
        self.work = work

    def connect(self) -> None:
        """Hidden components for what comes in and goes out, and one event for each endpoint."""
        names = self.work.models.names
        with gr.Row(visible=False):
            picture = gr.File(label="picture: JPEG, PNG or WebP, up to 24 megapixels")
            clip = gr.File(label="clip: a video of up to 60 s")
            unopened(picture)
            unopened(clip)
            model = gr.Dropdown(names, value=names[0], label="model")
            models = gr.JSON(names[:4], label="models: list of names")
            domain = gr.Textbox("router", label="domain: router, or whose head to use")
            colors = gr.Dropdown(list(COLOR_MAPS), value=DEFAULT_COLOR_MAP, label="color_map")
            near = gr.Number(None, label="near: metres, or per cent for relative models")
            far = gr.Number(None, label="far: metres, or per cent for relative models")
            fov = gr.Number(None, label="fov: horizontal field of view, degrees; none: EXIF, else 60")
            points = gr.JSON(label="points: [[x, y]] or [[x, y], [x, y]], pixels of the upright picture")
            far_m = gr.Number(None, label="far_m: what is farther is left out, metres")
            jump = gr.Number(MAX_JUMP, label="max_jump: factor of depth at which edges are cut")
            beside = gr.Checkbox(True, label="side_by_side")
            info = gr.JSON(label="info")
            color_png, png16, npy = gr.File(label="coloured PNG"), gr.File(label="16-bit PNG"), gr.File(label=".npy")
            glb, ply = gr.File(label="GLB"), gr.File(label="PLY")
            pictures = gr.File(label="coloured PNGs", file_count="multiple")
            video = gr.File(label="MP4")
            trigger = gr.Button()
        asked = [picture, model, domain]
        for function, inputs, outputs in (
            (self.models, [], info),
            (self.predict, [*asked, colors, near, far], [info, color_png, png16, npy]),
            (self.distance, [picture, points, model, domain, fov], info),
            (self.point_cloud, [*asked, fov, far_m, jump], [glb, ply, info]),
            (self.mesh, [*asked, fov, far_m, jump], [glb, ply, info]),
            (self.compare, [picture, models, colors], [info, pictures]),
            (self.video, [clip, model, domain, colors, beside], [video, info]),
        ):
            name = function.__name__
            line = "clip_api" if name == "video" else "api"  # clips wait for clips, pictures for pictures
            trigger.click(function, inputs, outputs, api_name=name, concurrency_id=line, concurrency_limit=1)

    def models(self) -> list[dict[str, Any]]:
        """The models that can be asked: name, whether they predict metres, and the domains to choose from."""
        cards = [self.work.models.card(name) for name in self.work.models.names]
        return [{"name": card.name, "metric": card.metric, "domains": list(card.domains)} for card in cards]

    def predict(
        self,
        picture: str,
        model: str,
        domain: str,
        color_map: str,
        near: float | None = None,
        far: float | None = None,
    ) -> tuple[Any, ...]:
        """Depth of a picture: facts, coloured PNG, 16-bit PNG (millimetres of metric models), float32 .npy.

        The arrays have the upright picture's size: metres, larger is farther, or inverse depth, larger is nearer.
        """
        seen = self.work.see(picture, model, domain)
        limits = limits_of(seen.prediction, near, far)
        png16, npy, colors = result_files(seen, depth_picture(seen.prediction, limits, color_map), picture)
        return facts(seen) | {"shown_from": limits[0], "shown_to": limits[1]}, colors, png16, npy

    def distance(
        self, picture: str, points: list[list[int]], model: str, domain: str, fov: float | None = None
    ) -> dict[str, Any]:
        """The distance of one point, or of two and between them, in metres."""
        try:
            places = [(int(x), int(y)) for x, y in points]
        except (TypeError, ValueError) as error:
            raise Refusal(
                "points is a list of one or two pairs of pixels, such as [[10, 20]].", title="Points"
            ) from error
        if len(places) not in (1, 2):
            raise Refusal(f"There are {len(places)} points; give one or two, such as [[10, 20]].", title="Points")
        return read_out(self.work.see(picture, model, domain), places, fov)

    def point_cloud(
        self,
        picture: str,
        model: str,
        domain: str,
        fov: float | None = None,
        far_m: float | None = None,
        max_jump: float = MAX_JUMP,
    ) -> tuple[Any, ...]:
        """The picture as coloured points in space: GLB, PLY, facts. Metres, y up, seen along -z."""
        return self._scene(False, picture, model, domain, fov, far_m, max_jump)

    def mesh(
        self,
        picture: str,
        model: str,
        domain: str,
        fov: float | None = None,
        far_m: float | None = None,
        max_jump: float = MAX_JUMP,
    ) -> tuple[Any, ...]:
        """The picture as a mesh, cut where depth jumps: GLB, PLY, facts. Metres, y up, seen along -z."""
        return self._scene(True, picture, model, domain, fov, far_m, max_jump)

    def _scene(
        self, mesh: bool, picture: str, model: str, domain: str, fov: float | None, far_m: float | None, jump: float
    ) -> tuple[Any, ...]:
        seen = self.work.see(picture, model, domain)
        scene = build_scene(seen, picture, mesh=mesh, given_deg=fov, far_m=far_m, max_jump=jump)
        told = {"points": scene.points, "triangles": scene.triangles, "note": scene.note}
        return scene.glb, scene.ply, facts(seen) | told

    def compare(self, picture: str, models: list[str], color_map: str) -> tuple[Any, ...]:
        """Several models' depth of the same picture: facts and a coloured PNG of each."""
        if not isinstance(models, list) or not all(isinstance(name, str) for name in models):
            raise Refusal("models is a list of names; /models lists them.", title="Compare")
        folder, told, paths = new_folder(), [], []
        for number, (image, caption, seen) in enumerate(compare_models(self.work, picture, models, color_map), 1):
            paths.append(str(folder / f"{safe_stem(picture)}_{number}.png"))
            image.save(paths[-1])
            told.append(facts(seen) | {"caption": caption})
        return told, paths

    def video(
        self,
        clip: str,
        model: str,
        domain: str,
        color_map: str,
        side_by_side: bool,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> tuple[Any, ...]:
        """A clip's depth in one range of colours, with its sound: MP4 and facts."""
        for step in depth_of_clip(self.work.models, clip, Wish(model, domain, color_map, side_by_side)):
            if isinstance(step, Clip):
                told = {"model": model, "domain": step.domain, "metric": step.metric, "frames": step.frames,
                        "shown_from": step.limits[0], "shown_to": step.limits[1], "audio": step.audio}  # fmt: skip
                return step.path, told
            progress((step.done, step.frames), desc=step.text, unit="frames")
        raise RuntimeError("a clip ended without a result")


def facts(seen: Seen) -> dict[str, Any]:
    """What is known of a prediction."""
    prediction = seen.prediction
    height, width = prediction.values.shape
    return {
        "model": prediction.model,
        "unit": "metres" if prediction.metric else "inverse depth",
        "domain": prediction.domain,
        "domains": prediction.domains,
        "width": width,
        "height": height,
        "smallest": float(prediction.values.min()),
        "largest": float(prediction.values.max()),
    }
