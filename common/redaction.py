"""Keep passwords, tokens and signatures out of logs and errors."""

import re
from collections.abc import Iterable
from typing import Any

_USER = re.compile(r"(?<=://)[^/\s@?#'\"]+@")  # https://user:password@host
# Beginnings that services give their tokens so that they are found; the beginning stays in what is shown.
_TOKENS = (
    r"hf_(?=[A-Za-z0-9]{20})", r"gh[pousr]_(?=[A-Za-z0-9]{30})", r"github_pat_(?=\w{30})", r"glpat-(?=[\w-]{20})",
    r"(?:AKIA|ASIA)(?=[A-Z0-9]{16}\b)", r"AIza(?=[\w-]{35})", r"xox[abeoprs]-(?=[\w-]{10})",
    r"sk-(?=[A-Za-z0-9]{20})", r"sk-(?:proj|ant|svcacct)-(?=[\w-]{20})", r"Bearer\s+(?=[\w.~+/-]{16})",
)  # fmt: skip
_TOKEN = re.compile(rf"\b({'|'.join(_TOKENS)})[\w.~+/=-]+")
_QUERY = re.compile(
    r"([?&][\w.%-]*(?:token|secret|signature|sig|password|credential|key|auth)=)[^&\s'\"]+", re.IGNORECASE
)
_SECRET_NAME = (
    r"[\w-]*(?:password|passwd|secret|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?token|access[_-]?token)"
)
_FIELD = re.compile(rf"""(["']{_SECRET_NAME}["']\s*:\s*["'])[^"'\s]+(?=["'])""", re.IGNORECASE)  # of JSON
_ASSIGNED = re.compile(r"(\baws_secret_access_key\s*[=:]\s*[\"']?)[A-Za-z0-9/+=]{40}", re.IGNORECASE)
_KEY_FILE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")


def redact(text: str) -> str:
    """The text with three stars in place of each password, token and signature."""
    for pattern in (_TOKEN, _QUERY, _FIELD, _ASSIGNED):
        text = pattern.sub(r"\1***", text)
    return _KEY_FILE.sub("***", _USER.sub("***@", text))


def has_secret(text: str) -> bool:
    """True for a text with a token, a password in a field or a URL, a signature of a query, or a private key."""
    patterns = (_TOKEN, _QUERY, _FIELD, _ASSIGNED)
    shown = any(found[0] != f"{found[1]}***" for pattern in patterns for found in pattern.finditer(text))
    return shown or bool(_KEY_FILE.search(text)) or any(":" in user for user in _USER.findall(text))


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
