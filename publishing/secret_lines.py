"""Lines of text files that hold a secret, by the rules of detect-secrets and our own.

detect-secrets (github.com/Yelp/detect-secrets) knows the tokens of two dozen services and names of fields such as
password. Its rules are used as they are, each on single lines, without its network checks, and without its comments
that let a line pass. Left out are public addresses, since version numbers look like them, and words of high entropy,
since digests do.

Version 1.5.0 does not find the Hub's own tokens, `Bearer` headers, Google's keys, `github_pat_`, most keys of OpenAI
and Anthropic, AWS secrets without quotes, and secrets in queries of URLs. For these `common.redaction` has rules, which
logs need as well.
"""

from functools import cache
from pathlib import Path
from typing import Any

from huggingface_hub import get_token

from semidepth.common.redaction import has_secret

TEXT = frozenset({"", ".json", ".yaml", ".yml", ".md", ".py", ".txt", ".toml", ".cfg", ".html", ".css", ".js"})

_UNSURE = ("Public IP (ipv4)", "Base64 High Entropy String", "Hex High Entropy String")


def first_secret(path: Path) -> int | None:
    """The number of the first line of a text file that holds something like a token, or the token in use.

    None without such a line, and for files of another kind.
    """
    if path.suffix not in TEXT:
        return None
    own = get_token()
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        if has_secret(line) or known_kinds(line, path.name) or (own and own in line):
            return number
    return None


def known_kinds(line: str, file: str = "") -> list[str]:
    """Names of the kinds of secrets that detect-secrets finds in a line of a file, such as "Stripe Access Key"."""
    return [rule.secret_type for rule in _rules() if rule.analyze_line(filename=file, line=line)]


@cache
def _rules() -> list[Any]:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class  # here: requests

    rules: dict[str, Any] = get_mapping_from_secret_type_to_class()
    return [rule() for name, rule in rules.items() if name not in _UNSURE]
