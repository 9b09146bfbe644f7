"""The images that effects take."""

from torch import Tensor


def check_images(images: Tensor) -> None:
    """Raises ValueError unless the images are (B, 3, H, W) floating point; reads no values."""
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(
            f"Expected images (B, 3, H, W) in floating point between 0 and 1, got {tuple(images.shape)} of "
            f"{images.dtype}: for uint8 pass images.float() / 255."
        )
