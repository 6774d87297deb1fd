"""Studies on equal budgets, with their tables and the picture of scaling in `docs/ABLATIONS.md`.

    python -m reverie.demos.ablate STUDY --data runs/data --held runs/held --out runs/ablate --page docs/ABLATIONS.md

STUDY is ablations, distill or scaling. Held-out shards are of other worlds than the data; where the folder has none,
some are recorded. Arms that are finished are not run again; `--only` runs some of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reverie.model.startup import require_for_script

require_for_script("train", __name__)  # before what follows imports torch

from reverie.demos.card import into_readme
from reverie.model.config import PRESETS, preset
from reverie.model.errors import ReverieError
from reverie.model.training.ablate import STUDIES, Bench, run_study
from reverie.model.training.shards import META
from reverie.model.weights import model_folder
from reverie.simulator.shards import ShardPlan, write_shards

PICTURES = Path("pictures")
GIGA = 1e9
HELD_SHARDS, HELD_SEED = 4, 202
"""Shards recorded for measuring, and their seed."""


def number(value: float | None, places: int = 2) -> str:
    """A cell of a table."""
    return "" if value is None else f"{value:.{places}f}"


def rows(head: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *cells)]


def quality(figures: dict[str, float]) -> list[str]:
    """The cells that every table has."""
    names = ("psnr_1", "psnr_8", "psnr_32", "gain_1", "gain_8", "gain_32", "sharpness_32", "milliseconds")
    return [number(figures.get(name), 1 if name == "milliseconds" else 2) for name in names]


QUALITY = ("PSNR 1", "8", "32, dB", "gain 1", "8", "32, dB", "detail 32", "ms a tick")


def says(result: dict[str, Any], name: str) -> str:
    """What is different about an arm."""
    return next(arm.says for arm in STUDIES[result["study"]].arms if arm.name == name)


def ablation_table(result: dict[str, Any]) -> list[str]:
    """From scratch: an arm a row."""
    cells = [["copy last frame", "", *quality(result["copy"]), "", ""]]
    for name, record in result["arms"].items():
        figures = record["steps"]["1"]
        cells.append(
            [says(result, name), number(record["loss"], 4), *quality(figures), number(figures["obeyed_8"]),
             number(record["flops"] / record["frames"] / GIGA)]
        )  # fmt: skip
    return rows(("arm", "held-out loss", *QUALITY, "actions, dB", "GFLOP a frame"), cells)


def distill_table(result: dict[str, Any]) -> list[str]:
    """From the teacher: an arm and a number of steps a row."""
    cells = [["copy last frame", "", *quality(result["copy"]), ""]]
    for name, record in result["arms"].items():
        cost = f"{record['cpu_seconds']:.0f}" if record["frames"] else ""
        cells += [[says(result, name), steps, *quality(figures), cost] for steps, figures in record["steps"].items()]
    return rows(("arm", "steps", *QUALITY, "CPU s of training"), cells)


TABLES = {"ablations": ablation_table, "distill": distill_table}


def write_page(page: Path, result: dict[str, Any]) -> None:
    """Puts a study's table between its marks, and the picture of scaling beside the page. Raises ModelError."""
    name = result["study"]
    if not result["arms"]:
        return
    if name == "scaling":
        from reverie.demos.scaling import draw, scaling_table

        draw(result, page.parent / PICTURES / "scaling.png")
        lines = scaling_table(result)
    else:
        lines = TABLES[name](result)
    windows = next(iter(result["arms"].values()))["windows"]
    lines = [f"{result['frames']} training frames an arm, {windows} held-out windows.", "", *lines]
    into_readme(page, "\n".join(lines), f"<!-- {name} -->", f"<!-- /{name} -->")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code, 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=sorted(STUDIES))
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of training shards")
    parser.add_argument("--held", type=Path, required=True, help="a folder of shards of held-out worlds")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--teacher", default="tiny", help="model whose teacher students start from")
    parser.add_argument("--windows", type=int, default=16, help="held-out windows")
    parser.add_argument("--frames", type=int, help="training frames of each arm, if not the study's own number")
    parser.add_argument("--only", nargs="+", default=[], metavar="ARM")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="tiny")
    parser.add_argument("--page", type=Path, help="the page whose tables are filled in")
    given = parser.parse_args(arguments)
    try:
        config = preset(given.preset)
        if not any(given.held.glob(f"*/{META}")):
            write_shards(given.held, HELD_SHARDS, HELD_SEED, ShardPlan(size=config.size))
        bench = Bench(given.data, [given.held], given.out, model_folder(given.teacher), given.windows)
        result = run_study(given.study, config, bench, given.only, given.frames)
        if given.page:
            write_page(given.page, result)
    except (ReverieError, OSError) as error:
        print(f"reverie: {error}", file=sys.stderr)
        return 2
    print(json.dumps({name: record["steps"] for name, record in result["arms"].items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
