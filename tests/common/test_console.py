"""How a command ends: its exit status, and one sentence on standard error."""

import errno
import os
import subprocess
import sys

import pytest
from safetensors import SafetensorError

from semidepth.common.console import CommandError, NothingToDo, first_line, run_command


def raising(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("command", "status", "told"),
    [
        (lambda: None, 0, ""),
        (lambda: {"abs_rel": 0.1}, 0, ""),
        (lambda: 1, 1, ""),
        (raising(ValueError("--steps is 0; give at least 1.")), 2, "error: --steps is 0; give at least 1.\n"),
        (raising(ValueError("Trace of a worker\n  line\nValueError: it is broken")), 2, "error: it is broken\n"),
        (raising(ValueError()), 2, "error: ValueError\n"),
        (raising(NothingToDo("the run is finished")), 0, "the run is finished\n"),
        (raising(CommandError("the disk is full")), 1, "error: the disk is full\n"),
        (
            raising(OSError(errno.ENOSPC, "No space left on device", "out/a.png")), 1,
            "error: there is no room to write ([Errno 28] No space left on device: 'out/a.png'); free disk space, or "
            "give another folder, and run it again.\n",
        ),
        (
            raising(SafetensorError("I/O error: No space left on device (os error 28)")), 1,
            "error: there is no room to write (I/O error: No space left on device (os error 28)); free disk space, or "
            "give another folder, and run it again.\n",
        ),
        (
            raising(OSError(errno.ENAMETOOLONG, "File name too long", "long")), 2,
            "error: the name of a file would be too long ([Errno 36] File name too long: 'long'); rename the input, or "
            "give another folder.\n",
        ),
        (raising(KeyboardInterrupt()), 130, "stopped\n"),
        (raising(KeyboardInterrupt("run it again to resume")), 130, "stopped; run it again to resume\n"),
    ],
)  # fmt: skip
def test_exit_status_and_sentence(command, status, told, capsys):
    assert run_command(command) == status
    assert capsys.readouterr().err == told


def test_an_unexpected_error_is_one_sentence_and_a_file_with_the_details(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run_command(raising(KeyError("column"))) == 70
    told = capsys.readouterr().err
    (file,) = tmp_path.iterdir()
    assert (
        told == f"error: unexpected KeyError: 'column'; the details are in {file}, please report it with that file.\n"
    )
    details = file.read_text()
    assert "Traceback" in details
    assert "in command\n    raise error" in details
    assert "torch " in details


def test_the_hubs_library_tells_errors_alone_also_where_it_is_imported_later():
    code = "from semidepth.common.console import set_up_logging; set_up_logging()\nimport huggingface_hub, logging\n"
    code += "print(logging.getLogger('huggingface_hub.utils._http').getEffectiveLevel() == logging.ERROR)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_details_of_an_unexpected_error_hold_no_secret(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    token = "hf_" + "secret" * 6
    monkeypatch.setattr("sys.argv", ["semidepth", f"--data=https://user:{token}@host/x"])
    run_command(raising(RuntimeError(f"{token} was refused")))
    (file,) = tmp_path.iterdir()
    assert token not in file.read_text() + capsys.readouterr().err


def test_details_that_cannot_be_written_are_shown(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    assert run_command(raising(RuntimeError("a bug"))) == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_closed_pipe_is_141_without_a_trace():
    reader, writer = os.pipe()
    os.close(reader)
    code = "import sys\nfrom semidepth.common.console import run_command\nsys.exit(run_command(lambda: print('x')))"
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_first_line_of_an_error():
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"
