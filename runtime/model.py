"""An exported model behind two calls: load, predict."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from .checks import check_about, damaged
from .engines import Engine, Library, Precision, open_engine
from .pixels import enlarge, is_finite, to_pixels, to_rgb

Unit = Literal["m", "inverse depth"]
# In a folder of exports the first that is there is taken.
NAMES = ("model.onnx", "openvino_model.xml", "model_fp16.onnx", "model_int8.onnx")
NEEDED = ("kind", "preprocessing", "domains")


class Depth(NamedTuple):
    """Depth of one image.

    Args:
        values: (H, W) float32 at the image's size as it is seen: metres (larger is farther), or inverse depth without
            a unit, up to a scale and a shift (larger is nearer).
        unit: "m" or "inverse depth".
    """

    values: np.ndarray
    unit: Unit


class RuntimeModel:
    """An exported model, by [`load`].

    Attributes:
        engine: the graph; `engine.metadata` is what the file says of itself.
        unit: of the values that it predicts.
        domains: names of a metric model's heads; empty for others.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.unit: Unit = "m" if engine.metadata["kind"] == "metres" else "inverse depth"
        self.domains = [domain["name"] for domain in engine.metadata["domains"]]

    def predict(self, image: str | Path | Image.Image | np.ndarray, domain: str | None = None) -> Depth:
        """Returns depth of one image.

        Args:
            image: a path, a Pillow image, or (H, W, 3), (H, W, 4) or (H, W) uint8.
            domain: metric head to use, instead of the router's choice.

        Returns:
            Values and their unit, see [`Depth`].

        Raises:
            ValueError: the image cannot be read, there is no such head, or the prediction is not finite.
        """
        if domain is not None and domain not in self.domains:
            has = f"has {', '.join(self.domains)}" if self.domains else "has no domains"
            raise ValueError(f"the domain is {domain!r} and the model {has}; leave it out to let the model choose.")
        picture = to_rgb(image)
        found = self.engine.run(to_pixels(picture, self.engine.metadata["preprocessing"]))
        values = found["predicted_depth"][0]
        if domain is not None and len(self.domains) > 1:
            values = found["depth_by_domain"][0, self.domains.index(domain)]
        if not is_finite(values):
            raise ValueError("the model's prediction is not finite; export it again, or take another precision.")
        return Depth(enlarge(values.astype(np.float32, copy=False), picture.height, picture.width), self.unit)


def load(
    path: str | Path,
    *,
    runtime: Library | None = None,
    precision: Precision = "float32",
    threads: int | None = None,
) -> RuntimeModel:
    """Loads a file that `semidepth export` made, without torch.

    Args:
        path: a .onnx file, an OpenVINO .xml file, or the folder of exports, of which model.onnx is taken first.
        runtime: "onnx" (onnxruntime) or "openvino", which reads both formats; None: that of the file's format.
        precision: in which OpenVINO computes; onnxruntime computes as the file says.
        threads: of the processor; None: as many as the library takes.

    Raises:
        ValueError: in one sentence, where file or library is missing, the file does not say how to prepare pixels, or
            it is not as FILE.json beside it says.
    """
    file = Path(path)
    if file.is_dir():
        file = next((file / name for name in NAMES if (file / name).is_file()), file / NAMES[0])
    changed = damaged(file)
    if changed:
        raise ValueError(f"{file} is damaged (content has changed: {', '.join(changed)}); export it again.")
    engine = open_engine(file, runtime, threads, precision)
    missing = [f"semidepth.{key}" for key in NEEDED if key not in engine.metadata]
    if missing:
        raise ValueError(f"{file} does not say {', '.join(missing)} in its metadata; make it with `semidepth export`.")
    check_about(file, engine.metadata)
    return RuntimeModel(engine)
