"""The tables of docs/SPEED.md, written from measured JSON: no number is typed by hand.

reverie bench --model tiny --long 20 --json | tail -n 1 > runs/bench-tiny.json
python -m reverie.demos.speed_page --bench runs/bench-tiny.json --page docs/SPEED.md
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from reverie.demos.card import read_json
from reverie.model.errors import ModelError, ReverieError

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"


def page(bench: dict[str, Any]) -> str:
    """All tables, in Markdown."""
    machine = bench["machine"]
    gpu = f", {machine['gpu']}" if machine.get("gpu") else ""
    lines = [
        f"`{bench['model']}`, weights `{bench['fingerprint']}`, {bench['width']}x{bench['height']}, on "
        f"{machine['cores']} cores ({machine['cpu']}{gpu}), load {machine['load']} at the end; ONNX Runtime "
        f"{machine['onnxruntime']}, torch {machine['torch']}. {bench['settle_s']:g} s of rest before each backend.",
        "",
        "### Speed and quality",
        "",
        *backends(bench),
        "",
        "### The floor",
        "",
        *peaks(bench),
        "",
        "### Where a frame's milliseconds go",
        "",
        *host(bench),
        "",
        *graph(bench),
        "",
        "### Start, memory, endurance",
        "",
        *endurance(bench),
        "",
        "### Many at once",
        "",
        *batches(bench),
    ]
    return "\n".join(lines)


def backends(bench: dict[str, Any]) -> list[str]:
    """Each backend's speed, what its picture is worth, and how far it is from its floor."""
    rows = [
        [
            name,
            _number(row["fps"], 1),
            _number(row["p50_ms"], 1),
            _number(row["p99_ms"], 1),
            _number(row["psnr_32"], 2),
            _number(row["floor_ms"], 1),
            _number(row["gap"], 2),
            _number(row["load_s"], 2),
        ]
        for name, row in bench["backends"].items()
    ]
    head = ["backend", "frames/s", "p50 ms", "p99 ms", f"psnr_32 ({bench['clips']} clips)", "floor ms", "gap", "load s"]
    return _table(head, rows)


def peaks(bench: dict[str, Any]) -> list[str]:
    """Operations of a pass, and the rates that the machine reaches."""
    rates = ", ".join(f"{name} {_number(rate, 0)}" for name, rate in (bench["peak_gflops"] or {}).items())
    whole, rounded = _number(bench["gflop"], 3), _number(bench["gflop_rounded"], 3)
    return [
        f"A pass is {whole} GFLOP (of which int8 does {rounded} in eight bits). A large matrix product reaches, in "
        f"GFLOP/s on all cores: {rates}."
    ]


def host(bench: dict[str, Any]) -> list[str]:
    """The host's share."""
    names = list(bench["host_ms"])
    rows = [[name, *(_number(row["host_ms"][part], 2) for part in names)] for name, row in bench["backends"].items()]
    return _table(["ms a frame", *names], rows)


def graph(bench: dict[str, Any]) -> list[str]:
    """The parts of the exported graphs."""
    rows = {name: row["graph_ms"] for name, row in bench["backends"].items() if row["graph_ms"]}
    parts = list(dict.fromkeys(part for row in rows.values() for part in row))
    if not rows:
        return []
    return _table(
        ["ms of a pass", *rows], [[part, *(_number(row.get(part), 2) for row in rows.values())] for part in parts]
    )


def endurance(bench: dict[str, Any]) -> list[str]:
    """Start-up, memory and the long run, if there was one."""
    lines = [
        f"From command to first dreamed frame {bench['first_frame_s']:.2f} s; peak memory of `reverie play` "
        f"{bench['peak_mib']:.0f} MiB; one dream's state {bench['state_mib']:.2f} MiB."
    ]
    long = bench.get("long")
    if long:
        lines += [
            "",
            f"{long['ticks']} ticks on end: median step {long['early_ms']:.1f} ms in the second tenth, "
            f"{long['late_ms']:.1f} ms in the last (p99 {long['late_p99_ms']:.1f} ms); memory "
            f"{long['early_mib']:.0f} MiB then, {long['late_mib']:.0f} MiB at the end.",
        ]
    return lines


def batches(bench: dict[str, Any]) -> list[str]:
    """Frames a second against the number of dreams, players and worlds."""
    sizes = list(bench["batch_fps"])
    rows = [[name, *(_number(row["batch_fps"][size], 0) for size in sizes)] for name, row in bench["backends"].items()]
    lines = _table(["dreams in one pass: frames/s", *sizes], rows)
    players = list(bench["env_fps"]["voxel"])
    rows = [[name, *(_number(found[n], 0) for n in players)] for name, found in bench["env_fps"].items()]
    lines += ["", *_table(["environments: frames/s", *players], rows)]
    return [*lines, "", f"The voxel world alone, on one core: {bench['voxel_fps']:.0f} frames/s."]


def into_page(path: Path, text: str) -> None:
    """Puts `text` between the markers of the page. Raises ModelError where they are missing."""
    whole = path.read_text("utf-8")
    if BEGIN not in whole or END not in whole:
        raise ModelError(f"{path}: has no {BEGIN} … {END}")
    head, rest = whole.split(BEGIN, 1)
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}", "utf-8")


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def main() -> int:
    """Fills the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True)
    parser.add_argument("--page", type=Path, default=Path("docs/SPEED.md"))
    options = parser.parse_args()
    try:
        into_page(options.page, page(read_json(options.bench)))
    except (ReverieError, OSError, KeyError) as error:
        print(f"reverie: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
