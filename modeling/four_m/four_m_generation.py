"""How 4M makes modalities of others: maps at once, by confidence or in random order; words one after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .four_m_embeddings import UNKNOWN
from .four_m_sampling import NOT_FINITE, Sampling, any_of, one_hot
from .four_m_transformer import Encoded


@dataclass
class Generated:
    """One modality that was made.

    Args:
        ids: (B, h, w) of a map; (B, L) of a sequence without its first sentinel, with its end, -100 behind it.
        values: what the modality's tokenizer makes of them, such as (B, H, W) metres; None without one.
        probabilities: (B, h, w, V) of a map that was made in one step, 0 or 1 where it was known; else None.
    """

    ids: Tensor
    values: Tensor | None = None
    probabilities: Tensor | None = None


class FourMGeneration:
    """`generate` and `complete` of [`FourMForAnyToAny`].

    Not transformers' `GenerationMixin`, which presumes one sequence of tokens; keywords that mean the same have its
    names.
    """

    @torch.no_grad()
    def generate(
        self: Any,
        given: Mapping[str, Tensor],
        wanted: Sequence[str],
        *,
        given_positions: Mapping[str, Tensor] | None = None,
        steps: int | Mapping[str, int] = 1,
        schedule: str = "cosine",
        order: str = "confidence",
        temperature: float = 0.0,
        top_p: float = 0.0,
        guidance: float = 1.0,
        soft: bool = True,
        chain: bool = True,
        max_words: int | None = None,
        generator: torch.Generator | None = None,
        require_finite: bool = True,
    ) -> dict[str, Generated]:
        """Makes modalities of others, one after the other, each of what is given and what was made before it.

        Args:
            given: as `inputs` of [`forward`]; [`tokenize`] makes ids of maps.
            wanted: names, in the order in which they are made. A map that is also given is made where its ids are
                negative or `given_positions` are false.
            given_positions: as `input_positions` of [`forward`].
            steps: of maps, or by name. One step predicts every token at once; more reveal them by the schedule, each
                step seeing those before it.
            schedule: how many tokens are left to the later steps: "cosine" begins with few, "linear" has equal parts.
            order: which come first: "confidence" (MaskGIT) or "random".
            temperature: 0 takes the likeliest token; more draws.
            top_p: draw among the likeliest tokens that have this probability in all; 0: among all.
            guidance: above 1, further away from what the model would say without anything given (classifier-free).
            soft: a map made in one step is decoded from its expected codes, which is far better than the likeliest
                token where the model is uncertain; its ids are then those of the decoded map.
            chain: False makes each of what is given alone.
            max_words: most tokens of a sequence; None: what the modality has.
            generator: of the draws, on the model's device.
            require_finite: False passes NaN on in maps that are decoded softly.

        Returns:
            By name, in the order of `wanted`.

        Raises:
            ValueError: a name that cannot be predicted, an option out of range, or a prediction that is not finite.
        """
        for name in wanted:
            if name not in self.decoder_embeddings:
                raise ValueError(f"{name} cannot be predicted by this model; {', '.join(self.decoder_embeddings)} can.")
        by_name = dict.fromkeys(wanted, steps) if isinstance(steps, int) else dict(steps)
        how = Sampling(by_name, schedule, order, temperature, top_p, guidance, soft, generator, require_finite)
        inputs, positions, made = dict(given), dict(given_positions or {}), {}
        for name in wanted:
            modality = self.config.modality(name)
            if modality.kind == "sequence":
                made[name] = self._write(name, inputs, positions, how, max_words or modality.max_tokens)
            else:
                made[name] = self._draw_map(name, inputs, positions, how)
            if chain and name in self.encoder_embeddings:
                inputs[name] = made[name].ids
                positions.pop(name, None)
        return made

    def complete(
        self: Any, given: Mapping[str, Tensor], holes: Mapping[str, Tensor] | None = None, **options: Any
    ) -> dict[str, Generated]:
        """Fills maps that are partly known, from their own known tokens and all else that is given.

        Args:
            given: as in [`generate`].
            holes: by name, (B, h, w) or (B, N) true for tokens to be made. None: those with a negative id.
            options: as in [`generate`].

        Returns:
            The filled maps by name, in the order given; known tokens stay as they are.

        Raises:
            ValueError: nothing has holes.
        """
        kinds = {name: self.config.modality(name).kind for name in given}
        if holes is None:
            holes = {name: given[name] < 0 for name, kind in kinds.items() if kind == "map" and (given[name] < 0).any()}
        wrong = [name for name in holes if kinds.get(name) != "map"]
        if wrong or not holes:
            raise ValueError(
                f"{', '.join(wrong) or 'no map'} can be completed; give a map with holes, which are negative ids."
            )
        inputs = {
            name: values.masked_fill(holes[name].view_as(values), UNKNOWN) if name in holes else values
            for name, values in given.items()
        }
        return self.generate(inputs, list(holes), **options)

    def _draw_map(self: Any, name: str, inputs: dict, positions: dict, how: Sampling) -> Generated:
        """Returns a map of inputs, in as many steps as it shall have."""
        modality = self.config.modality(name)
        count, side, steps = modality.num_tokens, modality.side, how.steps.get(name, 1)
        some = next(iter(inputs.values()))
        ids = inputs.get(name, some.new_zeros(len(some), count, dtype=torch.long) + UNKNOWN).flatten(1).clone()
        if name in positions:
            ids = ids.masked_fill(~positions[name].flatten(1), UNKNOWN)
        others = {key: value for key, value in inputs.items() if key != name}
        seen = {key: value for key, value in positions.items() if key != name}
        start, probabilities = ids < 0, None
        for step in range(steps):
            open_now = ids < 0
            left = how.left(start.sum(1), step, steps)
            asked = open_now if how.order == "confidence" else any_of(open_now, open_now.sum(1) - left, how.generator)
            logits = self._logits(name, others, seen, ids, asked, how.guidance)
            drawn, sure = how.draw(logits)
            tokens = ids.clone().masked_scatter(asked, drawn)
            if steps == 1:
                probabilities = one_hot(tokens, modality.vocab_size or 0)
                probabilities[asked] = logits.float().softmax(-1)
            if how.order == "confidence" and step + 1 < steps:
                confidence = torch.full(ids.shape, -1.0, device=ids.device).masked_scatter(asked, sure)
                ranks = confidence.argsort(1, descending=True).argsort(1)
                asked = asked & (ranks < (open_now.sum(1) - left)[:, None])
            ids = torch.where(asked, tokens, ids)
        shape = (len(ids), side, side)
        if probabilities is not None:
            probabilities = probabilities.view(*shape, -1)
        found = self._decoded(name, ids.view(shape), start.view(shape), probabilities if how.soft else None)
        if how.require_finite and found.values is not None and bool(_unknown(found.values).any()):
            raise ValueError(NOT_FINITE)
        return found

    def _decoded(self: Any, name: str, ids: Tensor, made: Tensor, probabilities: Tensor | None) -> Generated:
        """Values of ids by the modality's tokenizer, soft with probabilities; then ids are those of the values."""
        if name not in self.tokenizers:
            return Generated(ids, None, probabilities)
        tokenizer = self.tokenizers[name]
        if probabilities is None:
            return Generated(ids, tokenizer.decode(ids))
        values = tokenizer.decode_soft(probabilities)
        return Generated(torch.where(made, tokenizer.encode(values), ids), values, probabilities)

    def _logits(self: Any, name: str, others: dict, seen: dict, ids: Tensor, asked: Tensor, guidance: float) -> Tensor:
        """Returns (T, V) of a map's tokens that are asked for, from others and from those of its own that are known."""
        target = {name: ids.clamp(min=0)}

        def predict(positions: Mapping[str, Tensor]) -> Tensor:
            inputs = dict(others)
            if name in self.encoder_embeddings and (not others or bool((ids >= 0).any())):
                inputs[name] = ids
            return self.decode(self.encode(inputs, positions), target, {name: asked})[name][0]

        return _guided(predict, seen, self._nothing(others), guidance)

    def _nothing(self: Any, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns positions of inputs by which none is seen."""
        none = {}
        for name, values in inputs.items():
            modality = self.config.modality(name)
            on_grid = modality.kind in ("pixels", "features", "map")
            shape = (len(values), modality.num_tokens if on_grid else values.shape[1])
            none[name] = torch.zeros(shape, dtype=torch.bool, device=values.device)
        return none

    def _write(self: Any, name: str, inputs: dict, positions: dict, how: Sampling, most: int) -> Generated:
        """Returns a sequence of inputs, word by word; keys and values of earlier words are kept."""
        modality = self.config.modality(name)
        if modality.start_id is None or modality.end_id is None:
            raise ValueError(f"{name} has no start_id and end_id in the configuration, which writing needs; set them.")
        contexts = [self.encode(inputs, positions)]
        if how.guidance != 1:
            contexts.append(self.encode(inputs, positions | self._nothing(inputs)))
        readers = [Writer(self, name, encoded) for encoded in contexts]
        count = contexts[0].hidden.shape[0]
        word = torch.full((count,), modality.start_id, device=contexts[0].hidden.device)
        over, words = torch.zeros_like(word, dtype=torch.bool), []
        for _ in range(min(most, modality.max_tokens) - 1):
            found = [reader.next(word) for reader in readers]
            logits = found[0] if len(found) == 1 else found[1] + how.guidance * (found[0] - found[1])
            word, _ = how.draw(logits)
            words.append(word.masked_fill(over, UNKNOWN))
            over = over | (word == modality.end_id)
            if bool(over.all()):
                break
        return Generated(torch.stack(words, 1))


class Writer:
    """Predicts a sequence word by word: the decoder with the keys and values of the words before."""

    def __init__(self, model: Any, name: str, encoded: Encoded):
        self.embedding, self.model, self.mask = model.decoder_embeddings[name], model, encoded.mask
        self.contexts = [block.read(encoded.context) for block in model.decoder]
        self.past: list[Any] = [None] * len(self.contexts)
        self.count = 0

    def next(self, word: Tensor) -> Tensor:
        """Returns (B, V) logits of the word behind (B,) this one."""
        place = self.embedding.pos_emb[:, self.count : self.count + 1].to(self.embedding.mod_emb.dtype)
        hidden = self.embedding.token_emb(word[:, None]) + (place + self.embedding.mod_emb)
        for number, block in enumerate(self.model.decoder):
            hidden, self.past[number] = block.step(
                hidden, self.contexts[number], None, self.mask, past=self.past[number]
            )
        self.count += 1
        return self.embedding.to_logits(self.model.decoder_norm(hidden))[:, 0]


def _unknown(values: Tensor) -> Tensor:
    """True where a decoded map has no value."""
    return values.isnan() if values.is_floating_point() else values < 0


def _guided(predict: Callable[[Mapping], Tensor], seen: Mapping, nothing: Mapping, guidance: float) -> Tensor:
    """Logits, moved away from those without any condition where guidance is not 1."""
    logits = predict(seen)
    if guidance == 1:
        return logits
    without = predict({**seen, **nothing})
    return without + guidance * (logits - without)


__all__ = ["FourMGeneration", "Generated"]
