"""A token that a run needs is nowhere to be found afterwards: not in logs, files, checkpoints, or on the Hub."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from loopback_hub import TOKEN, LoopbackHub
from sample_files import write_parquet

from semidepth.common.redaction import has_secret, redact
from semidepth.training import metric, student, teacher

TRAIN = """
import sys
from semidepth.publishing import cli as publish
from semidepth.training import pseudo_label, student

encoder, teacher, folder, labels = sys.argv[1:]
pseudo_label.main(["--teacher", teacher, "--unlabeled", "org/frames?count=4", "--output", labels, "--cpu", "true"])
student.main([
    "--encoder", encoder, "--labeled", "org/frames", "--validation", "org/frames?count=2", "--pseudo_labels", labels,
    "--steps", "4", "--batch_size", "2", "--size", "48", "--num_workers", "1", "--cpu", "true", "--output_dir", folder,
    "--checkpoint_every", "2", "--validate_every", "2", "--log_every", "1", "--tracker", "tensorboard",
    "--push_to_hub", "org/student", "--hub_wait_s", "60",
])
publish.main([folder, "--repo", "org/published"])
publish.main([labels, "--repo", "org/labels"])
"""


def test_a_run_with_a_token_leaves_no_trace_of_it(tmp_path):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    tiny.stock_model().save_pretrained(tmp_path / "teacher")
    frames = write_parquet(tmp_path / "frames.parquet", range(8)).read_bytes()
    folder, labels = tmp_path / "student", tmp_path / "labels"
    with LoopbackHub() as hub:
        hub.add("dataset", "org/frames", {"data/train-0.parquet": frames}).private = True
        hub.faults.fail("org/frames/resolve", status=503, method=None, skip=2, times=2)  # for something to tell
        hub.faults.fail("org/student/commit", status=503, method="POST")
        command = [sys.executable, "-c", TRAIN, encoder, str(tmp_path / "teacher"), str(folder), str(labels)]
        environment = os.environ | hub.environment(tmp_path / "home") | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        written = {str(path): path.read_bytes() for root in (folder, labels) for path in files_below(root)}
        for (_, name), repository in hub.repositories.items():
            for branch in repository.branches.values():
                written |= {f"{name}/{path}": content for commit in branch for path, content in commit.files.items()}
    names = {Path(name).name for name in written}
    assert {"student.yaml", "trainer.json", "results.json", "README.md", "pseudo_labels.json"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    for secret in (TOKEN, TOKEN[3:]):
        assert secret not in done.stdout + done.stderr
        assert [name for name, content in written.items() if secret.encode() in content] == []


def files_below(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "options",
    [
        ["--labeled", "https://user:PASSWORD@127.0.0.1/a.parquet"],
        ["--labeled", "scenes:indoor?count=2", "https://127.0.0.1/a.parquet?X-Amz-Signature=PASSWORD"],
        ["--labeled", f"hf://datasets/org/frames/a.parquet?token={TOKEN}"],
        ["--encoder", TOKEN],
        ["--output_dir", f"runs/{TOKEN}"],
        ["--push_to_hub", f"org/{TOKEN}"],
        ["--token", TOKEN],
        [f"--hub_token={TOKEN}"],
    ],
)
def test_an_option_with_a_secret_is_refused_without_repeating_it(options, tmp_path, capsys, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    for command in (teacher, student, metric):
        assert command.main([*options, "--cpu", "true"]) == 2
        told = capsys.readouterr()
        text = told.out + told.err + caplog.text
        assert "***" in text
        assert "carries a password or token, which would be saved with the run" in text
        assert TOKEN not in text
        assert "PASSWORD" not in text
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_with_a_secret_is_refused(tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(f"labeled:\n- scenes:indoor\n- https://h/a.parquet?token={TOKEN}\n")
    assert teacher.main(["--config", str(tmp_path / "run.yaml"), "--cpu", "true"]) == 2
    text = capsys.readouterr().err
    assert "carries a password or token" in text
    assert TOKEN not in text


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"token: {TOKEN}", True),
        ("https://me:word@host/a", True),
        ("aws AKIAIOSFODNN7EXAMPLE", True),
        ("aws_secret_access_key = " + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", True),
        ("Authorization: Bearer abcdef0123456789abcdef", True),
        ("key " + "sk-" + "a1B2" * 8, True),
        ("sk-ant-api03-" + "a1B2_" * 8, True),
        ("xoxb-" + "123456789012-abcdefABCDEF", True),
        ('{"password": "word"}', True),
        ("{'api_key': 'abc'}", True),
        ("https://host/a?auth=abc", True),
        ("-----BEGIN RSA PRIVATE KEY-----", True),
        ("https://host/a?author=abc", False),
        ("runs/sk-learn-depth-with-a-long-name", False),
        ("the bearer of this letter", False),
        ('{"password": ""}', False),
        ('"mask_token": "<mask>"', False),
        ("git@host:a", False),
        ("https://host/a@b", False),
        ("hf_hub_download", False),
        ("hf_transfer_enabled_by_default_now", False),
    ],
)
def test_what_counts_as_a_secret(text, secret):
    assert has_secret(text) == secret
    assert (redact(text) != text) == secret
