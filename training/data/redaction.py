"""Passwords, tokens and signatures are kept out of logs and errors."""

import re

_USER = re.compile(r"(?<=://)[^/\s@?#'\"]+@")  # https://user:password@host
_HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}")
_QUERY = re.compile(r"([?&][\w.%-]*(?:token|secret|signature|sig|password|credential|key)=)[^&\s'\"]+", re.IGNORECASE)


def redact(text: str) -> str:
    """The text with three stars in place of each user and password of a URL, Hub token and signature of a query."""
    return _QUERY.sub(r"\1***", _HUB_TOKEN.sub("hf_***", _USER.sub("***@", text)))
