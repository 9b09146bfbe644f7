"""The API: each thing that the page can do, under a readable name, stateless.

    from gradio_client import Client, handle_file
    client = Client("http://127.0.0.1:7860")
    info, colors, png16, npy = client.predict(handle_file("photo.jpg"), api_name="/predict")
    client.predict(handle_file("photo.jpg"), points=[[10, 20], [200, 90]], api_name="/distance")

Values come in through components that nobody sees: gradio checks that files were uploaded and documents the rest, and
`refusal` checks the values (`preprocess=False`), since gradio's own checks end in tracebacks.
"""

from collections.abc import Callable
from typing import Any

import gradio as gr
from measuring import FOV_RANGE_DEG
from refusal import file_path, number, pixels, word, words, yes_or_no
from results.clips import Clip, Wish, depth_of_clip
from results.coloring import colors_of, limits_of
from results.read_outs import read_out
from results.result_files import KINDS, new_folder, result_file, safe_stem
from results.scenes import build_scene
from work import DepthWork, Seen

from page.photo.comparing import compare_models
from page.video_tab import ONE_CLIP
from semidepth.media.color_maps import COLOR_MAPS, DEFAULT_COLOR_MAP
from semidepth.media.meshes import MAX_JUMP

MOST_METRES = 1e6


def build(work: DepthWork) -> None:
    """Adds the endpoints to the page that is being built."""
    Endpoints(work).connect()


class Endpoints:
    """The functions of the endpoints; their docstrings are shown to users of the API.

    Args:
        work: of this Space.
    """

    def __init__(self, work: DepthWork) -> None:
        self.work = work

    def connect(self) -> None:
        """Makes hidden components for inputs and outputs, and one event for each endpoint."""
        names = self.work.models.names
        with gr.Row(visible=False):
            how = (
                "in Python handle_file() of a path of yours or of an address, else an uploaded file, never a bare path"
            )
            picture = gr.Image(type="filepath", label=f"picture: JPEG, PNG or WebP, up to 65 megapixels; {how}")
            clip = gr.Video(label=f"clip: a video of up to 60 s; {how}")
            model = gr.Dropdown(names, value=names[0], label="model")
            models = gr.JSON(names[:4], label="models: list of names")
            domain = gr.Textbox("router", label="domain: router, or whose head to use")
            colors = gr.Dropdown(list(COLOR_MAPS), value=DEFAULT_COLOR_MAP, label="color_map")
            near = gr.Number(None, label="near: metres, or per cent for relative models")
            far = gr.Number(None, label="far: metres, or per cent for relative models")
            fov = gr.Number(None, label="fov: horizontal field of view, degrees; none: EXIF, else 60")
            points = gr.JSON(
                [[120, 80], [300, 200]], label="points: [[x, y]] or [[x, y], [x, y]], pixels of the upright picture"
            )
            cut = gr.Number(None, label="far: what is farther is left out, metres, or per cent of relative models")
            jump = gr.Number(MAX_JUMP, label="max_jump: factor of depth at which edges are cut")
            beside = gr.Checkbox(True, label="side_by_side")
            info = gr.JSON(label="info")
            color_png, png16, npy = gr.File(label="coloured PNG"), gr.File(label="16-bit PNG"), gr.File(label=".npy")
            glb, ply = gr.File(label="GLB"), gr.File(label="PLY")
            pictures = gr.File(label="coloured PNGs", file_count="multiple")
            video = gr.File(label="MP4")
            trigger = gr.Button()
        asked = [picture, model, domain]
        scene = [*asked, fov, cut, jump], [glb, ply, info]
        for function, inputs, outputs in (
            (self.models, [], info),
            (self.predict, [*asked, colors, near, far], [info, color_png, png16, npy]),
            (self.distance, [picture, points, model, domain, fov], info),
            (self.scene_as("point_cloud", "coloured points in space"), *scene),
            (self.scene_as("mesh", "a mesh, cut where depth jumps"), *scene),
            (self.compare, [picture, models, colors, domain], [info, pictures]),
            (self.video, [clip, model, domain, colors, beside], [video, info]),
        ):
            name = function.__name__
            line = ONE_CLIP if name == "video" else {"concurrency_id": "api", "concurrency_limit": 1}
            trigger.click(function, inputs, outputs, api_name=name, preprocess=False, **line)

    def models(self) -> list[dict[str, Any]]:
        """The models that can be asked: short name, whether they predict metres, and the domains to choose from."""
        cards = [self.work.models.card(name) for name in self.work.models.names]
        return [{"name": card.name, "metric": card.metric, "domains": list(card.domains)} for card in cards]

    def predict(
        self,
        picture: Any,
        model: str,
        domain: str,
        color_map: str,
        near: float | None = None,
        far: float | None = None,
    ) -> tuple[Any, ...]:
        """Depth of a picture: facts, coloured PNG, 16-bit PNG (millimetres of metric models), float32 .npy.

        The arrays have the upright picture's size, and half its width and height above 24 megapixels: metres, larger is
        farther, or inverse depth, larger is nearer.
        """
        colors = colors_of(color_map)
        ends = number(near, "near", 0, MOST_METRES), number(far, "far", 0, MOST_METRES)
        seen = self._see(picture, model, domain)
        limits = limits_of(seen.prediction, *ends)
        paths = {kind: result_file(kind, seen, limits, colors, str(file_path(picture))) for kind in KINDS}
        told = facts(seen) | {"shown_from": limits[0], "shown_to": limits[1]}
        return told, paths["color"], paths["png16"], paths["npy"]

    def distance(
        self, picture: Any, points: list[list[int]], model: str, domain: str, fov: float | None = None
    ) -> dict[str, Any]:
        """The distance of one point, or of two and between them, in metres."""
        places, degrees = pixels(points, "points"), number(fov, "fov", *FOV_RANGE_DEG)
        return read_out(self._see(picture, model, domain), places, degrees)

    def scene_as(self, shape: str, told: str) -> Callable[..., tuple[Any, ...]]:
        """Makes the endpoint of a 3D scene.

        Args:
            shape: "mesh" or "point_cloud", the endpoint's name.
            told: what the picture becomes.
        """

        def endpoint(
            picture: Any,
            model: str,
            domain: str,
            fov: float | None = None,
            far: float | None = None,
            max_jump: float = MAX_JUMP,
        ) -> tuple[Any, ...]:
            degrees, cut = number(fov, "fov", *FOV_RANGE_DEG), number(far, "far", 0, MOST_METRES)
            jump = number(max_jump, "max_jump", 1.0001, 1000) or MAX_JUMP
            seen = self._see(picture, model, domain)
            scene = build_scene(
                seen, str(file_path(picture)), mesh=shape == "mesh", given_deg=degrees, far=cut, max_jump=jump
            )
            counts = {"points": scene.points, "triangles": scene.triangles, "note": scene.note}
            return scene.glb, scene.ply, facts(seen) | counts

        endpoint.__name__ = shape
        endpoint.__doc__ = f"The picture as {told}: GLB, PLY, facts. Metres, y up, seen along -z."
        return endpoint

    def compare(self, picture: Any, models: list[str], color_map: str, domain: str) -> tuple[Any, ...]:
        """Several models' depth of the same picture: facts and a coloured PNG of each.

        A domain's head is used by those that have it.
        """
        names, head, colors = words(models, "models"), word(domain, "domain"), colors_of(color_map)
        path, told, paths = file_path(picture), [], []
        found, folder = compare_models(self.work, path, names, head, [colors]), new_folder()
        for position, (image, caption, seen) in enumerate(found, 1):
            name = safe_stem(f"{seen.prediction.model.replace('/', '_')}.png")
            paths.append(str(folder / f"{safe_stem(str(path))}_{position}_{name}.png"))
            image.save(paths[-1])
            told.append(facts(seen) | {"caption": caption})
        return told, paths

    def video(
        self,
        clip: Any,
        model: str,
        domain: str,
        color_map: str,
        side_by_side: bool,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> tuple[Any, ...]:
        """A clip's depth in one range of colours, with its sound: MP4 and facts."""
        name, head, colors = self._model(model), word(domain, "domain"), colors_of(color_map)
        wish = Wish(name, head, colors, yes_or_no(side_by_side, "side_by_side", True))
        for step in depth_of_clip(self.work.models, file_path(clip), wish):
            if isinstance(step, Clip):
                told = {"model": name, "domain": step.domain or "", "metric": step.metric, "frames": step.frames,
                        "shown_from": step.limits[0], "shown_to": step.limits[1], "audio": step.audio}  # fmt: skip
                return step.path, told
            progress((step.done, step.frames), desc=step.text, unit="frames")
        raise RuntimeError("a clip ended without a result")

    def _model(self, model: Any) -> str:
        names = self.work.models.names
        return word(None if model == "" else model, "model", names) or names[0]

    def _see(self, picture: Any, model: Any, domain: Any) -> Seen:
        """Calls [`DepthWork.see`] with values that may be anything."""
        return self.work.see(file_path(picture), self._model(model), word(domain, "domain"))


def facts(seen: Seen) -> dict[str, Any]:
    """Returns the facts of a prediction that every endpoint gives back."""
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
        "beyond_share": prediction.beyond_share,
    }
