"""Keep passwords, tokens and signatures out of logs and errors."""

import re
from collections.abc import Iterable
from typing import Any

_USER = re.compile(r"(?<=://)[^/\s@?#'\"]+@")  # https://user:password@host
_TOKEN = re.compile(r"\b(?:(hf_)[A-Za-z0-9]{20,}|(gh[pousr]_)[A-Za-z0-9]{30,})")
_QUERY = re.compile(r"([?&][\w.%-]*(?:token|secret|signature|sig|password|credential|key)=)[^&\s'\"]+", re.IGNORECASE)


def redact(text: str) -> str:
    """The text with three stars in place of each user and password of a URL, token and signature of a query."""
    return _QUERY.sub(r"\1***", _TOKEN.sub(lambda found: f"{found[1] or found[2]}***", _USER.sub("***@", text)))


def has_secret(text: str) -> bool:
    """True for a text with a token, a signature of a query, or a URL's password."""
    found = _TOKEN.search(text) or any(value[-3:] != "***" for value in (m[0] for m in _QUERY.finditer(text)))
    return bool(found) or any(":" in user for user in _USER.findall(text))


def refuse_secrets(options: Iterable[Any]) -> None:
    """Refuses options that hold a secret, since options are logged, saved and published.

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
