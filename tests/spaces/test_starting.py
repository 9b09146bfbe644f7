"""Starting the Space: which models it takes, and what it says when it cannot start."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import free_port, interruptible
from serving import SPACE, photo, save_models
from shipped_model import save_runs, ship, take


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A routed and a stock model."""
    return [Path(folder) for folder in save_models(tmp_path_factory.mktemp("models"))]


@pytest.fixture
def choosing(space_on_path, monkeypatch, tmp_path):
    """The Space's choice of models, in an installation that no model came with."""
    import choosing

    take(monkeypatch, tmp_path / "no model")
    return choosing


def short(folder: str) -> str:
    """Name of a model for visitors."""
    return "/".join(Path(folder).parts[-2:])


def refused(tmp_path: Path, *arguments: str, **settings: str) -> str:
    """What the Space says when it does not start."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules")} | settings
    command = [sys.executable, str(SPACE / "app.py"), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False, timeout=100
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    return line


def test_help_and_wrong_options_are_answered_without_torch_or_gradio():
    words = [sys.executable, "-X", "importtime", str(SPACE / "app.py")]
    for option, status in (("--help", 0), ("--dragon", 2)):
        done = subprocess.run([*words, option], capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr[-2000:]
        assert not {"torch", "gradio"} & {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert option in done.stdout + done.stderr


@pytest.mark.parametrize(
    "device", ["cuda:99", *(pytest.param(device, marks=pytest.mark.slow) for device in ("nonsense", "meta"))]
)
def test_a_device_that_is_not_there(tmp_path, device):
    says = refused(tmp_path, "--device", device)
    assert f"'{device}' cannot be used" in says
    assert "take cpu" in says


def test_a_model_that_is_none(tmp_path):
    assert "none' could not be loaded" in refused(tmp_path, "--model", str(tmp_path / "none"))


def test_a_model_without_weights_is_said_at_the_start(tmp_path, models):
    shutil.copytree(models[1], tmp_path / "m", ignore=shutil.ignore_patterns("*.safetensors"))
    assert "could not be loaded" in refused(tmp_path, "--model", str(tmp_path / "m"))


def test_a_model_whose_code_needs_a_package(tmp_path, models):
    shutil.copytree(models[0], tmp_path / "m")
    config = tmp_path / "m" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "of_somebody_else"}))
    code = next((tmp_path / "m").glob("configuration_routed*.py"))
    code.write_text(code.read_text() + "\nimport a_package_that_nobody_has\n")
    assert "--trust_remote_code" in refused(tmp_path, "--model", str(tmp_path / "m"))
    says = refused(tmp_path, "--model", str(tmp_path / "m"), "--trust_remote_code")
    assert "a_package_that_nobody_has" in says


def test_a_port_in_use(tmp_path, models):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        says = refused(tmp_path, "--model", str(models[1]), "--host", "127.0.0.1", "--port", port)
    assert f"port {port}" in says


def test_mcp_without_its_extra(tmp_path):
    (tmp_path / "mcp.py").write_text("raise ImportError('not here')")  # whether it is installed here or not
    assert "pip install 'gradio[mcp]'" in refused(tmp_path, "--mcp", PYTHONPATH=str(tmp_path))


def test_trained_models_newest_first_and_finished_ones_alone(choosing, tmp_path):
    outputs = tmp_path / "outputs"
    for age, name in ((300, "old/metric"), (100, "new"), (10, "encoder")):
        folder = outputs / name
        folder.mkdir(parents=True)
        kind = "Dinov2Model" if name == "encoder" else "DepthAnythingForDepthEstimation"
        (folder / "config.json").write_text(f'{{"architectures": ["{kind}"]}}')
        (folder / "model.safetensors").write_bytes(b"")
        os.utime(folder / "model.safetensors", (time.time() - age,) * 2)
    (outputs / "unfinished").mkdir()
    (outputs / "unfinished" / "config.json").write_text('{"architectures": ["DepthAnythingForDepthEstimation"]}')
    assert choosing.trained_models(outputs) == [(outputs / "new").as_posix(), (outputs / "old" / "metric").as_posix()]
    assert choosing.trained_models(tmp_path / "none") == []


def test_given_then_trained_then_published(choosing, models, tmp_path):
    routed, stock = (str(folder) for folder in models)
    readme, outputs = tmp_path / "README.md", tmp_path / "outputs"
    readme.write_text(f"---\nmodels:\n- {stock}\n---\n")
    assert choosing.choose_models([stock, routed, stock], outputs, readme, "cpu").names == [short(stock), short(routed)]
    assert choosing.choose_models([], outputs, readme, "cpu").names == [short(stock)]
    shutil.copytree(stock, outputs / "run")
    assert choosing.choose_models([], outputs, readme, "cpu").names == ["outputs/run"]
    assert choosing.choose_models([], tmp_path / "none", tmp_path / "none.md", "cpu").names == []


def test_the_model_that_comes_with_semidepth_is_first(choosing, models, tmp_path, monkeypatch, caplog):
    shipped, outputs = ship(save_runs(tmp_path / "runs")[0], tmp_path / "semidepth-small"), tmp_path / "outputs"
    shutil.copytree(models[1], outputs / "run")
    take(monkeypatch, shipped)
    offered = choosing.choose_models([], outputs, tmp_path / "no.md", "cpu")
    assert offered.names == ["semidepth-small", "outputs/run"]
    assert offered.card("semidepth-small").label == "semidepth-small · near to far"
    (shipped / "model.safetensors").unlink()
    assert choosing.choose_models([], outputs, tmp_path / "no.md", "cpu").names == ["outputs/run"]
    assert "model.safetensors are missing" in caplog.text


def test_examples_are_photos_with_a_licence(space_on_path):
    import server

    photos = [Path(path) for path in server.example_pictures()]
    assert len(photos) >= 4
    told = (SPACE / "examples" / "SOURCES.md").read_text()
    assert all(f"`{photo.name}`" in told for photo in photos)


@pytest.mark.parametrize("damage", ["no JSON", "unknown type", "torn weights", "not text"])
def test_a_broken_folder_is_left_out_with_a_warning(choosing, models, tmp_path, caplog, damage):
    outputs = tmp_path / "outputs"
    shutil.copytree(models[1], outputs / "good")
    shutil.copytree(models[1], outputs / "broken")
    config = outputs / "broken" / "config.json"
    if damage == "no JSON":
        config.write_text('{"architectures": ["DepthAnythingForDepthEstimation"]')
    elif damage == "unknown type":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "unheard_of"}))
    elif damage == "torn weights":
        (outputs / "broken" / "model.safetensors").write_bytes(b"torn")
    else:
        config.write_bytes(b"\xff\xfe DepthEstimation")
    later = time.time() + 100
    os.utime(outputs / "broken" / "model.safetensors", (later, later))  # the newest: the one to load at the start
    assert choosing.choose_models([], outputs, tmp_path / "no.md", "cpu").names == ["outputs/good"]
    assert "outputs/broken" in caplog.text
    assert "left out" in caplog.text


def test_the_readme_names_a_model_to_fall_back_on(choosing):
    assert choosing.published_models(SPACE / "README.md")


def test_without_any_model_the_page_says_so_and_why(choosing, tmp_path):
    import server
    import work

    models = choosing.choose_models([], tmp_path, SPACE / "README.md", "cpu")  # the Hub is out of reach here
    page = json.dumps(server.build(work.DepthWork(models)).get_config_file())
    assert "There is no model yet" in page
    assert "Depth-Anything-V2-Small-hf" in page


@pytest.mark.parametrize(
    ("number", "named"),
    [
        (signal.SIGTERM, False),
        pytest.param(signal.SIGINT, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, True, marks=pytest.mark.slow),
    ],
)
def test_files_are_gone_when_the_process_has_ended(tmp_path, models, number, named):
    """Uploads and results, while a page is open, and whether somebody has named their folder or not."""
    from gradio_client import Client, handle_file

    temporary, port = tmp_path / "gradio", free_port()
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("GRADIO_TEMP_DIR", None)
    environment["GRADIO_TEMP_DIR" if named else "TMPDIR"] = str(temporary)
    temporary.mkdir()
    command = [sys.executable, str(SPACE / "app.py"), "--model", str(models[1]), "--device", "cpu"]
    with interruptible(
        [*command, "--host", "127.0.0.1", "--port", str(port)], env=environment, cwd=tmp_path
    ) as process:
        try:
            for _ in range(300):
                try:
                    client = Client(f"http://127.0.0.1:{port}", verbose=False)
                    break
                except Exception:  # not there yet
                    assert process.poll() is None
                    time.sleep(0.2)
            client.predict(handle_file(photo(tmp_path / "a.png")), api_name="/predict")
            assert list(temporary.rglob("*.npy"))
            assert list(temporary.rglob("a.png"))
        finally:
            process.send_signal(number)
            process.wait(timeout=30)
    assert not list(temporary.rglob("*.npy"))
    assert not list(temporary.rglob("a.png"))
