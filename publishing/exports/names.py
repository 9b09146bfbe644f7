"""Targets of `semidepth export` and the names of their files. Light to import."""

from typing import Literal, get_args

Target = Literal["onnx", "onnx-fp16", "onnx-int8", "openvino", "torch-export", "executorch"]
TARGETS: tuple[Target, ...] = get_args(Target)
# As onnx-community and optimum-intel have them.
FILES: dict[Target, str] = {
    "onnx": "model.onnx",
    "onnx-fp16": "model_fp16.onnx",
    "onnx-int8": "model_int8.onnx",
    "openvino": "openvino_model.xml",
    "torch-export": "model.pt2",
    "executorch": "model.pte",
}
PRECISION: dict[Target, str] = {"onnx-fp16": "float16", "onnx-int8": "int8"}  # of the others float32
