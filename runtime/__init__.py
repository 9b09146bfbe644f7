"""Depth from an exported file, without torch: numpy, Pillow, and onnxruntime or openvino are all that it takes.

    from semidepth import runtime

    values, unit = runtime.load("exports/model.onnx").predict("photo.jpg")

This room imports nothing else of semidepth, so its files also work where they are copied alone.
"""

from .engines import Engine, Precision
from .model import Depth, RuntimeModel, load

__all__ = ["Depth", "Engine", "Precision", "RuntimeModel", "load"]
