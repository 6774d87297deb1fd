"""Two measured worlds against each other, tables of figures, and a second export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reverie.demos import cli, results
from reverie.model.errors import ReverieError
from reverie.model.weights import model_folder
from reverie.simulator.evaluation.compare import differences, meets


def report(**figures: float) -> dict[str, object]:
    """A report with an interval of one unit about each figure."""
    ends = {f"{name}_ci": [value - 0.5, value + 0.5] for name, value in figures.items()}
    return {"world": {"fingerprint": "ab"}, "runs_done": 3, **figures, **ends}


def test_differences_know_which_way_is_good_and_what_is_chance() -> None:
    first = report(seen_psnr_8=20.0, body_error_32=3.0, detail_5s=0.2, psnr_8=20.0)
    second = report(seen_psnr_8=22.0, body_error_32=1.0, detail_5s=1.9, psnr_8=20.3)
    found = {one.name: one for one in differences(first, second)}
    assert [found[name].verdict for name in ("seen_psnr_8", "body_error_32", "psnr_8")] == ["better", "better", "same"]
    assert found["detail_5s"].better == pytest.approx(-0.1) and found["detail_5s"].verdict == "same"
    back = {one.name: one.verdict for one in differences(second, first)}
    assert back["seen_psnr_8"] == back["body_error_32"] == "worse"
    assert meets(tuple(found.values()), "better") and not meets(differences(second, first), "not-worse")
    assert not meets(differences(first, first), "better") and meets(differences(first, first), "not-worse")
    with pytest.raises(ReverieError, match="beauty"):
        differences(first, second, ("beauty",))


def test_results_go_between_the_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.json").write_text(json.dumps(report(seen_psnr_8=20.0, cells_seen_psnr_8=29.0)))
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{results.BEGIN} old {results.END}\nafter\n")
    command = ["--report", str(tmp_path / "report.json"), "--into", str(readme)]
    assert results.main(command) == 0
    text = readme.read_text()
    assert text.startswith("before") and text.endswith("after\n") and " old " not in text
    (row,) = [line for line in text.splitlines() if "seen_psnr_8" in line]
    assert row.endswith("| 20 ± 0.5 |  | 29 ± 0.5 |  |  |")
    readme.write_text("no place")
    assert results.main(command) == 2 and "no place for results" in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_exported_again_is_the_same(tmp_path: Path) -> None:
    assert cli.main(["export", "--model", "tiny", "--out", str(tmp_path / "again")]) == 0
    for part in ("frame/frame.safetensors", "lift/lift.safetensors", "land/columns.safetensors"):
        assert (tmp_path / "again" / part).read_bytes() == (model_folder("tiny") / part).read_bytes()
    assert cli.main(["play", "--model", str(tmp_path / "again"), "--headless", "--frames", "2"]) == 0
