"""The table of conventions: its own arithmetic and the package's give the same first rows."""

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "metric_conventions.py"


def test_the_first_rows_are_the_package_s(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--data", "scenes:indoor?split=test&count=2&size=32"])
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1].startswith("RESULT metric_conventions images=2 ")
    assert printed.rstrip().endswith("agrees=true")
    for row in ("MiDaS, DPT", "median scaling (Monodepth2)", "Depth Anything V2 (not clamped)", "MiDaS prints"):
        assert row in printed
