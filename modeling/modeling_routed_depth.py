"""Metric depth on a relative core: a bin head for each domain, and a router that picks one for each image.

ZoeDepth (arXiv 2302.12288) with two limits lifted: it trains, and an image's depth does not depend on its neighbours in
the batch (stock `ZoeDepthForDepthEstimation` sums the router's logits over the batch and refuses labels).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel, ZoeDepthForDepthEstimation
from transformers import initialization as init
from transformers.utils import ModelOutput

from .configuration_routed_depth import LEVELS, RoutedDepthConfig
from .depth_cores import (
    CoreFeatures,
    StandardSummary,
    config_of_zoedepth,
    core_channels,
    core_features,
    make_core,
    stock_of_routed,
    weights_of_zoedepth,
)
from .losses import silog_loss_by_domain
from .metric_bins import DomainRouter, MetricHead, Mlp
from .modeling_depth_student import DepthStudentForDepthEstimation


@dataclass
class RoutedDepthOutput(ModelOutput):
    """Output of the routed model.

    Args:
        loss: scalar float32, SILog plus the router's weighted cross-entropy; only with `labels`.
        predicted_depth: (B, H, W) float32 metres, larger is farther.
        relative_depth: (B, H, W) float32, the core's inverse depth, larger is nearer, no unit.
        domain_logits: (B, D) float32, the router's; zeros where there is one domain.
        domain: (B,) int64, index in `config.domains` of the head that was used.
    """

    loss: Tensor | None = None
    predicted_depth: Tensor | None = None
    relative_depth: Tensor | None = None
    domain_logits: Tensor | None = None
    domain: Tensor | None = None


class RoutedDepthPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation shared by the routed classes."""

    config: RoutedDepthConfig
    config_class = RoutedDepthConfig
    base_model_prefix = "routed_depth"
    main_input_name = "pixel_values"
    input_modalities = ("image",)  # type: ignore[assignment]
    supports_gradient_checkpointing = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # The core is a PreTrainedModel and initialises itself; here are the heads and the router.
        if isinstance(module, RoutedDepthForDepthEstimation):
            init.ones_(module.core_scales)
        if isinstance(module, StandardSummary):
            init.zeros_(module.mean)
            init.ones_(module.spread)
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            init.normal_(module.weight, std=getattr(module, "init_gain", 1.0) / math.sqrt(fan_in))
            if module.bias is not None:
                biases = getattr(module, "init_biases", None)
                init.copy_(module.bias, torch.zeros(len(module.bias)) if biases is None else torch.tensor(biases))
        else:
            super()._init_weights(module)


class RoutedDepthForDepthEstimation(RoutedDepthPreTrainedModel):
    """A relative core, one metric head per domain, and from two domains on a router."""

    core_scales: Tensor

    def __init__(self, config: RoutedDepthConfig):
        super().__init__(config)
        self.core = make_core(config.core_config)
        bottleneck, block, activation = core_channels(config.core_config)
        embedding = config.bin_embedding_dim
        self.bottleneck = nn.Conv2d(bottleneck, bottleneck, kernel_size=1)
        self.seed_projector = Mlp(bottleneck, config.projector_hidden_size, embedding)
        self.projectors = nn.ModuleList(
            Mlp(block, config.projector_hidden_size, embedding) for _ in config.num_attractors
        )
        maps, domains = activation + int(config.relative_conditioning), config.domains or []
        summary: int = 2 * self.core.backbone.channels[-1]  # type: ignore[union-attr, index, assignment]
        self.heads = nn.ModuleList(MetricHead(domain, config, bottleneck, maps, summary) for domain in domains)
        router = (
            config.router_hidden_size, config.router_layers, config.router_heads, config.router_intermediate_size,
        )  # fmt: skip
        self.router = DomainRouter(bottleneck, len(domains), *router) if len(domains) > 1 else None
        self.register_buffer("core_scales", torch.ones(LEVELS + 3))  # see `measure_core_scales`
        self.image_summary = StandardSummary(summary) if config.image_scale else None
        # True until a fresh model's scales are measured, at the latest in the first training forward.
        self.scales_unmeasured = False
        self.post_init()

    @classmethod
    def from_student(cls, student: str | DepthStudentForDepthEstimation, domains: list[dict], **fields: Any):
        """A metric model on a trained relative student, heads and router fresh.

        The first forward in training mode measures the scale of the core's maps on its batch, unless
        [`measure_core_scales`] did on more images before.

        Args:
            student: the model, or id or folder of one (ours or stock Depth Anything V1 / V2).
            domains: one dict per head, see `check_domains`.
            fields: further fields of [`RoutedDepthConfig`].

        Returns:
            The model; the student's weights are copied.

        Raises:
            ValueError: for domains that cannot be, or a checkpoint that is metric already.
        """
        if isinstance(student, str):
            student = DepthStudentForDepthEstimation.from_pretrained(student, use_safetensors=True)
        if student.config.depth_estimation_type != "relative":
            raise ValueError(
                "this checkpoint predicts metres already; give a relative student, or fine-tune it as it is."
            )
        # A student's inverse depth has an arbitrary scale.
        fields = {"relative_conditioning": False, "image_scale": True} | fields
        core_config = type(student.config)(**student.config.to_dict())
        model = cls(RoutedDepthConfig(core_config=core_config, domains=domains, **fields))
        model.core.load_state_dict(student.state_dict())
        model.scales_unmeasured = True
        return model

    @classmethod
    def from_zoedepth(cls, model: str | ZoeDepthForDepthEstimation):
        """A stock ZoeDepth checkpoint as a routed model: same numbers for one image, trainable from there.

        Args:
            model: the stock model, or its id or folder, such as "Intel/zoedepth-nyu-kitti".
        """
        if isinstance(model, str):
            model = ZoeDepthForDepthEstimation.from_pretrained(model, use_safetensors=True)
        routed = cls(config_of_zoedepth(model.config))
        routed.load_state_dict(weights_of_zoedepth(model.state_dict(), routed.config))
        return routed.to(dtype=model.dtype).eval()  # type: ignore[call-arg]

    def to_zoedepth(self) -> ZoeDepthForDepthEstimation:
        """The stock class with this model's weights, in evaluation mode; only with a MiDaS core.

        Raises:
            ValueError: for a student core, or settings that the stock class does not have.
        """
        return stock_of_routed(self)

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        domain_labels: Tensor | Sequence[int] | None = None,
        return_dict: bool | None = None,
    ) -> RoutedDepthOutput | tuple[Tensor, ...]:
        """Predicts metres; each image through its own domain's head.

        Each head runs once, on its own images, so nothing depends on the rest of the batch. With `domain_labels` in a
        list or on the CPU nothing waits for the device. A head without images gets no gradient.

        Args:
            pixel_values: (B, 3, H, W), normalised as the core expects.
            labels: (B, H', W') metres, unknown where NaN, 0 or infinite; the prediction is resized to them.
            domain_labels: (B,) whole numbers, the index of each image's domain; None lets the router choose.
            return_dict: False returns a tuple of what is there, `loss` first.

        Returns:
            [`RoutedDepthOutput`].

        Raises:
            ValueError: for domain labels of another length or out of range; for labels without them, of another shape,
                or of images whose sides are no multiples of the patch, since the core leaves their edge out.
        """
        if domain_labels is None and labels is not None and self.router is not None:
            raise ValueError("labels came without domain_labels; give each image's domain for the router.")
        if labels is not None and (labels.ndim != 3 or len(labels) != len(pixel_values)):
            raise ValueError(
                f"labels are {tuple(labels.shape)} for {len(pixel_values)} images; give metres as (B, H, W)."
            )
        core = core_features(self.core, pixel_values)
        sides, seen = tuple(pixel_values.shape[2:]), tuple(core.relative.shape[1:])
        if labels is not None and sides != seen:
            raise ValueError(f"images are {sides} and the core sees {seen} of them; give multiples of its patch.")
        if self.training and self.scales_unmeasured:
            self._set_scales([(core.mean_squares(), core.image)])
        predicted, logits, chosen = self.metres(core, domain_labels)
        domain = torch.tensor(chosen).to(predicted.device, non_blocking=True)
        loss = None if labels is None else self._loss(predicted, labels, logits, domain, chosen)
        output = RoutedDepthOutput(
            loss=loss, predicted_depth=predicted, relative_depth=core.relative, domain_logits=logits, domain=domain
        )
        return_dict = self.config.return_dict if return_dict is None else return_dict
        return output if return_dict else output.to_tuple()

    @torch.no_grad()
    def measure_core_scales(self, *batches: Tensor) -> Tensor:
        """Measures the core's maps, so that fresh heads see maps of size 1 whatever the core's own scale.

        Only for heads that are not trained yet.

        Args:
            batches: (B, 3, H, W) each, as in [`forward`]; all count the same.

        Returns:
            (7,) the scales, root mean squares; 1 for a map that is all zeros.
        """
        cores = (core_features(self.core, batch) for batch in batches)  # one at a time: their maps are large
        self._set_scales([(core.mean_squares(), core.image) for core in cores])
        return self.core_scales

    @torch.no_grad()
    def _set_scales(self, measured: list[tuple[Tensor, Tensor | None]]) -> None:
        squares = torch.stack([each for each, _ in measured]).mean(0)
        self.core_scales.copy_(torch.where(squares > 0, squares.sqrt(), 1.0))
        if self.image_summary is not None:
            self.image_summary.measure(torch.cat([image for _, image in measured if image is not None]))
        self.scales_unmeasured = False

    def metres(
        self, core: CoreFeatures, domain_labels: Tensor | Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor, list[int]]:
        """Router and heads on the core's maps.

        Args:
            core: from [`core_features`].
            domain_labels: (B,) index of each image's domain; None lets the router choose.

        Returns:
            (B, H, W) float32 metres, (B, D) float32 logits, and the index of each image's head.
        """
        core = core.divided(self.core_scales)
        bottleneck = self.bottleneck(core.bottleneck)
        if self.router is None:
            logits = bottleneck.new_zeros(len(bottleneck), 1, dtype=torch.float32)
        else:
            logits = self.router(bottleneck)
        chosen = self._choose(logits, domain_labels)
        return self._metres(core, bottleneck, chosen), logits, chosen

    def _choose(self, logits: Tensor, domain_labels: Tensor | Sequence[int] | None) -> list[int]:
        """Index of each image's head, on the host."""
        if domain_labels is None:
            return [0] * len(logits) if self.router is None else logits.argmax(1).tolist()
        chosen = domain_labels.tolist() if isinstance(domain_labels, Tensor) else list(domain_labels)
        if len(chosen) != len(logits) or not all(index in range(len(self.heads)) for index in chosen):
            raise ValueError(
                f"domain_labels are {chosen} for {len(logits)} images; give each a whole number from 0 to "
                f"{len(self.heads) - 1}, the index in config.domains."
            )
        return [int(index) for index in chosen]

    def _metres(self, core: CoreFeatures, bottleneck: Tensor, chosen: list[int]) -> Tensor:
        """(B, H, W): the projectors run on the whole batch, each head on its own images."""
        maps = (core.activation, core.relative[:, None]) if self.config.relative_conditioning else (core.activation,)
        seed = self.seed_projector(bottleneck)
        embeddings = [projector(block) for projector, block in zip(self.projectors, core.blocks, strict=True)]
        image = None if self.image_summary is None else self.image_summary(core)

        def run(head: int, rows: Tensor | None) -> Tensor:
            def pick(x: Tensor) -> Tensor:
                return x if rows is None else x.index_select(0, rows)

            summaries = None if image is None else pick(image)
            own = (pick(bottleneck), pick(seed), [*map(pick, embeddings)], tuple(map(pick, maps)))
            return self.heads[head](*own, summaries)

        if len(set(chosen)) == 1:
            return run(chosen[0], None)
        parts, order = [], []
        for index in sorted(set(chosen)):
            members = [place for place, head in enumerate(chosen) if head == index]
            parts.append(run(index, torch.tensor(members).to(bottleneck.device, non_blocking=True)))
            order += members
        back = torch.tensor(order).argsort().to(bottleneck.device, non_blocking=True)
        return torch.cat(parts).index_select(0, back)

    def _loss(self, predicted: Tensor, labels: Tensor, logits: Tensor, domain: Tensor, chosen: list[int]) -> Tensor:
        if labels.shape[1:] != predicted.shape[1:]:
            predicted = F.interpolate(predicted[:, None], labels.shape[1:], mode="bilinear", align_corners=True)[:, 0]
        loss = silog_loss_by_domain(predicted, labels, chosen)
        if self.router is None:
            return loss
        return loss + self.config.router_loss_weight * F.cross_entropy(logits, domain)


__all__ = ["RoutedDepthForDepthEstimation", "RoutedDepthOutput"]
