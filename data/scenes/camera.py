"""The camera, from light to photo: rays, exposure, colour cast, lens, sensor noise and tone curve."""

import torch

from semidepth.data.scenes.raycast import Vector
from semidepth.data.scenes.styles import Look
from semidepth.data.scenes.textures import hash_bits

LUMINANCE = (0.3, 0.6, 0.1)  # shares of linear red, green and blue


def pixel_rays(axes: torch.Tensor, pixel: torch.Tensor, height: int, width: int, first: int, last: int) -> Vector:
    """Directions through the centres of the pixels first ... last - 1 (row by row), one metre deep.

    The component along the optical axis is 1, so t along a ray is the z-depth.

    Args:
        axes: (B, 3, 3), rows right, up, forward.
        pixel: (B, 1), size of a pixel at one metre, metres.
        height, width: of the image, pixels.
        first, last: range of pixels.

    Returns:
        x, y, z, each (B, last - first), metres per metre of depth.
    """
    number = torch.arange(first, last, device=axes.device)
    row = torch.div(number, width, rounding_mode="floor")
    across = (number - row * width).float() + (0.5 - width / 2)
    above = (height / 2 - 0.5) - row.float()
    across, above = across * pixel, above * pixel  # (B, N)
    x, y, z = (
        axes[:, 2, axis, None] + axes[:, 0, axis, None] * across + axes[:, 1, axis, None] * above for axis in range(3)
    )
    return x, y, z


def photograph(light: torch.Tensor, look: Look, keys: torch.Tensor) -> torch.Tensor:
    """Turns linear light into an 8-bit picture.

    Args:
        light: (B, 3, H, W), linear, from 0 up; is overwritten.
        look: the scenes' appearance.
        keys: (B,), int32, for the sensor's noise.

    Returns:
        (B, 3, H, W), uint8 RGB.
    """
    height, width = light.shape[-2:]
    light = light * _exposure(light, look)
    red, green, blue = (light[:, None, channel] for channel in range(3))
    mix = look.mix[..., None, None]  # (B, 3, 3, 1, 1)
    light = mix[:, :, 0] * red + mix[:, :, 1] * green + mix[:, :, 2] * blue  # (B, 3, H, W)
    light *= _vignette(look, height, width, light.device)
    shown = light.clamp_(0.0, 1.0).sqrt_()
    soft = look.blur.nonzero().squeeze(-1)
    if len(soft):
        shown[soft] = _blurred(shown[soft], max(1, round(width / 160)))
    shown += _grain(look, keys, height, width)
    shown.clamp_(0.0, 1.0)
    shown += (shown * shown - shown) * look.gamma[:, None, None, None]
    curve = shown * shown * (3.0 - 2.0 * shown)
    shown += (curve - shown) * look.contrast[:, None, None, None]
    return (shown * 255.0 + 0.5).to(torch.uint8)


def _exposure(light: torch.Tensor, look: Look) -> torch.Tensor:
    """Brings the mean luminance to the camera's aim; summed in integers, which has no order of rounding."""
    red, green, blue = (light[:, c] * share for c, share in enumerate(LUMINANCE))
    luminance = red + green + blue
    total = (luminance.clamp(0.0, 4.0) * 4096.0).to(torch.int64).sum((-2, -1))
    mean = total.double() / (4096.0 * luminance[0].numel()) + 1e-3
    return (look.exposure.double() / mean).clamp(0.2, 8.0).float()[:, None, None, None]


def _vignette(look: Look, height: int, width: int, device: torch.device) -> torch.Tensor:
    """Darker towards the corners, (B, 1, H, W)."""
    y = (torch.arange(height, device=device).float() + 0.5) / height * 2.0 - 1.0
    x = (torch.arange(width, device=device).float() + 0.5) / width * 2.0 - 1.0
    radius = (x * x)[None, :] + (y * y)[:, None]
    return (1.0 / (1.0 + look.vignette[:, None, None] * radius))[:, None]


def _blurred(image: torch.Tensor, step: int) -> torch.Tensor:
    """A 1-2-1 filter along both axes, its taps `step` pixels apart."""
    for axis in (-1, -2):
        size = image.shape[axis]
        last = image.narrow(axis, size - 1, 1)
        first = image.narrow(axis, 0, 1)
        before = torch.cat([first] * step + [image.narrow(axis, 0, size - step)], axis)
        after = torch.cat([image.narrow(axis, step, size - step)] + [last] * step, axis)
        image = (before + after) * 0.25 + image * 0.5
    return image


def _grain(look: Look, keys: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Bell-shaped noise: the sum of the three low bytes of a hash, one hash per value; (B, 3, H, W)."""
    device = keys.device
    column = torch.arange(width, device=device, dtype=torch.int32)
    row = torch.arange(height, device=device, dtype=torch.int32)[:, None]
    channel = torch.arange(3, device=device, dtype=torch.int32)[:, None, None]
    bits = hash_bits(column, row + channel * 65521, keys[:, None, None, None])
    total = (bits & 255) + ((bits >> 8) & 255) + ((bits >> 16) & 255)
    spread = look.grain[:, None, None, None] / 128.0  # three uniform bytes: standard deviation 128
    return (total.float() - 382.5) * spread
