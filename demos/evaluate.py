"""A dream, or the truth, measured on held-out runs.

python -m reverie.demos.evaluate --world tiny --quick          # about three minutes
python -m reverie.demos.evaluate --world tiny --jobs 2         # everything, two processes, at most an hour
python -m reverie.demos.evaluate --world truth --keys seen_psnr detail
python -m reverie.demos.evaluate --world hazy                  # a corruption of the truth
python -m reverie.demos.evaluate --world FOLDER --keys tasks_16 walls_    # dynamics alone, in true cells

A measurement that is called again goes on where it was. With --json the report is the last line.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reverie.model.errors import ReverieError
from reverie.simulator.evaluation import evaluate as evaluation
from reverie.simulator.evaluation.candidates import CORRUPTIONS, TrueWorld, WithScreenLayer
from reverie.simulator.evaluation.keys import BASELINES, KEYS
from reverie.simulator.evaluation.starts import COLUMNS, StartsTrue
from reverie.simulator.judge.cache import cache_folder

TRUTH = "truth"
DYNAMICS, DYNAMICS_WEIGHTS = "dynamics.json", "dynamics.safetensors"
MINUTES, MINUTES_QUICK = 58.0, 3.0


def open_world(name: str, size: tuple[int, int], backend: str, device: str) -> Any:
    """The world of a name: `truth`, a corruption of it, a folder of dynamics, or a model's dream.

    Raises ReverieError.
    """
    if name == TRUTH:
        return TrueWorld(size)
    if name in CORRUPTIONS:
        return CORRUPTIONS[name](size)
    if (Path(name) / DYNAMICS).is_file():
        from reverie.model.dynamics.dynamics import Dynamics
        from reverie.simulator.evaluation.cells_world import CellsWorld

        weights = hashlib.sha256((Path(name) / DYNAMICS_WEIGHTS).read_bytes()).hexdigest()[:12]
        return CellsWorld(Dynamics.load(Path(name)), size, weights)
    from reverie.simulator.dream import DreamWorld

    world = DreamWorld.load(name, backend, device, size)
    return world if isinstance(world, StartsTrue) else WithScreenLayer(world)


def table(report: Mapping[str, Any]) -> str:
    """The listed figures that a report holds, in each column and beside their baselines."""
    prefixes = ["", *(f"{column}_" for column in COLUMNS[1:]), *(f"{name}_" for name in BASELINES)]
    heads = ["with poses", *COLUMNS[1:], *BASELINES]
    lines = [f"{'':22}" + "".join(f"{head:>18}" for head in heads)]
    for key in KEYS:
        cells = [_cell(report, prefix + key.name) for prefix in prefixes]
        if any(cells):
            lines.append(f"{key.name:22}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def _cell(report: Mapping[str, Any], name: str) -> str:
    value, ends = report.get(name), report.get(f"{name}_ci")
    if value is None:
        return ""
    spread = "" if ends is None else f" ±{(ends[1] - ends[0]) / 2:.2g}"
    return f"{value:.3g}{spread}"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="measure a dream, or the truth, on held-out runs")
    parser.add_argument("--world", default="tiny", help=f"a model, {TRUTH}, or one of {', '.join(CORRUPTIONS)}")
    parser.add_argument("--keys", nargs="*", default=[], help="only figures that begin so")
    parser.add_argument("--columns", nargs="*", default=[], choices=COLUMNS)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: about three minutes")
    parser.add_argument("--minutes", type=float, help="no run is begun after so many; call again to go on")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--share", default="0/1", help=argparse.SUPPRESS)
    parser.add_argument("--out", help="folder of the report, the values and the sheets")
    parser.add_argument("--runs", help="folder in which true runs are kept")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--size", default="160x96", help="width x height of frames")
    parser.add_argument("--json", action="store_true", help="the report as the last line")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the evaluation that the options ask for. Raises ReverieError."""
    try:
        width, height = (int(side) for side in options.size.split("x"))
        index, count = (int(part) for part in options.share.split("/"))
    except ValueError as error:
        raise ReverieError(f"evaluate: cannot read --size {options.size} or --share {options.share}") from error
    out = Path(options.out or f"runs/evaluation-{Path(options.world).name}")
    runs = Path(options.runs or cache_folder() / "runs")
    minutes = options.minutes or (MINUTES_QUICK if options.quick else MINUTES)
    helpers = []
    for number in range(1, options.jobs):
        command = [sys.executable, "-m", "reverie.demos.evaluate", "--world", options.world, "--out", str(out)]
        command += ["--runs", str(runs), "--minutes", str(minutes), "--share", f"{number}/{options.jobs}"]
        command += ["--size", options.size, "--backend", options.backend, "--device", options.device]
        command += ["--quick"] * options.quick + ["--keys", *options.keys, "--columns", *options.columns]
        helpers.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
    common: dict[str, Any] = {
        "runs": runs, "keys": options.keys, "columns": options.columns,
        "amounts": evaluation.QUICK if options.quick else evaluation.FULL,
    }  # fmt: skip
    world = open_world(options.world, (height, width), options.backend, options.device)
    if options.jobs > 1:
        index, count = 0, options.jobs
    from tqdm import tqdm

    with tqdm(desc="measuring", unit="run", disable=None, leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = evaluation.evaluate(
            world, out, minutes=minutes, share=(index, count), sheets=count == 1, progress=progress, **common
        )
    failed = [helper for helper in helpers if helper.wait()]
    if failed:
        raise ReverieError(f"evaluate: {len(failed)} of {options.jobs} processes failed")
    return evaluation.evaluate(world, out, minutes=0.0, **common) if options.jobs > 1 else report


def main(arguments: list[str] | None = None) -> int:
    """The command; bad input is one line on standard error and exit code 2."""
    options = parse(arguments)
    try:
        report = measure(options)
    except ReverieError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(report) if options.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
