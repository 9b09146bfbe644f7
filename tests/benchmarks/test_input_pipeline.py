"""The benchmark of the input pipeline runs, and refuses to compare sides that do different work."""

import re
from types import ModuleType

import pytest
from benchmark_programs import load_program


@pytest.fixture
def benchmark(monkeypatch) -> ModuleType:
    module = load_program("input_pipeline")
    monkeypatch.setattr("parts.frame_files.MADE_ROWS", 3)
    return module


def test_it_prints_a_table_and_results(benchmark, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark.torch, "set_num_threads", lambda threads: None)  # other tests keep theirs
    monkeypatch.setattr("datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)
    options = "--only frames --workers 0 --size 28 --images 4 --batch 2 --rounds 1"
    assert benchmark.main(options.split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"frames: 3 different rows, on average image 1\d\d kB, depth 1\d\d kB", lines[0])
    assert re.fullmatch(r"  images agree to [012] grey level\(s\), depth and disparity to rounding", lines[1])
    assert lines[3].split()[0] == "0"
    ratio = r"\d+\.\d\d"
    pattern = rf"RESULT input_pipeline_frames ratio={ratio} low={ratio} high={ratio} agrees=true share_of_raw={ratio}"
    assert re.fullmatch(pattern, lines[-1])


@pytest.mark.parametrize("changed", ["image", "depth"])
def test_sides_that_differ_are_not_compared(benchmark, changed, tmp_path, monkeypatch):
    rows = benchmark.write_shards(tmp_path, None, 4, labeled=True)
    benchmark.check_agreement(tmp_path, rows, True, 42)
    whole = benchmark.Plain.__iter__

    def other(self):
        for sample in whole(self):
            yield sample | {changed: sample[changed] + 3 if changed == "image" else sample[changed] * 1.01}

    monkeypatch.setattr(benchmark.Plain, "__iter__", other)
    with pytest.raises(ValueError, match=r"differs? from the peer's.*must agree"):
        benchmark.check_agreement(tmp_path, rows, True, 42)
