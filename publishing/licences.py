"""Licences of models on this machine, by their cards."""

import logging
from pathlib import Path

from huggingface_hub import metadata_load

from semidepth.data.public_names import MODEL_OPTIONS
from semidepth.prediction.shipped.folder import find_model, is_heads
from semidepth.publishing.facts import Facts, read_facts
from semidepth.publishing.files import CARD

logger = logging.getLogger(__name__)


def card_license(folder: Path) -> str | None:
    """Returns the licence of the weights by the card in their folder, or in the one above of metric heads."""
    card = (folder.parent if is_heads(folder) else folder) / CARD
    licence = (metadata_load(card) or {}).get("license") if card.is_file() else None
    return str(licence) if licence else None


def licences_behind(facts: Facts) -> dict[str, str]:
    """Returns the licences of the models here that a model started from or learned from, by their names.

    Where the card of such a model states none, those behind it are looked for. Models on the Hub are not asked.
    """
    found: dict[str, str] = {}
    seen, waiting = {Path(facts.name).resolve()}, [facts]
    while waiting:
        for name in _models_of(waiting.pop()):
            try:
                folder = Path(find_model(name))
                if folder.resolve() in seen or not (folder / "config.json").is_file():
                    continue
                seen.add(folder.resolve())
                licence = card_license(folder)
                if licence:
                    found[name] = licence
                else:
                    waiting.append(read_facts(folder))
            except ValueError as error:
                logger.warning("the licence of %s is not known: %s", name, error)
    return found


def _models_of(facts: Facts) -> list[str]:
    """Returns the names of the models in a run's options, results and sets of pseudo labels, each once."""
    named = [record.get(name) for name in MODEL_OPTIONS for record in (facts.options, facts.results)]
    named += [record.get("teacher") for record in facts.label_sets.values()]
    return list(dict.fromkeys(str(name) for name in named if name))
