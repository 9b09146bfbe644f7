"""Every program has its options as a dataclass: --help lists them, and what cannot work is refused at once."""

import pytest
from benchmark_programs import FOLDER, load_program

PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py") if "\ndef main(" in path.read_text())
# An option that cannot be 0.
ZERO = {
    "ablation": "--steps",
    "augmentation": "--rounds",
    "input_pipeline": "--rounds",
    "metric_conventions": "--max_depth_m",
    "metric_head": "--batch",
    "page_speed": "--rounds",
    "predict": "--images",
    "pseudo_label": "--threads",
    "runtimes": "--rounds",
    "scenes": "--sizes",
    "seeded_faults": "--each",
    "student_inference": "--rounds",
    "student_step": "--images_per_s",
    "warm_start": "--steps",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_and_refusal(name, capsys):
    program = load_program(name)
    with pytest.raises(SystemExit) as ended:
        program.main(["--help"])
    assert ended.value.code == 0
    assert ZERO.get(name, "--config") in capsys.readouterr().out
    for words in [["--no_such_option", "0"], *([[ZERO[name], "0"]] if name in ZERO else [])]:
        assert program.main(words) == 2
        assert words[0] in capsys.readouterr().err
