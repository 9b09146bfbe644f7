"""Names of sources and commands for public pages: local paths cut to their last part, no passwords or tokens.

A run's options name files as its user has them, such as /home/me/customers/photos/*.jpg; a card goes to everybody.
"""

import hashlib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from glob import has_magic
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import unquote

from semidepth.common.redaction import redact
from semidepth.data.source_spec import is_url, split_options

# Options of the training commands that name models, and those that name sources.
MODEL_OPTIONS = ("start", "encoder", "teacher", "student")
SOURCE_OPTIONS = ("labeled", "unlabeled", "pseudo_labels", "train", "validation")

_PHOTOS = re.compile(r"(?<=[?&]images=)[^&]*")  # the one option that is a path
_DOMAIN = re.compile(r"([A-Za-z][\w.-]*=)(.+)", re.DOTALL)
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_OUTPUTS = "outputs/"  # where the commands leave their models unless told otherwise; never a Hub's


def split_source(text: str) -> tuple[str, str, str]:
    """A source or model as written, in parts: `NAME=` (or nothing), location, `?options` (or nothing)."""
    named = _DOMAIN.fullmatch(text.strip())
    domain, rest = (named[1], named[2]) if named else ("", text.strip())
    location, _ = split_options(rest)
    return domain, location, rest[len(location) :]


def is_hub_id(location: str) -> bool:
    """True for a name that looks like a Hub id and is no local path."""
    file = PurePath(location).suffix.lower() in (".parquet", ".tar", ".png", ".jpg", ".npy", ".yaml", ".json")
    looks = bool(_HUB_ID.fullmatch(location)) and not location.startswith(_OUTPUTS) and not file
    return looks and not Path(location).exists()


def hub_ids(options: Mapping[str, Any]) -> list[str]:
    """The Hub's ids among the models and sources of a run's options, each once, in their order."""
    values = [options.get(name) for name in (*MODEL_OPTIONS, *SOURCE_OPTIONS)]
    texts = [text for value in values for text in ([value] if isinstance(value, str) else value or [])]
    locations = [split_source(text)[1] for text in texts]
    return [location for location in dict.fromkeys(locations) if is_hub_id(location)]


def public_source(text: str, is_hub: Callable[[str], bool] = is_hub_id) -> str:
    """A source or model, shortened for a public page.

    Args:
        text: as in the options: `[NAME=]LOCATION[?options]`.
        is_hub: tells Hub ids from local paths, where the files themselves may be gone.

    Returns:
        The same, with a local path cut to its last part (and the pattern in it), secrets replaced by stars.
    """
    domain, location, options = split_source(text)
    local = location.removeprefix("file://")
    if not (location.startswith("scenes:") or is_hub(location) or (is_url(location) and local == location)):
        location = _last_part(local)
    options = _PHOTOS.sub(lambda found: _last_part(unquote(found[0])), options)
    return redact(f"{domain}{location}{options}")


def public_command(command: str, own: Callable[[str], str | None], is_hub: Callable[[str], bool] = is_hub_id) -> str:
    """A command line, shortened for a public page.

    Args:
        command: as it was typed.
        own: what to write for a path, such as the model's id for its folder; None: as for a source.
        is_hub: as for [`public_source`].

    Returns:
        The same, with the paths after its first option shortened.
    """
    words = shlex.split(command)
    first = next((index for index, word in enumerate(words) if word.startswith("--")), len(words))
    shown = [word if is_url(word) else _program(word) for word in words[:first]]
    for word in words[first:]:
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if word.startswith("--") and not equals:
            shown.append(word)
        else:
            shown.append(f"{option}{equals}{own(value) or public_source(value, is_hub)}")
    return redact(shlex.join(shown))


def public_origin(origin: str) -> str:
    """The name of a sample for a published set; a local file is cut to its folder's name and its own."""
    return (
        origin if is_url(origin) or not origin.startswith(("/", "~", "../")) else "/".join(PurePath(origin).parts[-2:])
    )


def fingerprint(texts: Sequence[str]) -> str:
    """A digest by which two lists of names can be compared without showing them."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _program(word: str) -> str:
    """`training/score.py` from wherever it was called."""
    path = PurePath(word)
    return "/".join(path.parts[-2:]) if path.suffix == ".py" else path.name


def _last_part(location: str) -> str:
    """The last part of a path; of a pattern, its last folder that is none and what follows."""
    parts = [part for part in PurePath(location).parts if part not in ("/", ".", "..", "~")]
    plain = [index for index, part in enumerate(parts) if not has_magic(part)]
    return "/".join(parts[plain[-1] :] if plain else parts) or "a local folder"
