"""Configuration of routed metric depth: a relative core, and the domains that have a metric head each."""

import math
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig, ZoeDepthConfig

from .configuration_depth_student import DepthStudentConfig

# Remote code: save_pretrained writes the entry of AutoModelForDepthEstimation by itself; AutoModel's must be named.
AUTO_MAP = {"AutoModel": "modeling_routed_depth.RoutedDepthForDepthEstimation"}
CORES = {"depth_student": DepthStudentConfig, "zoedepth": ZoeDepthConfig}
BIN_CENTERS_TYPES = ("softplus", "normed")
DOMAIN_DEFAULTS: dict[str, Any] = {
    "n_bins": 64,
    "min_depth_m": 1e-3,
    "max_depth_m": 10.0,
    "bin_centers_type": "softplus",
}
LEVELS = 4


def check_domains(domains: Any) -> list[dict[str, Any]]:
    """The domains with their defaults filled in.

    Args:
        domains: dicts with `name`, and of choice `n_bins` (64), `min_depth_m` (0.001), `max_depth_m` (10) and
            `bin_centers_type`: "softplus" (unbounded centres) or "normed" (centres within the range).

    Raises:
        ValueError: for an empty list, a missing or repeated name, an unknown key, or a value out of range.
    """
    if not isinstance(domains, (list, tuple)) or not domains:
        raise ValueError(f"domains is {domains!r}; give a list of at least one, such as [{{'name': 'indoor'}}].")
    filled: list[dict[str, Any]] = []
    for domain in domains:
        if not isinstance(domain, dict) or not isinstance(domain.get("name"), str) or not domain["name"].strip():
            raise ValueError(f"a domain is {domain!r}; give a dict with a name, such as {{'name': 'indoor'}}.")
        name = domain["name"]
        unknown = sorted(set(domain) - {"name", *DOMAIN_DEFAULTS})
        if unknown:
            raise ValueError(
                f"domain {name!r} has unknown keys {unknown}; known are {sorted(DOMAIN_DEFAULTS)} and name."
            )
        if name in (other["name"] for other in filled):
            raise ValueError(f"two domains are called {name!r}; give each a name of its own.")
        domain = DOMAIN_DEFAULTS | domain
        if type(domain["n_bins"]) is not int or domain["n_bins"] < 2:
            raise ValueError(f"domain {name!r} has n_bins {domain['n_bins']!r}; give a whole number, at least 2.")
        for key in ("min_depth_m", "max_depth_m"):
            if type(domain[key]) not in (int, float):
                raise ValueError(f"domain {name!r} has {key} {domain[key]!r}; give a number of metres.")
        if not 0 < domain["min_depth_m"] < domain["max_depth_m"] < math.inf:
            raise ValueError(
                f"domain {name!r} goes from {domain['min_depth_m']} to {domain['max_depth_m']} m; give a positive "
                "min_depth_m below max_depth_m."
            )
        if domain["bin_centers_type"] not in BIN_CENTERS_TYPES:
            raise ValueError(
                f"domain {name!r} has bin_centers_type {domain['bin_centers_type']!r}; choose softplus or normed."
            )
        filled.append(domain)
    return filled


@strict
class RoutedDepthConfig(PreTrainedConfig):
    """Configuration of [`RoutedDepthForDepthEstimation`].

    Args:
        core_config: the relative core: a [`DepthStudentConfig`] or a stock `ZoeDepthConfig` (its MiDaS core), or the
            dict of one. Default: a student of ViT-S size.
        domains: one dict per metric head, see [`check_domains`]; one domain has no router.
        bin_embedding_dim: channels of the bin embeddings.
        seed_hidden_size: hidden channels of the seed bin regressors.
        projector_hidden_size: hidden channels of the projectors.
        num_attractors: attractors of each level, coarse to fine.
        attractor_alpha: strength of the attractors; 300 in all released weights.
        attractor_kind: "mean" or "sum" over the attractors.
        relative_conditioning: whether the mixture also sees the relative depth.
        image_scale: whether each head multiplies its bin centres by one number an image, see `ImageScale`. Stock
            ZoeDepth has none.
        log_binomial_factor: how many times fewer hidden channels its MLP has than inputs.
        min_temp: smallest temperature of the mixture.
        max_temp: largest.
        router_hidden_size: width of the router.
        router_layers: its layers.
        router_heads: its attention heads.
        router_intermediate_size: its MLP's width.
        router_loss_weight: of its cross-entropy beside SILog (100 in ZoeDepth's two-domain training).

    Raises:
        ValueError: as [`check_domains`] does, or for a core of another kind.
    """

    model_type = "routed_depth"
    sub_configs = {"core_config": DepthStudentConfig}  # noqa: RUF012 - transformers' own convention

    core_config: dict | PreTrainedConfig | None = None
    domains: list[dict] | None = None
    bin_embedding_dim: int = 128
    seed_hidden_size: int = 256
    projector_hidden_size: int = 128
    num_attractors: list[int] | tuple[int, ...] = (16, 8, 4, 1)
    attractor_alpha: float | int = 300.0
    attractor_kind: str = "mean"
    relative_conditioning: bool = True
    image_scale: bool = False
    log_binomial_factor: int = 2
    min_temp: float = 0.0212
    max_temp: float = 50.0
    router_hidden_size: int = 128
    router_layers: int = 4
    router_heads: int = 4
    router_intermediate_size: int = 1024
    router_loss_weight: float | int = 100.0

    def __post_init__(self, **kwargs):
        self.auto_map = AUTO_MAP | (kwargs.pop("auto_map", None) or {})
        if self.core_config is None:
            self.core_config = DepthStudentConfig()
        if isinstance(self.core_config, dict):
            fields = dict(self.core_config)
            kind = fields.pop("model_type", None)
            if kind not in CORES:
                raise ValueError(f"core_config has model_type {kind!r}; choose one of {', '.join(CORES)}.")
            self.core_config = CORES[kind](**fields)
        self.domains = check_domains([{"name": "depth"}] if self.domains is None else self.domains)
        if len(self.num_attractors) != LEVELS:
            raise ValueError(f"num_attractors is {list(self.num_attractors)}; give {LEVELS} numbers, coarse to fine.")
        super().__post_init__(**kwargs)


__all__ = ["RoutedDepthConfig", "check_domains"]
