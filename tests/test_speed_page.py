"""The page of speeds holds what was measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from reverie.demos import speed_page

ROW = {
    "fps": 61.25, "p50_ms": 15.5, "p99_ms": 19.25, "psnr_32": 14.75, "load_s": 0.25, "floor_ms": 5.5, "gap": 2.75,
    "host_ms": {"noise": 0.5, "pass": 15.0}, "graph_ms": {"head": 3.25, "mlp": 4.5},
    "batch_fps": {"1": 60.0, "64": 90.0},
}  # fmt: skip
BENCH = {
    "model": "m", "fingerprint": "abcd", "width": 160, "height": 96, **ROW,
    "backends": {"onnx-cpu": ROW, "torch-cpu": {**ROW, "fps": 33.5, "graph_ms": None, "gap": None}},
    "gflop": 1.125, "gflop_rounded": 0.5, "peak_gflops": {"fp32": 180.0, "int8": None}, "state_mib": 2.25,
    "first_frame_s": 0.44, "peak_mib": 148.0, "voxel_fps": 271.0, "clips": 4, "settle_s": 10.0,
    "env_fps": {"voxel": {"1": 250.0, "8": 480.0}, "dream": {"1": 55.0, "8": 62.0}},
    "long": {
        "ticks": 24000, "early_ms": 15.5, "late_ms": 15.6, "late_p99_ms": 20.0, "early_mib": 300.0, "late_mib": 301.0,
    },
    "machine": {"cores": 2, "cpu": "Test CPU", "gpu": None, "load": 0.1, "onnxruntime": "1.31", "torch": "2.13"},
}  # fmt: skip


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["speed_page", *arguments])
    return speed_page.main()


def test_figures_come_from_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, page = tmp_path / "b.json", tmp_path / "SPEED.md"
    bench.write_text("progress\n" + json.dumps(BENCH))
    page.write_text(f"before\n{speed_page.BEGIN}\nold 12345\n{speed_page.END}\nafter\n")
    assert run(monkeypatch, "--bench", str(bench), "--page", str(page)) == 0
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "12345" not in text
    assert "| onnx-cpu | 61.2 | 15.5 | 19.2 | 14.75 | 5.5 | 2.75 | 0.25 |" in text
    assert "| torch-cpu | 33.5 | 15.5 | 19.2 | 14.75 | 5.5 |  | 0.25 |" in text
    assert "| head | 3.25 |" in text and "fp32 180" in text and "24000 ticks" in text
    assert "| voxel | 250 | 480 |" in text and "271 frames/s" in text
    first = text
    assert run(monkeypatch, "--bench", str(bench), "--page", str(page)) == 0
    assert page.read_text() == first


def test_a_page_without_markers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    bench, page = tmp_path / "b.json", tmp_path / "SPEED.md"
    bench.write_text(json.dumps(BENCH))
    page.write_text("nothing\n")
    assert run(monkeypatch, "--bench", str(bench), "--page", str(page)) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert page.read_text() == "nothing\n"


def test_the_documentation_has_the_markers() -> None:
    text = (Path(__file__).parents[1] / "docs" / "SPEED.md").read_text("utf-8")
    assert text.count(speed_page.BEGIN) == text.count(speed_page.END) == 1
