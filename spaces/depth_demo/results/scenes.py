"""Depth of a picture as a 3D scene: point cloud or mesh, cut where depth jumps, as GLB and PLY."""

import math
from dataclasses import dataclass

import numpy as np
from refusal import Refusal
from work import Seen

from results.read_outs import field_of_view
from results.result_files import new_folder, safe_stem
from semidepth.media.meshes import Mesh, mesh_to_glb, points_to_glb, to_mesh, to_squares
from semidepth.media.point_clouds import FAR_OF_RELATIVE, depth_of_nearness, guessed_depth, to_ply, unproject

MOST_SIDE = 512  # pixels that become points; a browser turns so many around smoothly
TEXTURE_SIDE = 1536
# Gradio's viewer has a vertical field of view of 0.8 radians, and comes no nearer to what it turns about than this.
VIEWER_HALF, VIEWER_NEAREST = math.tan(0.4), 0.1
VIEWER_SHAPE = 1.4  # width / height of it on a desk


@dataclass(frozen=True)
class Scene:
    """Files of a scene.

    Args:
        glb: path.
        ply: path.
        points: number of points.
        triangles: number of triangles; 0 for a point cloud.
        note: facts about it for people.
        view: path of the GLB for the viewer, which turns it about a point in the middle distance.
        radius_m: distance from that point to the first view.
    """

    glb: str
    ply: str
    points: int
    triangles: int
    note: str
    view: str
    radius_m: float


def build_scene(
    seen: Seen,
    source: str,
    *,
    mesh: bool,
    given_deg: float | None,
    far: float | None,
    max_jump: float,
    point_size: float = 1.0,
) -> Scene:
    """Writes the files of a scene.

    Args:
        seen: picture and prediction.
        source: file whose name the results get.
        mesh: triangles with the picture on them; else points.
        given_deg: horizontal field of view; None: from the EXIF data, else guessed.
        far: leave out what is farther, metres; of relative models per cent of the way from the nearest to the
            farthest value; None: nothing is.
        max_jump: where depth jumps by more than this factor neighbours are not joined, and points without a neighbour
            are left out.
        point_size: of a point cloud in the viewer, as a share of the distance between neighbours in the photo.

    Raises:
        Refusal: nothing is left, or a number is out of range.
    """
    far_end, fov = cut_of(seen, far), field_of_view(seen.image, given_deg)
    image = seen.image.copy()
    image.thumbnail((TEXTURE_SIDE, TEXTURE_SIDE))
    depth = depth_of(seen)
    height, width = depth.shape
    step = max(1, -(-max(height, width) // MOST_SIDE))
    # Every n-th pixel, from the middle of its square on, so that nothing is averaged over an edge.
    picked = depth[step // 2 :: step, step // 2 :: step]
    grid = np.asarray(seen.image)[step // 2 :: step, step // 2 :: step]
    points = unproject(picked, fov.focal_px(width) / step)
    made = to_mesh(points, grid, max_jump=max_jump, far_m=far_end)
    middle = float(np.median(-made.vertices[:, 2])) if len(made.vertices) else 1.0
    try:
        glb = mesh_to_glb(made, np.asarray(image)) if mesh else points_to_glb(made.vertices, made.colors)
        # Points have no size in a GLB file, and are one pixel each on the screen: the viewer gets squares.
        spacing_m = -made.vertices[:, 2] * step / fov.focal_px(width)
        viewed = made if mesh else to_squares(made, point_size * spacing_m)
        view = mesh_to_glb(viewed, np.asarray(image), middle)
    except ValueError as error:
        raise Refusal(f"Nothing to show: {error}", title="3D") from error
    ply = to_ply(made.vertices, made.colors, made.faces if mesh else None)
    folder, stem = new_folder(), f"{safe_stem(source)}_{'mesh' if mesh else 'points'}"
    (folder / f"{stem}.glb").write_bytes(glb)
    (folder / f"{stem}.ply").write_bytes(ply)
    (folder / f"{stem}_view.glb").write_bytes(view)
    half = width / 2 / fov.focal_px(width)
    radius = first_radius(made.vertices, middle, half, half * height / width)
    note = told(seen, made, mesh, f"{fov.degrees:.0f}°, {fov.origin}")
    triangles = len(made.faces) if mesh else 0
    glb_path, ply_path, view_path = (str(folder / name) for name in (f"{stem}.glb", f"{stem}.ply", f"{stem}_view.glb"))
    return Scene(glb_path, ply_path, len(made.vertices), triangles, note, view_path, radius)


def first_radius(points: np.ndarray, middle_m: float, half_width: float, half_height: float) -> float:
    """Distance from the middle at which the viewer begins: the camera's, or less where that left a wide margin.

    Args:
        points: (N, 3) metres, the camera at the origin.
        middle_m: from the camera to the point about which the viewer turns.
        half_width: tangent of half the photo's horizontal field of view.
        half_height: of half the vertical one.
    """
    fills = max(half_width / (VIEWER_HALF * VIEWER_SHAPE), half_height / VIEWER_HALF)
    nearest = float(-points[:, 2].max())
    return float(max(middle_m * min(fills, 1), middle_m - nearest / 2, VIEWER_NEAREST))


def depth_of(seen: Seen) -> np.ndarray:
    """(H, W) metres, NaN beyond; for inverse depth a guess, from 1 for the nearest to 6 for the farthest."""
    values = seen.prediction.known()
    return values if seen.prediction.metric else guessed_depth(values)


def cut_of(seen: Seen, far: float | None) -> float | None:
    """The far end in the unit of `depth_of`.

    Raises:
        Refusal: it is not positive, or more than 100 per cent.
    """
    if far is None:
        return None
    if not far > 0 or (not seen.prediction.metric and far > 100):
        unit = "metres" if seen.prediction.metric else "per cent, at most 100"
        raise Refusal(f"The far end is {far:g}; give a positive number of {unit}.", title="3D")
    return far if seen.prediction.metric else float(depth_of_nearness(1 - far / 100))


def told(seen: Seen, made: Mesh, mesh: bool, fov: str) -> str:
    """Facts about a scene, for people."""
    count = f"{len(made.vertices):,} points" + (f", {len(made.faces):,} triangles" if mesh else "")
    count += ", without sky and what is too far to tell" if seen.prediction.beyond is not None else ""
    if seen.prediction.metric:
        return f"{count}. In metres; field of view {fov}."
    guess = f"the shape is a guess, with the farthest point {FAR_OF_RELATIVE:.0f} times as far as the nearest"
    return f"{count}. Field of view {fov}. This model has no unit: {guess}."
