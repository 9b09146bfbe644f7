"""4M's transformer: what is seen goes through the encoder, what is asked for through the decoder.

It computes what apple/ml-4m's does (arXiv 2312.06647, 2406.09406) and has the names of its weights. What it does not do
is draw at random inside of `forward`: what is seen and what is asked for comes from outside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoBackbone, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from .configuration_four_m import FourMConfig
from .four_m_blocks import DecoderBlock, EncoderBlock
from .four_m_embeddings import InputEmbedding, ModalityEmbedding, TargetEmbedding, Tokens, as_row, sine_positions


@dataclass
class FourMOutput(ModelOutput):
    """Output of 4M; dicts have one entry for each modality with targets.

    Args:
        loss: scalar float32, of all modalities as `config.modality_loss` says; None without targets.
        losses: scalars float32, mean cross-entropy of a modality's targets, in nats.
        logits: (T, V) of all targets of a modality in the batch, sample by sample.
        index: (T, 2) long, sample and position of those targets; in a sequence, the position that is predicted.
        encoder_last_hidden_state: (B, S, C), the encoder's output; S is the most inputs of any sample.
    """

    loss: Tensor | None = None
    losses: dict[str, Tensor] | None = None
    logits: dict[str, Tensor] | None = None
    index: dict[str, Tensor] | None = None
    encoder_last_hidden_state: Tensor | None = None


@dataclass
class Encoded:
    """What the decoder reads of inputs.

    Args:
        hidden: (B, S, C), the encoder's output.
        context: (B, S, C), the same as the decoder reads it.
        mask: (B, 1, 1, S) true for tokens that are there.
    """

    hidden: Tensor
    context: Tensor
    mask: Tensor


class FourMPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation of 4M."""

    config: FourMConfig
    config_class = FourMConfig
    base_model_prefix = "four_m"
    main_input_name = "inputs"
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # As apple/ml-4m: Xavier's uniform, with the parts of qkv and kv each for itself, and normal embeddings.
        std = self.config.initializer_range
        if isinstance(module, nn.Linear):
            own = module.out_features // getattr(module, "parts", 1)
            bound = (6.0 / (own + module.in_features)) ** 0.5
            init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=std)
        elif isinstance(module, ModalityEmbedding):
            init.normal_(module.mod_emb, std=std)
            if module.modality.learned_positions:
                init.normal_(module.pos_emb, std=std)
            else:
                init.copy_(module.pos_emb, sine_positions(module.modality, self.config.hidden_size))
        elif isinstance(module, FourMTransformer):
            init.normal_(module.mask_token, std=std)
            if module.register_tokens is not None:
                init.normal_(module.register_tokens, std=std)


class FourMTransformer(FourMPreTrainedModel):
    """Encoder, decoder, and the embeddings of every modality."""

    def __init__(self, config: FourMConfig):
        super().__init__(config)
        modalities = config.modality_list
        given = {each.name: InputEmbedding(each, config) for each in modalities if each.is_input}
        asked = {each.name: TargetEmbedding(each, config) for each in modalities if each.predicted}
        self.encoder_embeddings = nn.ModuleDict(given)
        self.decoder_embeddings = nn.ModuleDict(asked)
        self._tied_weights_keys = {
            f"decoder_embeddings.{name}.mod_emb": f"encoder_embeddings.{name}.mod_emb"
            for name in given
            if name in asked
        }
        self.encoder = nn.ModuleList(EncoderBlock(config) for _ in range(config.encoder_layers))
        self.encoder_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=config.norm_bias)
        self.decoder_proj_context = nn.Linear(config.hidden_size, config.hidden_size)
        self.decoder = nn.ModuleList(DecoderBlock(config) for _ in range(config.decoder_layers))
        self.decoder_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=config.norm_bias)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        registers = config.num_register_tokens
        self.register_tokens = nn.Parameter(torch.zeros(1, registers, config.hidden_size)) if registers else None
        self.feature_encoder: Any = None
        if config.encoder_config is not None:
            self.feature_encoder = AutoBackbone.from_config(config.encoder_config, dtype=torch.get_default_dtype())
        self.post_init()

    @torch.no_grad()
    def encode_features(self, pixel_values: Tensor) -> Tensor:
        """Returns the frozen encoder's patches of images: the input of kind "features", to be kept over a training.

        Args:
            pixel_values: (B, 3, H, W), normalised as the encoder expects, of the modality's size.

        Returns:
            (B, N, E), row by row from the top left.

        Raises:
            ValueError: the model has no encoder, or the images are of another size.
        """
        if self.feature_encoder is None:
            raise ValueError("this model has no encoder of features; make it with encoder_config, or give features.")
        modality = next(each for each in self.config.modality_list if each.kind == "features")
        if tuple(pixel_values.shape[2:]) != (modality.image_size, modality.image_size):
            raise ValueError(
                f"{modality.name} is {tuple(pixel_values.shape)}; give (B, 3, {modality.image_size}, "
                f"{modality.image_size})."
            )
        found = self.feature_encoder(pixel_values.to(self.feature_encoder.dtype)).feature_maps[-1]
        found = found if found.ndim == 3 else found.flatten(2).transpose(1, 2)
        return found[:, -modality.num_tokens :]

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        input_positions: Mapping[str, Tensor] | None = None,
        targets: Mapping[str, Tensor] | None = None,
        target_positions: Mapping[str, Tensor] | None = None,
        return_dict: bool | None = None,
    ) -> FourMOutput | tuple[Any, ...]:
        """Predicts targets from inputs; cost follows what is seen and asked for, not the size of the maps.

        Args:
            inputs: by name: (B, C, H, W) pixels, also for features that the model's own encoder sees; (B, N, E)
                features or embeddings; (B, h, w) ids of a map, (B, L) of a sequence, negative where unknown or padding.
            input_positions: by name, (B, N) or (B, h, w) true for what is seen; without an entry: all.
            targets: by name, ids as in `inputs`. The first token of a sequence is given, each next one predicted from
                those before it.
            target_positions: by name, as input_positions, true for what is asked for. Of a map, nothing may be both.
            return_dict: False returns a tuple of what is there, `loss` first.

        Raises:
            ValueError: a modality that is not there or cannot be given or predicted, a wrong shape, positions of a map
                that are both seen and asked for.
        """
        targets = targets or {}
        self._check_apart(inputs, input_positions or {}, targets, target_positions or {})
        encoded = self.encode(inputs, input_positions)
        losses, logits, index, counts = {}, {}, {}, []
        for name, (found, labels, where) in self.decode(encoded, targets, target_positions).items():
            logits[name], index[name] = found, where
            if len(labels):
                losses[name] = F.cross_entropy(found.float(), labels)
                counts.append(len(labels))
        loss = None
        if losses:
            every = torch.stack(list(losses.values()))
            by_token = self.config.modality_loss == "token"
            weights = every.new_tensor(counts if by_token else [1.0] * len(counts))
            loss = (every * weights).sum() / weights.sum()
        output = FourMOutput(loss, losses or None, logits or None, index or None, encoded.hidden)
        return_dict = self.config.return_dict if return_dict is None else return_dict
        return output if return_dict else output.to_tuple()

    def encode(self, inputs: Mapping[str, Tensor], positions: Mapping[str, Tensor] | None = None) -> Encoded:
        """Runs the encoder on what is seen; arguments as in [`forward`]."""
        parts = []
        for name, values in inputs.items():
            modality = self.config.modality(name)
            if name not in self.encoder_embeddings:
                raise ValueError(f"{name} is no input of this model; it takes {', '.join(self.encoder_embeddings)}.")
            if modality.kind == "features" and values.ndim == 4:
                values = self.encode_features(values)
            embedding: Any = self.encoder_embeddings[name]
            parts.append(embedding(values, (positions or {}).get(name), read=self._may_wait(values)))
        if not parts:
            raise ValueError(f"no inputs are given; give some of {', '.join(self.encoder_embeddings)}.")
        tokens = Tokens.join(parts)
        tokens = tokens.take(tokens.order())
        if self.register_tokens is not None:
            own = self.register_tokens.expand(len(tokens.kept), -1, -1)
            there = torch.ones(own.shape[:2], dtype=torch.bool, device=own.device)
            tokens = Tokens.join([Tokens(own, torch.zeros_like(own), there), tokens])
        kept = tokens.kept.clone()
        # A sample without any input attends to one token of zeros, as the original does to its padding.
        kept[:, 0] |= ~kept.any(1)
        mask = kept[:, None, None]
        hidden = tokens.content + tokens.place
        for block in self.encoder:
            hidden = block(hidden, mask)
        hidden = self.encoder_norm(hidden)
        return Encoded(hidden, self.decoder_proj_context(hidden) + tokens.place, mask)

    def decode(
        self, encoded: Encoded, targets: Mapping[str, Tensor], positions: Mapping[str, Tensor] | None = None
    ) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        """For each modality its targets' logits, their ids and their (sample, position), as in [`FourMOutput`]."""
        if not targets:
            return {}
        parts, labels, places, numbers, causal = [], [], [], [], []
        for which, (name, ids) in enumerate(targets.items()):
            modality = self.config.modality(name)
            if name not in self.decoder_embeddings:
                raise ValueError(f"{name} cannot be predicted by this model; {', '.join(self.decoder_embeddings)} can.")
            embedding: Any = self.decoder_embeddings[name]
            asked = (positions or {}).get(name)
            tokens, ids, place = embedding(ids, asked, self.mask_token, read=self._may_wait(ids))
            parts.append(tokens)
            labels.append(ids)
            places.append(place.expand_as(ids))
            numbers.append(torch.full_like(ids, which))
            causal.append(torch.full_like(ids, modality.kind == "sequence", dtype=torch.bool))
        every = Tokens.join(parts)
        order = every.order()
        every = every.take(order)
        label, place, number, words = (torch.cat(e, 1).gather(1, order) for e in (labels, places, numbers, causal))
        mask = self._target_mask(number, words, every.kept)
        hidden = every.content + every.place
        for block in self.decoder:
            hidden = block(hidden, encoded.context, mask, encoded.mask)
        hidden = self.decoder_norm(hidden)
        found = {}
        for which, name in enumerate(targets):
            mine = every.kept & (number == which)
            layer: Any = self.decoder_embeddings[name]
            where = torch.stack([mine.nonzero()[:, 0], place[mine]], 1)
            found[name] = (layer.to_logits(hidden[mine]), label[mine].long(), where)
        return found

    def _target_mask(self, number: Tensor, words: Tensor, kept: Tensor) -> Tensor:
        """Returns (B, 1, T, T) true where a target may look: at its own modality, words only at those before them."""
        before = torch.ones(number.shape[1], number.shape[1], dtype=torch.bool, device=number.device).tril()
        mask = (number[:, :, None] == number[:, None]) & (before | ~words[:, :, None])
        if not self.config.decoder_separate_modalities:
            mask = mask | (number[:, :, None] > number[:, None])
        eye = torch.eye(number.shape[1], dtype=torch.bool, device=number.device)
        return ((mask & kept[:, None]) | eye)[:, None]  # padding sees itself, as a row of nothing would be NaN

    def _may_wait(self, values: Tensor) -> bool:
        """Whether values may be looked at: training on a device does not wait for it."""
        return not self.training or values.device.type == "cpu"

    def _check_apart(
        self, inputs: Mapping, input_positions: Mapping, targets: Mapping, target_positions: Mapping
    ) -> None:
        """Raises ValueError where a token of a map is both seen and asked for."""
        for name in targets:
            if name not in inputs or self.config.modality(name).kind != "map":
                continue
            both = (inputs[name].flatten(1) >= 0) & (targets[name].flatten(1) >= 0)
            for positions in (input_positions.get(name), target_positions.get(name)):
                both = both if positions is None else both & as_row(positions, both, name)
            if bool(both.any()):
                raise ValueError(
                    f"{int(both.sum())} tokens of {name} are both seen and asked for; give input_positions and "
                    "target_positions that do not overlap."
                )


__all__ = ["Encoded", "FourMOutput", "FourMPreTrainedModel", "FourMTransformer"]
