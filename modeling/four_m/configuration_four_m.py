"""Configuration of 4M: the modalities, each with its kind and its grid or length, and the sizes of the transformer."""

from dataclasses import dataclass, fields
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

# What a modality is to the transformer. Only maps and sequences of tokens can be predicted.
KINDS = ("pixels", "features", "map", "sequence", "embeddings")
PREDICTED = ("map", "sequence")
# Kinds that lie on a grid; the others are rows of words or vectors.
GRIDS = ("pixels", "features", "map")
LOSSES = ("modality", "token")
# Remote code: save_pretrained writes the entry of the class that was saved; the other loads the same folder, too.
AUTO_MAP = {
    "AutoModel": "modeling_four_m.FourMForAnyToAny",
    "AutoModelForDepthEstimation": "modeling_four_m.FourMForDepthEstimation",
}


@dataclass(frozen=True)
class Modality:
    """One entry of `FourMConfig.modalities`.

    Args:
        name: any without a dot, such as "tok_depth".
        kind: "pixels" (an image in patches, input only), "features" (patches of a frozen encoder, input only),
            "map" (tokens on a grid), "sequence" (words), "embeddings" (rows of vectors, input only).
        vocab_size: of maps and sequences.
        patch_size: pixels per side of a token, of what lies on a grid.
        image_size: pixels per side of the image behind it; None: the model's.
        max_tokens: most tokens of a sequence.
        channels: of pixels; width of features and embeddings.
        is_input: whether it can be given.
        is_target: whether it can be predicted; None: maps and sequences can.
        learned_positions: positions are weights, not sines; 4M-21's global features have it.
        start_id: the token that a generated sequence begins with: its first sentinel.
        end_id: the token behind its last word.
        tokenizer: fields of the [`ModalityTokenizerConfig`] whose tokens a map has; then the weights are the model's.
        classes: names of the classes of a map.
    """

    name: str
    kind: str
    vocab_size: int | None = None
    patch_size: int = 16
    image_size: int | None = None
    max_tokens: int = 256
    channels: int = 3
    is_input: bool = True
    is_target: bool | None = None
    learned_positions: bool = False
    start_id: int | None = None
    end_id: int | None = None
    tokenizer: dict[str, Any] | None = None
    classes: list[str] | None = None

    @property
    def predicted(self) -> bool:
        """Whether the model can predict it."""
        return self.kind in PREDICTED if self.is_target is None else self.is_target

    @property
    def side(self) -> int:
        """Tokens per side of its grid."""
        return (self.image_size or 0) // self.patch_size

    @property
    def num_tokens(self) -> int:
        """Tokens on its grid, or the most of a sequence."""
        return self.side**2 if self.kind in GRIDS else self.max_tokens

    def check(self) -> None:
        """Raises ValueError, in one sentence, for values that cannot be."""
        if self.kind not in KINDS:
            raise ValueError(f"modality {self.name!r} has kind {self.kind!r}; choose one of {', '.join(KINDS)}.")
        if not self.name or "." in self.name:
            raise ValueError(f"a modality is called {self.name!r}; give a name without dots, such as tok_depth.")
        if self.kind in PREDICTED and (self.vocab_size or 0) < 2:
            raise ValueError(f"modality {self.name!r} has vocab_size {self.vocab_size}; give the tokens it can have.")
        if self.kind not in PREDICTED and self.predicted:
            raise ValueError(f"modality {self.name!r} is of kind {self.kind!r}, which cannot be predicted.")
        if not self.is_input and not self.predicted:
            raise ValueError(f"modality {self.name!r} is neither input nor target; leave it out.")
        if self.kind in GRIDS and (self.patch_size < 1 or (self.image_size or 0) % self.patch_size or self.side < 1):
            raise ValueError(
                f"modality {self.name!r} has image_size {self.image_size} and patch_size {self.patch_size}; give a "
                "size that is a multiple of the patch."
            )


@strict
class FourMConfig(PreTrainedConfig):
    """Configuration of [`FourMForAnyToAny`]; the defaults are 4M's tiny size.

    Args:
        modalities: dicts with the fields of [`Modality`], in any order. Default: 224 px RGB, depth, normals, classes
            and captions with the vocabularies of the 4M-7 models.
        image_size: pixels per side of all images and maps whose modality has no own.
        hidden_size: width of the transformer.
        encoder_layers: number of them.
        decoder_layers: number of them.
        num_attention_heads: heads of every attention.
        mlp_ratio: width of the MLPs, in hidden_size; two thirds of it where they are gated.
        gated_mlp: SwiGLU (SiLU) instead of a plain MLP (GELU).
        qk_norm: normalise queries and keys.
        qkv_bias: the projections to queries, keys and values have a bias.
        proj_bias: the projections behind attentions have one.
        mlp_bias: the MLPs have one.
        norm_bias: the layer norms have one.
        num_register_tokens: further learned tokens that the encoder sees.
        decoder_separate_modalities: targets attend within their own modality alone.
        modality_loss: "modality" (mean over modalities of their means) or "token" (mean over tokens).
        encoder_config: configuration of the frozen backbone whose patches are the modality of kind "features", or the
            dict of one. None: features are given as they are.

    Raises:
        ValueError: a modality or a size that cannot be, which is named.
    """

    model_type = "four_m"

    modalities: list[dict] | None = None
    image_size: int = 224
    hidden_size: int = 384
    encoder_layers: int = 6
    decoder_layers: int = 6
    num_attention_heads: int = 6
    mlp_ratio: float | int = 4.0
    gated_mlp: bool = True
    qk_norm: bool = False
    qkv_bias: bool = False
    proj_bias: bool = False
    mlp_bias: bool = False
    norm_bias: bool = False
    num_register_tokens: int = 0
    decoder_separate_modalities: bool = True
    modality_loss: str = "modality"
    encoder_config: dict | PreTrainedConfig | None = None
    layer_norm_eps: float = 1e-6
    initializer_range: float = 0.02
    # The modality embeddings of encoder and decoder are one tensor, as in apple/ml-4m.
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs):
        self.auto_map = AUTO_MAP | (kwargs.pop("auto_map", None) or {})
        if self.modalities is None:
            self.modalities = [dict(each) for each in DEFAULT_MODALITIES]
        if isinstance(self.encoder_config, dict):
            settings = dict(self.encoder_config)
            kind = settings.pop("model_type", None)
            if kind not in CONFIG_MAPPING:
                raise ValueError(f"encoder_config has model_type {kind!r}; give the configuration of a backbone.")
            self.encoder_config = CONFIG_MAPPING[kind](**settings)
        super().__post_init__(**kwargs)

    @property
    def modality_list(self) -> list[Modality]:
        """The modalities, in the order of the configuration."""
        known = {each.name for each in fields(Modality)}
        made = []
        for entry in self.modalities or []:
            unknown = sorted(entry.keys() - known)
            if unknown or not {"name", "kind"} <= entry.keys():
                raise ValueError(
                    f"the modality {entry} has no name and kind, or fields that are not known ({unknown}); give some "
                    f"of {', '.join(sorted(known))}."
                )
            made.append(Modality(**(entry | {"image_size": entry.get("image_size") or self.image_size})))
        return made

    def modality(self, name: str) -> Modality:
        """Returns the modality of a name, or raises ValueError with the names that there are."""
        for each in self.modality_list:
            if each.name == name:
                return each
        there = ", ".join(each.name for each in self.modality_list)
        raise ValueError(f"this model has no modality {name!r}; it has {there}.")

    def validate_modalities(self) -> None:
        """Part of `@strict` validation: names that are apart, and each modality's own check."""
        for each in self.modality_list:
            each.check()
        names = [each.name for each in self.modality_list]
        if len(set(names)) < len(names):
            raise ValueError(f"two modalities have one name, of {', '.join(names)}; give each its own.")
        if not any(each.predicted for each in self.modality_list):
            raise ValueError("no modality can be predicted; give one of kind map or sequence.")
        if not any(each.is_input for each in self.modality_list):
            raise ValueError("no modality can be given; let one be an input.")
        seen = [each for each in self.modality_list if each.kind == "features"]
        if self.encoder_config is not None and len(seen) != 1:
            raise ValueError(f"encoder_config is there and {len(seen)} modalities of kind features; give one.")

    def validate_sizes(self) -> None:
        """Part of `@strict` validation: what divides what."""
        if self.hidden_size % 4 or self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size is {self.hidden_size}; give a multiple of 4 and of the {self.num_attention_heads} heads."
            )
        if self.modality_loss not in LOSSES:
            raise ValueError(f"modality_loss is {self.modality_loss!r}; choose one of {', '.join(LOSSES)}.")


DEFAULT_MODALITIES: tuple[dict[str, Any], ...] = (
    {"name": "rgb", "kind": "pixels"},
    {"name": "tok_depth", "kind": "map", "vocab_size": 8192},
    {"name": "tok_normal", "kind": "map", "vocab_size": 8192},
    {"name": "tok_semantic", "kind": "map", "vocab_size": 4096},
    {"name": "caption", "kind": "sequence", "vocab_size": 30000},
)


__all__ = ["FourMConfig", "Modality"]
