"""Our models as stock ones."""

from pathlib import Path

from transformers import AutoImageProcessor

from semidepth.modeling import DepthStudentForDepthEstimation


def to_stock(folder: Path, target: Path) -> None:
    """Writes a student as stock Depth Anything."""
    student = DepthStudentForDepthEstimation.from_pretrained(folder, use_safetensors=True)
    student.to_depth_anything().save_pretrained(target)
    AutoImageProcessor.from_pretrained(folder).save_pretrained(target)
