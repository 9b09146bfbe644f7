"""Secrets in files: kinds that detect-secrets finds, those that it does not, and none in files of ours."""

import subprocess
from pathlib import Path

import pytest

from semidepth.common.redaction import has_secret
from semidepth.publishing.secret_lines import TEXT, first_secret, known_kinds

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("key: " + "sk_live_" + "a1B2c3D4e5F6" * 2, "Stripe Access Key"),
        ("npm: //registry.npmjs.org/:_auth" + "Token=npm_" + "a1B2c3" * 6, "NPM tokens"),
        ("SG." + "a1B2c3D4e5F" * 2 + "." + "a1B2c3D4e5F" * 3 + "a1B2c3D4e5", "SendGrid API Key"),
        ("pypi-AgEIcHlwaS5vcmc" + "a1B2c3D4e5" * 7, "PyPI Token"),
        ("token 123456789:" + "a1B2c3D4e5" * 3 + "a1B2c", "Telegram Bot Token"),
        ("AccountKey=" + "a1B2c3D4" * 10 + "a1B2c3==", "Azure Storage Account access key"),
        ("eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxIn0." + "a1B2c3D4" * 5, "JSON Web Token"),
        ("glpat-" + "a1B2" * 5, "GitLab Token"),
        ("PuTTY-User-Key-File-2", "Private Key"),
        ('{"db_password": "word"}', "Secret Keyword"),
    ],
)
def test_kinds_of_other_services_are_found(line, kind, tmp_path):
    found = known_kinds(line)
    assert kind in found
    (tmp_path / "results.json").write_text(f"{{}}\n{line}\n{line}\n")
    assert first_secret(tmp_path / "results.json") == 2


@pytest.mark.parametrize(
    "line",
    [
        "hf_" + "a1B2" * 9,
        "Authorization: Bearer " + "abcdef0123456789abcdef",
        "AIza" + "a1B2_" * 7,
        "github_pat_" + "a1B2" * 9,
        "sk-ant-api03-" + "a1B2_" * 8,
        "sk-proj-" + "a1B2" * 8,
        "aws_secret_access_key = " + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "https://host/a?auth=abc",
    ],
)
def test_what_detect_secrets_misses_has_rules_of_ours(line, tmp_path):
    """Where this fails, detect-secrets has learned a kind, and a rule of ours may go from what is published."""
    assert known_kinds(line) == []
    assert has_secret(line)
    (tmp_path / "a.md").write_text(line)
    assert first_secret(tmp_path / "a.md") == 1


def test_our_own_files_and_those_of_other_kinds_pass(tmp_path):
    """Every card, configuration, document and program of this repository, but for tests and two with examples."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    names = [name for name in tracked.splitlines() if not name.startswith("tests/")]
    names = names or [
        str(path.relative_to(ROOT)) for room in ("docs", "model_cards") for path in (ROOT / room).rglob("*")
    ]
    read = [name for name in names if Path(name).suffix in TEXT and (ROOT / name).is_file()]
    assert len(read) > 20
    assert [name for name in read if first_secret(ROOT / name)] == [
        "common/redaction.py", "data/source_spec.py",
    ]  # fmt: skip
    (tmp_path / "a.safetensors").write_text("hf_" + "a1B2" * 9)
    assert first_secret(tmp_path / "a.safetensors") is None
