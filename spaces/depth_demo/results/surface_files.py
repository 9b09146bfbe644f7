"""The surface as files: normals as a picture, and depth with normals as OpenEXR, which keeps every digit."""

import importlib.util

import numpy as np
from PIL import Image
from refusal import Refusal
from work import Seen

from results.read_outs import field_of_view
from results.result_files import new_folder, safe_stem
from results.scenes import depth_of
from semidepth.media.normals import normals, normals_picture

KINDS = ("normals", "exr")
HAS_EXR = importlib.util.find_spec("OpenEXR") is not None


def surface_file(kind: str, seen: Seen, given_deg: float | None, source: str) -> str:
    """Writes the surface of a picture as a file.

    Args:
        kind: "normals": a PNG in the colours of normal maps, x right, y up, z towards the camera; unknown is black.
            "exr": float32 channels NX, NY and NZ of these normals, NaN where unknown, and Z, metres, or disparity,
            inverse depth as the model gave it.
        seen: picture and prediction; the file has the upright picture's size.
        given_deg: horizontal field of view; None: from the EXIF data, else guessed.
        source: file whose name the result gets.

    Raises:
        Refusal: the field of view is none, or a package is missing.
    """
    prediction, fov = seen.prediction, field_of_view(seen.image, given_deg)
    found = normals(depth_of(seen), fov.focal_px(prediction.values.shape[1]))
    folder, stem = new_folder(), safe_stem(source)
    if kind == "normals":
        path = folder / f"{stem}_normals.png"
        Image.fromarray(normals_picture(found)).save(path, compress_level=2)
        return str(path)
    if not HAS_EXR:
        raise Refusal("This page was started without the package OpenEXR; pip install 'semidepth[exr]'.", title="EXR")
    import OpenEXR

    path = folder / f"{stem}_depth.exr"
    depth = {"Z" if prediction.metric else "disparity": prediction.values.astype(np.float32)}
    channels = depth | {f"N{axis}": found[..., number].copy() for number, axis in enumerate("XYZ")}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, channels) as file:
        file.write(str(path))
    return str(path)
