"""Losses and augmentation of a relative model on its card, in words."""

from semidepth.publishing.facts import Facts

# The terms of `training.losses.table` but the first, which every run has.
TERMS = {
    "gradient": "the multi-scale gradient matching loss",
    "local_4": "the same loss in each of 4 x 4 windows",
    "local_16": "the same loss in each of 16 x 16 windows",
    "local_64": "the same loss in each of 64 x 64 windows",
    "edge": "the loss on edges",
    "normal": "the loss on normals",
    "sky": "the loss on sky",
}
EFFECTS = {"depth_of_field": "depth of field", "shot_noise": "shot noise", "blur": "lost resolution", "jpeg": "JPEG"}


def loss_weights(facts: Facts) -> dict[str, float]:
    """Returns the weights of the losses beside the affine-invariant one, by name."""
    recorded = facts.results.get("losses")
    if recorded is None:  # runs before losses had presets: one weight among their options
        recorded = {"gradient": facts.options.get("gradient_matching_weight")}
    return {name: weight for name, weight in recorded.items() if name != "affine" and weight}


def losses_text(facts: Facts) -> str:
    """Returns the losses with their weights, such as `affine-invariant loss on inverse depth, plus 2 x …`."""
    parts = [f"{weight:g} x {TERMS.get(name, name)}" for name, weight in loss_weights(facts).items()]
    return ", plus ".join(["affine-invariant loss on inverse depth", *parts])


def effects_text(facts: Facts, prefix: str = "") -> str:
    """Returns what is done to labeled (`labeled_`) or other images beside colours and cutting; empty without any."""
    parts = [EFFECTS.get(name, name) for name in facts.options.get(f"{prefix}camera_effects") or ()]
    smallest = facts.options.get(f"{prefix}smallest_crop")
    if smallest is not None and smallest < 1:
        parts.append(f"crops from {smallest:.0%} of the shorter side on")
    if angle := facts.options.get(f"{prefix}rotation_deg"):
        parts.append(f"turned by up to {angle:g} degrees")
    if prefix and (strength := facts.options.get(f"{prefix}jitter_strength")):
        parts.append(f"colour jitter of {strength:g}")
    return ", ".join(parts)
