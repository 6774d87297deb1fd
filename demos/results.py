"""Measured figures as tables, put between two marks of a README or a model's card.

python -m reverie.demos.results --report runs/evaluation-tiny/report.json --bench bench.json --into README.md

The report is what `reverie evaluate` wrote, the benchmark the last line of `reverie bench --json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reverie.model.errors import ReverieError
from reverie.simulator.evaluation.keys import BY_NAME
from reverie.simulator.outputs import writable_file

BEGIN, END = "<!-- results -->", "<!-- /results -->"
COLUMNS = (
    ("with poses", ""), ("without", "frames_"), ("from true cells", "cells_"), ("copied", "copy_"), ("truth", "true_"),
)  # fmt: skip
"""Title of each column, and what its figures' names begin with."""
SHOWN = (
    "seen_psnr_1", "seen_psnr_8", "seen_psnr_32", "seen_psnr_100", "seen_psnr_400", "detail_1s", "detail_5s",
    "detail_10s", "detail_20s", "turn_return_0.5", "turn_return_1.5", "turn_return_3", "turn_return_8",
    "revisit_psnr_1s", "revisit_psnr_20s", "walk_return_psnr", "edit_psnr_0s", "edit_psnr_1s", "edit_psnr_20s",
    "edit_return_turn3", "edit_return_turn10", "edit_return_walk", "walls_standing", "walls_inside", "body_error_32",
    "tasks_16", "place_error_32", "frechet_2s", "frechet_16s", "idle_drift", "idle_motion", "seeds_same",
    "action_f1", "camera_deg",
)  # fmt: skip


def results(report: Mapping[str, Any], bench: Mapping[str, Any] | None = None) -> str:
    """The tables, as Markdown."""
    lines = [
        f"Weights `{report['world'].get('fingerprint', '?')}`; {report['runs_done']} runs of held-out worlds. A start "
        "is 25 frames, the actions between them, and for the first column their poses; ± is half the 95 % interval.",
        "",
        "| figure | " + " | ".join(title for title, _ in COLUMNS) + " |",
        "|---|" + "---|" * len(COLUMNS),
    ]
    for name in SHOWN:
        cells = [_cell(report, prefix + name) for _, prefix in COLUMNS]
        if any(cells):
            key = BY_NAME[name]
            lines.append(f"| `{name}` {key.what}{f', {key.unit}' if key.unit else ''} | " + " | ".join(cells) + " |")
    if bench is not None:
        lines += ["", *_speed(bench)]
    return "\n".join(lines)


def _cell(report: Mapping[str, Any], name: str) -> str:
    value, ends = report.get(name), report.get(f"{name}_ci")
    if value is None:
        return ""
    return f"{value:.3g}" if ends is None else f"{value:.3g} ± {(ends[1] - ends[0]) / 2:.2g}"


def _speed(bench: Mapping[str, Any]) -> list[str]:
    machine = bench["machine"]
    parts = ", ".join(f"{name} {ms:.1f}" for name, ms in bench["part_ms"].items())
    batches = ", ".join(f"{size}: {fps:g}" for size, fps in bench["batch_fps"].items())
    return [
        f"Speed at {bench['width']}x{bench['height']} on {machine['cores']} cores ({machine['cpu']}), load "
        f"{machine['load']} when measured, walking into new land: **{bench['fps']:.1f} frames/s**, p50 "
        f"{bench['p50_ms']:.1f} ms, p99 {bench['p99_ms']:.1f} ms. Milliseconds of a tick without land beside it: "
        f"{parts}. Batches, frames/s in all: {batches}. First frame {bench['first_frame_s']:.1f} s after the command, "
        f"peak memory {bench['peak_mib']:.0f} MiB; a snapshot takes {bench['snapshot_ms']:g} ms, a save "
        f"{bench['save_kib']:.0f} KiB. The voxel world runs at {bench['voxel_fps']:.0f} frames/s on one core."
    ]


def put(path: Path, text: str) -> None:
    """Replaces what stands between the marks of a file. Raises ReverieError where there are none."""
    whole = path.read_text("utf-8")
    if whole.count(BEGIN) != 1 or whole.count(END) != 1:
        raise ReverieError(f"{path}: has no place for results; it stands between {BEGIN} and {END}")
    before, rest = whole.split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables, and puts them into files."""
    parser = argparse.ArgumentParser(prog="python -m reverie.demos.results", description=__doc__.splitlines()[0])
    parser.add_argument("--report", type=Path, required=True, help="report.json of reverie evaluate")
    parser.add_argument("--bench", type=Path, help="a file whose last line reverie bench --json wrote")
    parser.add_argument("--into", type=Path, nargs="*", default=[], help="files with the marks")
    args = parser.parse_args(arguments)
    try:
        for path in args.into:
            writable_file(path)
        bench = json.loads(args.bench.read_text("utf-8").splitlines()[-1]) if args.bench else None
        text = results(json.loads(args.report.read_text("utf-8")), bench)
        for path in args.into:
            put(path, text)
    except (ReverieError, OSError, ValueError) as error:
        print(f"reverie: {error}", file=sys.stderr)
        return 2
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
