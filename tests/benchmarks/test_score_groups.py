"""Means over groups: hand-worked, two places of which one has three of four images."""

import pyarrow as pa
import pyarrow.parquet as pq
from benchmark_programs import load_program


def test_each_group_counts_once(tmp_path, capsys):
    program = load_program("score_groups")
    rooms = tmp_path / "rooms.parquet"
    pq.write_table(pa.table({"scene": ["hall", "lab", "lab", "lab"]}), rooms)
    scores = [
        {
            "model": "m",
            "data": "rooms",
            "image": f"{rooms}#row {row}",
            "space": space,
            "abs_rel": error,
            "delta1": right,
        }
        for row, (error, right) in enumerate([(0.1, 0.9), (0.2, 0.5), (0.3, 0.5), (0.4, 0.5)])
        for space in ("depth", "disparity")
    ]
    (tmp_path / "scores").mkdir()
    pq.write_table(pa.Table.from_pylist(scores), tmp_path / "scores/per_image.parquet")
    assert program.main([str(tmp_path / "scores")]) == 0
    printed = capsys.readouterr().out
    assert "mean of 4 images: 0.250 / 0.600" in printed
    assert "mean of 2 groups: 0.200 / 0.700" in printed
    assert "lab (3): 0.300 / 0.500" in printed
    assert program.main([str(tmp_path / "scores"), "--column", "place"]) == 2
    assert "'place'" in capsys.readouterr().err
    assert program.main([str(tmp_path)]) == 2
