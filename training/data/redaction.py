"""Passwords, tokens and signatures are kept out of logs and errors."""

import re
from collections.abc import Iterable
from typing import Any

_USER = re.compile(r"(?<=://)[^/\s@?#'\"]+@")  # https://user:password@host
_HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}")
_QUERY = re.compile(r"([?&][\w.%-]*(?:token|secret|signature|sig|password|credential|key)=)[^&\s'\"]+", re.IGNORECASE)


def redact(text: str) -> str:
    """The text with three stars in place of each user and password of a URL, Hub token and signature of a query."""
    return _QUERY.sub(r"\1***", _HUB_TOKEN.sub("hf_***", _USER.sub("***@", text)))


def has_secret(text: str) -> bool:
    """Whether a text holds a Hub token, or a URL's password."""
    return _HUB_TOKEN.search(text) is not None or any(":" in user for user in _USER.findall(text))


def refuse_secrets(options: Iterable[Any]) -> None:
    """Refuses options, or lists of them, with a secret in them: they are logged, saved and published.

    Raises:
        ValueError: naming the option without the secret.
    """
    for option in options:
        if isinstance(option, list):
            refuse_secrets(option)
        elif isinstance(option, str) and redact(option) != option:
            raise ValueError(
                f"{redact(option)!r} carries a password or token, which would be saved with the run; put it into "
                "~/.netrc, HF_TOKEN or the settings of the store, and leave it out here"
            )
